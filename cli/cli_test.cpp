// What the shell prints and reads: tables, CSV, widths, times, arguments, statements,
// subscriptions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>

#include "agent_project.h"
#include "highlight.h"
#include "history_menu.h"
#include "line_editor.h"
#include "options.h"
#include "render.h"
#include "session.h"
#include "shell.h"
#include "sql_text.h"
#include "subscription.h"

namespace kalam::cli {
namespace {

using ::testing::HasSubstr;

class RenderTest : public ::testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_CTYPE, "C.UTF-8"); }
};

TEST_F(RenderTest, WidthsAreWhatTheTerminalShows) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("héllo"), 5);
  EXPECT_EQ(DisplayWidth("你好"), 4);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);  // e and a combining acute accent
  EXPECT_EQ(DisplayWidth("\xff\xfe"), 2);
  EXPECT_EQ(CutToWidth("你好世界", 7), "你好...");
  EXPECT_EQ(CutToWidth("你好世界", 6), "你...");
  EXPECT_EQ(CutToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(CutToWidth("abcdef", 3), "abc");
}

TEST_F(RenderTest, TableWithWideTextAndNull) {
  const TextTable table{{"id", "name"},
                        {{{"1", false}, {"你好", false}}, {{"22", false}, {"", true}}}};
  EXPECT_EQ(RenderTable(table, 80),
            "┌────┬──────┐\n"
            "│ id │ name │\n"
            "├────┼──────┤\n"
            "│ 1  │ 你好 │\n"
            "│ 22 │ NULL │\n"
            "└────┴──────┘\n");
}

TEST_F(RenderTest, NarrowTerminalShrinksTheWidestColumn) {
  const TextTable table{{"id", "text"}, {{{"1", false}, {std::string(100, 'x'), false}}}};
  const std::string text = RenderTable(table, 30);
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    EXPECT_LE(DisplayWidth(text.substr(begin, text.find('\n', begin) - begin)), 30);
  }
  EXPECT_THAT(text, HasSubstr("..."));
  // The whole line is used: two borders, a space on each side, what "id" takes.
  EXPECT_THAT(RenderTable(table, 90), HasSubstr("│ " + std::string(78, 'x') + "... │\n"));
}

TEST_F(RenderTest, LineBreaksStayInsideTheirCell) {
  const TextTable table{{"t", "u"}, {{{"a\nbc\n", false}, {"d\te", false}}}};
  EXPECT_EQ(RenderTable(table, 80),
            "┌────┬─────┐\n"
            "│ t  │ u   │\n"
            "├────┼─────┤\n"
            "│ a  │ d e │\n"
            "│ bc │     │\n"
            "└────┴─────┘\n");
}

TEST_F(RenderTest, WhatIsTooWideIsAListOfItsColumns) {
  const TextTable table{{"id", "long_name"},
                        {{{"1", false}, {"first\nsecond", false}}, {{"2", false}, {"", true}}}};
  EXPECT_EQ(RenderList(table),
            "─[ 1 ]─\n"
            "id        │ 1\n"
            "long_name │ first\n"
            "          │ second\n"
            "─[ 2 ]─\n"
            "id        │ 2\n"
            "long_name │ NULL\n");
  EXPECT_EQ(RenderList({{"id"}, {}}), "");
  const TextTable wide{{"a_longer_name", "another_name"}, {{{"1", false}, {"2", false}}}};
  // 13 + 12 columns of text and 7 of borders.
  EXPECT_TRUE(IsReadableAsTable(wide, 32));
  EXPECT_TRUE(IsReadableAsTable(wide, 31)) << "12 columns of a_longer_name are left";
  EXPECT_FALSE(IsReadableAsTable(wide, 30));
}

TEST_F(RenderTest, Csv) {
  const TextTable table{{"a", "b,c"},
                        {{{"x\"y", false}, {"", true}}, {{"two\nlines", false}, {"", false}}}};
  EXPECT_EQ(RenderCsv(table), "a,\"b,c\"\n\"x\"\"y\",NULL\n\"two\nlines\",\n");
  EXPECT_EQ(RenderCsv({{"a"}, {}}), "");
}

