// Splitting, classifying and masking: what is said of a text before it is parsed.
#include <gtest/gtest.h>

#include "sql/parser.h"

namespace kalam::sql {
namespace {

TEST(SplitTest, SplitsOutsideQuotesCommentsAndEnvelopes) {
  Result<std::vector<StatementText>> parts = SplitStatements(
      " -- a;b\n SELECT ';' ; ; SELECT \";\" /* ; */ ; select $q$ ; $q$;;EXECUTE AS USER 'x' "
      "(SELECT 1; SELECT 2);"
      "SELECT `;`");
  ASSERT_TRUE(parts.ok()) << parts.status().ToString();
  std::vector<std::string> texts;
  for (const StatementText& part : *parts) texts.emplace_back(part.text);
  EXPECT_EQ(texts,
            (std::vector<std::string>{"SELECT ';'", "SELECT \";\"", "select $q$ ; $q$",
                                      "EXECUTE AS USER 'x' (SELECT 1; SELECT 2)", "SELECT `;`"}));
  EXPECT_EQ((*parts)[0].offset, 9);
}

TEST(SplitTest, ErrorsHaveKindsAndPositions) {
  EXPECT_EQ(SplitStatements(" ; -- x\n;").status().kind(), ErrorKind::EmptySql);
  EXPECT_EQ(SplitStatements("").status().message(), "No SQL statements provided");
  Status unterminated = SplitStatements("SELECT 1; SELECT 'x").status();
  EXPECT_EQ(unterminated.kind(), ErrorKind::BatchParse);
  EXPECT_EQ(unterminated.position(), 17);
  EXPECT_EQ(SplitStatements("SELECT /* x").status().kind(), ErrorKind::BatchParse);
  std::string long_text(kSqlBytesMax + 1, ' ');
  EXPECT_EQ(SplitStatements(long_text).status().message(),
            "SQL query too long: 1048577 bytes (maximum 1048576 bytes)");
}

TEST(SplitTest, ClassifiesByFirstWords) {
  struct {
    const char* text;
    StatementKind kind;
  } const cases[] = {
      {"/* x */ select 1", StatementKind::kSelect},
      {"(SELECT 1)", StatementKind::kSelect},
      {"with a as (insert into x) update t set a = 1", StatementKind::kUpdate},
      {"with a as (select 1) select 2", StatementKind::kSelect},
      {"create user table t (", StatementKind::kCreateTable},
      {"CREATE USER bob", StatementKind::kCreateUser},
      {"create or replace view v as select 1", StatementKind::kCreateView},
      {"create index i", StatementKind::kAlterTable},
      {"create vector index i", StatementKind::kAlterTable},
      {"drop index i", StatementKind::kAlterTable},
      {"create namespace", StatementKind::kCreateNamespace},
      {"alter stream table t", StatementKind::kAlterTable},
      {"drop shared table t", StatementKind::kDropTable},
      {"drop user if exists u", StatementKind::kDropUser},
      {"set namespace x", StatementKind::kUseNamespace},
      {"set a = 1", StatementKind::kSet},
      {"start transaction", StatementKind::kTransaction},
      {"storage flush all", StatementKind::kStorage},
      {"execute as user x (select 1)", StatementKind::kExecuteAs},
      {"desc t", StatementKind::kShow},
      {"truncate t", StatementKind::kOther},
      {"", StatementKind::kOther},
  };
  for (const auto& test : cases) EXPECT_EQ(ClassifyStatement(test.text), test.kind) << test.text;
}

TEST(SplitTest, MasksSecrets) {
  EXPECT_EQ(MaskSecrets("CREATE USER 'a' WITH PASSWORD 'geh''eim' ROLE user"),
            "CREATE USER 'a' WITH PASSWORD '***' ROLE user");
  EXPECT_EQ(MaskSecrets("create storage s credentials '{\"k\":1}' name 'n'"),
            "create storage s credentials '***' name 'n'");
  EXPECT_EQ(MaskSecrets("UPDATE u SET password_hash = E'x' WHERE id = 'y'"),
            "UPDATE u SET password_hash = '***' WHERE id = 'y'");
  EXPECT_EQ(MaskSecrets("ALTER USER a SET PASSWORD 'unterminated"),
            "ALTER USER a SET PASSWORD '***'");
  EXPECT_EQ(MaskSecrets("SELECT 'password' , 'x'"), "SELECT 'password' , 'x'");
}

}  // namespace
}  // namespace kalam::sql
