// Tests of request bodies and SQL answers: the JSON on both ends of a SQL request.
#include "server/sql_answer.h"

#include <gtest/gtest.h>

#include "server/request_reader.h"

namespace kalam::server {
namespace {

TEST(SqlAnswerWriter, WritesRowsThenStatus) {
  SqlAnswerWriter writer;
  ResultSchema schema;
  schema.push_back({.name = "id",
                    .type = DataType::Of(TypeKind::kBigInt),
                    .primary_key = true,
                    .unique = true,
                    .not_null = true});
  schema.push_back({.name = "ti\"tle", .type = DataType::Of(TypeKind::kText)});
  writer.BeginRows(schema);
  writer.BeginRow();
  writer.Cell(Datum::BigInt(42), schema[0].type);
  writer.Cell(Datum::Null(), schema[1].type);
  writer.EndRow();
  writer.EndRows("ann", "");
  writer.FinishWithSuccess(1.2344, true);
  EXPECT_EQ(
      writer.Take(),
      R"({"results":[{"schema":[{"name":"id","data_type":"BigInt","index":0,"flags":["pk","nn","uq"]},)"
      R"({"name":"ti\"tle","data_type":"Text","index":1}],"rows":[["42",null]],"row_count":1,"as_user":"ann"}],)"
      R"("status":"success","took":1.234,"error":null})");
}

TEST(SqlAnswerWriter, ClosesOpenRowsBeforeAnError) {
  SqlAnswerWriter writer;
  writer.BeginRows({{.name = "a", .type = DataType::Of(TypeKind::kInt)}});
  (void)writer.Take();
  writer.BeginRow();
  writer.Cell(Datum::OfInt(TypeKind::kInt, 1), DataType::Of(TypeKind::kInt));
  writer.EndRow();
  writer.FinishWithError("STATEMENT_TIMEOUT", "Timeout", "", "ann", 5);
  EXPECT_EQ(writer.Take(), R"([1]],"row_count":1,"as_user":"ann"}],"status":"error","took":5.000,)"
                           R"("error":{"code":"STATEMENT_TIMEOUT","message":"Timeout"}})");
}

TEST(SqlAnswerWriter, WritesCommandsInOrder) {
  SqlAnswerWriter writer;
  writer.Command(0, "made", "root");
  writer.Command(2, std::nullopt, "root");
  writer.FinishWithSuccess(0, false);
  EXPECT_EQ(
      writer.Take(),
      R"({"results":[{"row_count":0,"message":"made","as_user":"root"},{"row_count":2,"as_user":"root"}],)"
      R"("status":"success","took":0.000})");
}

TEST(RequestReader, ReadsParametersByTheirJsonType) {
  MemoryAccount account("bodies", nullptr);
  RequestReader reader(account);
  const auto body = reader.ReadSql(
      R"({"sql":"SELECT $1","params":[null,true,7,1.5,"x"],"other":{},"namespace_id":null})");
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(body->sql, "SELECT $1");
  EXPECT_EQ(body->namespace_id, "default");
  const std::vector<Value> expected = {Value::Null(), Value::Boolean(true), Value::BigInt(7),
                                       Value::Double(1.5), Value::Text("x")};
  EXPECT_EQ(body->parameters, expected);
}

TEST(RequestReader, ReadingALargeBodyAsksForWhatItTakes) {
  MemoryAccount account("bodies", nullptr, 4 << 20);
  RequestReader reader(account);
  std::string nothing_but_marks = R"({"sql":"SELECT 1","params":[)";
  for (int i = 0; i < 50'000; ++i) nothing_but_marks += "[],";
  nothing_but_marks += "0]}";
  EXPECT_EQ(reader.ReadSql(nothing_but_marks).status().kind(), ErrorKind::Busy);
  EXPECT_EQ(reader.ReadParameters(nothing_but_marks).status().kind(), ErrorKind::Busy);
  const std::vector<std::string_view> names = {"sql"};
  EXPECT_EQ(reader.ReadTexts(nothing_but_marks, names).status().kind(), ErrorKind::Busy);
  // In a string they are text.
  std::string text = R"({"sql":"SELECT ')";
  for (int i = 0; i < 50'000; ++i) text += R"([],\")";
  text += R"('"})";
  EXPECT_TRUE(reader.ReadSql(text).ok());
  EXPECT_EQ(account.used_bytes(), 0);
  EXPECT_GT(account.peak_bytes(), 250'000);
  EXPECT_LT(account.peak_bytes(), 300'000);
}

TEST(RequestReader, RefusesBadBodies) {
  MemoryAccount account("bodies", nullptr);
  RequestReader reader(account);
  const auto kind = [&reader](const std::string& body) {
    return reader.ReadSql(body).status().kind();
  };
  EXPECT_EQ(kind(""), ErrorKind::InvalidInput);
  EXPECT_EQ(kind("[]"), ErrorKind::InvalidInput);
  EXPECT_EQ(kind(R"({"sql":1})"), ErrorKind::InvalidInput);
  EXPECT_EQ(kind(R"({"params":[]})"), ErrorKind::InvalidInput);
  EXPECT_EQ(kind(R"({"sql":"x","params":{}})"), ErrorKind::InvalidInput);
  EXPECT_EQ(kind(R"({"sql":"x","params":[[1]]})"), ErrorKind::InvalidParameter);
  EXPECT_EQ(kind("{\"sql\":\"\xff\"}"), ErrorKind::InvalidInput);
  EXPECT_EQ(kind(std::string(100'000, '[')), ErrorKind::InvalidInput);
  static constexpr std::string_view kNames[] = {"user"};
  EXPECT_FALSE(reader.ReadTexts(R"({"user":"a","x":"b"})", kNames).ok());
  EXPECT_TRUE(reader.ReadTexts(R"({"user":"a"})", kNames).ok());
}

}  // namespace
}  // namespace kalam::server