TEST_F(RenderTest, Timestamps) {
  const int64_t us = 1'777'593'600'000'000;  // 2026-05-01T00:00:00Z
  EXPECT_EQ(FormatTimestampCell(us, TimestampFormat::kIso8601, us), "2026-05-01T00:00:00.000Z");
  EXPECT_EQ(FormatTimestampCell(us, TimestampFormat::kIso8601Date, us), "2026-05-01");
  EXPECT_EQ(FormatTimestampCell(us, TimestampFormat::kUnixSec, us), "1777593600");
  EXPECT_EQ(FormatTimestampCell(us, TimestampFormat::kRfc2822, us),
            "Fri, 01 May 2026 00:00:00 +0000");
  EXPECT_EQ(FormatTimestampCell(us, TimestampFormat::kRfc3339, us),
            "2026-05-01T00:00:00.000+00:00");
  EXPECT_EQ(FormatTimestampCell(us - 3 * 3'600'000'000, TimestampFormat::kRelative, us),
            "3 hours ago");
  EXPECT_EQ(FormatTimestampCell(us + 2 * 86'400'000'000, TimestampFormat::kRelative, us),
            "in 2 days");
}

TEST(Arguments, ReadsFlagsAndRefusesNonsense) {
  const char* good[] = {"kalam",         "-u", "http://h:1", "--user", "ann",
                        "--password=pw", "-c", "SELECT 1",   "--json"};
  const Result<Options> options = ParseArguments(9, good);
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->url, "http://h:1");
  EXPECT_EQ(options->user, "ann");
  EXPECT_EQ(options->password, "pw");
  EXPECT_EQ(options->command, "SELECT 1");
  EXPECT_EQ(options->format, OutputFormat::kJson);
  EXPECT_EQ(options->port, 8080);
  const char* asks[] = {"kalam", "--user", "ann", "--password"};
  EXPECT_TRUE(ParseArguments(4, asks)->ask_password);
  const char* both[] = {"kalam", "-c", "SELECT 1", "-f", "x.sql"};
  EXPECT_FALSE(ParseArguments(5, both).ok());
  const char* unknown[] = {"kalam", "--colour"};
  EXPECT_FALSE(ParseArguments(2, unknown).ok());
  const char* format[] = {"kalam", "--format", "xml"};
  EXPECT_THAT(ParseArguments(3, format).status().message(), HasSubstr("table, json or csv"));
  const char* conflict[] = {"kalam", "--json", "--format", "csv"};
  EXPECT_FALSE(ParseArguments(4, conflict).ok());
}

TEST(Statements, EndWhereTheServerEndsThem) {
  EXPECT_TRUE(IsComplete("SELECT 1;"));
  EXPECT_FALSE(IsComplete("SELECT 1"));
  EXPECT_FALSE(IsComplete("SELECT 'a;"));
  EXPECT_FALSE(IsComplete("SELECT 1 -- comment;"));
  EXPECT_FALSE(IsComplete("SELECT 1 /* open ;"));
  EXPECT_TRUE(IsComplete("SELECT 'a;b';"));
  EXPECT_TRUE(IsComplete("\\dt"));
}

TEST(Statements, ATransactionIsOneRequest) {
  EXPECT_TRUE(HasOpenTransaction("BEGIN; INSERT INTO a.b VALUES (1);"));
  EXPECT_FALSE(HasOpenTransaction("BEGIN; INSERT INTO a.b VALUES (1); COMMIT;"));
  EXPECT_FALSE(HasOpenTransaction("SELECT 'BEGIN;';"));
  const Result<std::vector<std::string>> requests =
      SplitRequests("SELECT ';'; -- one; two\nBEGIN; DELETE FROM a.b; ROLLBACK; SELECT 2");
  ASSERT_TRUE(requests.ok());
  EXPECT_EQ(*requests, (std::vector<std::string>{"SELECT ';'", "BEGIN;\nDELETE FROM a.b;\nROLLBACK",
                                                 "SELECT 2"}));
}

TEST(Subscriptions, OptionsAreSplitOff) {
  const Result<SubscriptionRequest> plain =
      ParseSubscription("SELECT * FROM a.b WHERE x = 'OPTIONS';");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->sql, "SELECT * FROM a.b WHERE x = 'OPTIONS'");
  EXPECT_EQ(plain->options_json, "{}");
  const Result<SubscriptionRequest> with =
      ParseSubscription("SUBSCRIBE TO a.b WHERE x = 1 OPTIONS (last_rows=5, from = 17)");
  ASSERT_TRUE(with.ok());
  EXPECT_EQ(with->sql, "SELECT * FROM a.b WHERE x = 1");
  EXPECT_EQ(with->options_json, R"({"last_rows":5,"from":17})");
  EXPECT_FALSE(ParseSubscription("SELECT * FROM a.b OPTIONS (colour=1)").ok());
  EXPECT_FALSE(ParseSubscription("DELETE FROM a.b").ok());
}

TEST(History, KeepsNoSecrets) {
  EXPECT_TRUE(LooksSecret("CREATE USER 'a' WITH PASSWORD 'b'"));
  EXPECT_TRUE(LooksSecret("\\update-credentials root x"));
  EXPECT_TRUE(LooksSecret("\\h"));
  EXPECT_FALSE(LooksSecret("SELECT * FROM chat.messages"));
  EXPECT_EQ(WordAtEnd("SELECT * FROM chat.me"), "chat.me");
  EXPECT_EQ(WordAtEnd("SELECT "), "");
  EXPECT_EQ(WordAtEnd("\\su"), "\\su");
}

TEST(History, TheMenuShowsTheNewestFirstAndEachOnce) {
  const std::vector<std::string> entries = {"SELECT 1", "select b", "\\dt", "SELECT 1"};
  EXPECT_EQ(FilterHistory(entries, ""), (std::vector<std::string>{"SELECT 1", "\\dt", "select b"}));
  EXPECT_EQ(FilterHistory(entries, "Select"), (std::vector<std::string>{"SELECT 1", "select b"}));
  EXPECT_TRUE(FilterHistory(entries, "nothing").empty());
}

TEST(Highlighting, PaintsWithoutChangingTheText) {
  EXPECT_EQ(Highlight("", "select a.user, 1.5 x"),
            "\x1b[1;34mselect\x1b[0m a.user, \x1b[33m1.5\x1b[0m x");
  EXPECT_EQ(Highlight("", "id BIGINT -- from"), "id \x1b[35mBIGINT\x1b[0m \x1b[2m-- from\x1b[0m");
  EXPECT_EQ(Highlight("", "'it''s' \"from\""), "\x1b[32m'it''s'\x1b[0m \"from\"");
  EXPECT_EQ(Highlight("", "\\dt from"), "\x1b[36m\\dt\x1b[0m \x1b[1;34mfrom\x1b[0m");
  // A string that began on a line above.
  EXPECT_EQ(Highlight("SELECT 'a", "b' AS c"), "\x1b[32mb'\x1b[0m \x1b[1;34mAS\x1b[0m c");
  EXPECT_EQ(Highlight("/* from", "from"), "\x1b[2mfrom\x1b[0m");
  EXPECT_EQ(Highlight("", "'no end"), "\x1b[32m'no end\x1b[0m");
  EXPECT_EQ(Highlight("", ""), "");
}

TEST(AgentProjects, NamesAreChecked) {
  EXPECT_TRUE(CheckAgentProject({}).ok());
  EXPECT_FALSE(CheckAgentProject({.name = "../x"}).ok());
  EXPECT_FALSE(CheckAgentProject({.table = "blogs"}).ok());
  EXPECT_FALSE(CheckAgentProject({.table = "blog.blogs; DROP"}).ok());
  EXPECT_FALSE(CheckAgentProject({.output_column = "a b"}).ok());
}

TEST(Answers, ReadsResultsAndErrors) {
  client::HttpReply reply;
  reply.status = 200;
  reply.body =
      R"json({"status":"success","results":[{"schema":[{"name":"id","data_type":"BigInt","index":0},)json"
      R"json({"name":"at","data_type":"Timestamp","index":1},{"name":"ok","data_type":"Boolean","index":2}],)json"
      R"json("rows":[["42",1777593600000000,true],[null,null,null]],"row_count":2,"as_user":"ann"},)json"
      R"json({"row_count":1,"message":"Inserted 1 row(s)","as_user":"ann"}],"took":1.204,"error":null})json";
  const Result<Answer> answer = ParseAnswer(reply, TimestampFormat::kIso8601, 0);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->ok);
  ASSERT_EQ(answer->results.size(), 2u);
  EXPECT_EQ(answer->results[0].table.rows[0][0].text, "42");
  EXPECT_EQ(answer->results[0].table.rows[0][1].text, "2026-05-01T00:00:00.000Z");
  EXPECT_EQ(answer->results[0].table.rows[0][2].text, "true");
  EXPECT_TRUE(answer->results[0].table.rows[1][0].is_null);
  EXPECT_EQ(answer->results[1].message, "Inserted 1 row(s)");

  reply.status = 400;
  reply.body = R"json({"status":"error","results":[],"took":0.4,)json"
               R"json("error":{"code":"INVALID_SQL","message":"bad","details":"SELEC"}})json";
  const Result<Answer> failed = ParseAnswer(reply, TimestampFormat::kIso8601, 0);
  ASSERT_TRUE(failed.ok()) << failed.status().message();
  EXPECT_FALSE(failed->ok);
  EXPECT_EQ(failed->error_code, "INVALID_SQL");
  EXPECT_EQ(failed->error_details, "SELEC");
  reply.body = "<html>";
  EXPECT_FALSE(ParseAnswer(reply, TimestampFormat::kIso8601, 0).ok());
}

TEST(SqlLiteral, EveryFormReadsBackAsWhatItWas) {
  EXPECT_EQ(SqlLiteral(Datum::Null(TypeKind::kText)), "NULL");
  EXPECT_EQ(SqlLiteral(Datum::Boolean(true)), "TRUE");
  EXPECT_EQ(SqlLiteral(Datum::BigInt(INT64_MIN)), "-9223372036854775808");
  EXPECT_EQ(SqlLiteral(Datum::Decimal(-12300, 3)), "-12.300");
  EXPECT_EQ(SqlLiteral(Datum::Double(0.1)), "'0.1'");
  EXPECT_EQ(SqlLiteral(Datum::Text("it's; -- no comment")), "'it''s; -- no comment'");
  EXPECT_EQ(SqlLiteral(Datum::Bytes(TypeKind::kBytes, std::string_view("\x00\xff'", 3))),
            "X'00ff27'");
  EXPECT_EQ(SqlLiteral(Datum::OfInt(TypeKind::kDate, -1)), "'1969-12-31'");
  EXPECT_EQ(QuotedName("a\"b"), "\"a\"\"b\"");
}

}  // namespace
}  // namespace kalam::cli
