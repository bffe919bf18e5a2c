// The engine over sources in memory: answers, streaming, limits, failures and recovery.
#include "analytics/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "analytics/test_sources.h"
#include "base/clock.h"
#include "base/id_generators.h"

namespace kalam::analytics {
namespace {

using testing::HasSubstr;

constexpr size_t kChunkBytes = 64 << 10;

int64_t ResidentKilobytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8));
  }
  return 0;
}

class EngineTest : public testing::Test {
 protected:
  static EngineOptions Options() {
    EngineOptions options;
    options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    return options;
  }

  void Open(const EngineOptions& options) { engine_ = MakeEngine(options); }

  EngineQuery Query(std::string sql) const {
    EngineQuery query;
    query.sql = std::move(sql);
    query.sources = sources_;
    return query;
  }

  static std::string ReadAll(Result<std::unique_ptr<RowStream>> stream) {
    if (!stream.ok()) return "error: " + stream.status().ToString();
    TextSink sink;
    while (true) {
      const Result<bool> more = (*stream)->Next(sink, sink.text.size() + kChunkBytes);
      if (!more.ok()) return "error: " + more.status().ToString();
      if (!*more) return sink.text;
    }
  }
  std::string Run(EngineQuery query) { return ReadAll(engine_->Execute(std::move(query))); }
  std::string Run(std::string sql) { return Run(Query(std::move(sql))); }

  std::unique_ptr<Engine> engine_ = MakeEngine(Options());
  std::vector<std::shared_ptr<tables::ScanSource>> sources_;
};

std::shared_ptr<GeneratedSource> Numbers(int64_t count, size_t parts = 1) {
  return std::make_shared<GeneratedSource>(
      ResultSchema{Column("n", DataType::Of(TypeKind::kBigInt)),
                   Column("tenth", DataType::Of(TypeKind::kInt)),
                   Column("name", DataType::Of(TypeKind::kText))},
      count,
      [](int64_t row, uint32_t column) {
        if (column == 0) return Datum::BigInt(row);
        if (column == 1) return Datum::OfInt(TypeKind::kInt, row % 10);
        static constexpr std::string_view kNames[] = {"anna",
                                                      "a name that is longer than twelve bytes"};
        return Datum::Text(kNames[row % 2]);
      },
      parts);
}

TEST_F(EngineTest, LoadsOnFirstUseAndClosesWhenIdle) {
  EXPECT_FALSE(engine_->loaded());
  EXPECT_EQ(Run("SELECT 1 AS one"), "1\n");
  EXPECT_TRUE(engine_->loaded());
  engine_->CloseIfIdle(SystemClock().SteadyUs());
  EXPECT_TRUE(engine_->loaded());
  engine_->CloseIfIdle(SystemClock().SteadyUs() + 61'000'000);
  EXPECT_FALSE(engine_->loaded());
  EXPECT_EQ(Run("SELECT 2 AS two"), "2\n");
}

TEST_F(EngineTest, SaysWhatIsMissing) {
  EngineOptions options = Options();
  options.plugin_directory = "/nowhere";
  Open(options);
  EXPECT_THAT(Run("SELECT 1"), HasSubstr("/nowhere/libkalam_analytics.so"));
  EXPECT_THAT(engine_->CheckAvailable().message(), HasSubstr("/nowhere/libkalam_analytics.so"));
  options.enabled = false;
  Open(options);
  const auto refused = engine_->Execute(Query("SELECT 1"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().kind(), ErrorKind::NotAvailable);
  EXPECT_TRUE(engine_->CheckAvailable().Is(ErrorKind::NotAvailable));
  Open(Options());
  EXPECT_TRUE(engine_->CheckAvailable().ok());
  EXPECT_FALSE(engine_->loaded()) << "only asked";
}

TEST_F(EngineTest, GroupsJoinsAndWindows) {
  sources_ = {Numbers(100), Numbers(20)};
  EXPECT_EQ(Run("SELECT tenth, count(*) AS c, kalam_bigint(sum(n)) AS s FROM kalam_scan(0) AS t "
                "WHERE n < 50 GROUP BY tenth HAVING tenth < 2 ORDER BY tenth"),
            "0|5|100\n1|5|105\n");
  EXPECT_EQ(Run("SELECT a.n, b.name FROM kalam_scan(0) AS a JOIN kalam_scan(1) AS b ON a.n = b.n + "
                "18 ORDER BY a.n DESC LIMIT 2"),
            "37|a name that is longer than twelve bytes\n36|anna\n");
  EXPECT_EQ(Run("SELECT n, row_number() OVER (PARTITION BY tenth ORDER BY n DESC) AS r FROM "
                "kalam_scan(1) AS t "
                "WHERE tenth = 3 ORDER BY n"),
            "3|2\n13|1\n");
  EXPECT_EQ(Run("WITH RECURSIVE w AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM w WHERE i < 4) "
                "SELECT i FROM w ORDER BY i"),
            "1\n2\n3\n4\n");
  EXPECT_EQ(Run("SELECT count(*) FROM kalam_scan(0) AS t"), "100\n");
}

TEST_F(EngineTest, ReadsOnlyTheColumnsOfThePlanAndGivesHints) {
  const auto source = Numbers(100);
  sources_ = {source};
  EngineQuery query =
      Query("SELECT sum(tenth) FROM kalam_scan(0) AS t WHERE n >= $1 AND n < 90 AND tenth = 3");
  query.parameters = {Value::BigInt(80)};
  EXPECT_EQ(Run(std::move(query)), "3\n");
  EXPECT_EQ(source->last_columns.size(), 2U);
  std::string hints;
  for (const auto& hint : source->last_hints) {
    hints += source->columns()[hint.column].name + std::to_string(static_cast<int>(hint.op)) +
             ToText(hint.value.datum()) + " ";
  }
  EXPECT_THAT(hints, HasSubstr("n480 "));     // n >= 80
  EXPECT_THAT(hints, HasSubstr("n190 "));     // n < 90
  EXPECT_THAT(hints, HasSubstr("tenth03 "));  // tenth = 3
  EXPECT_EQ(Run("SELECT count(*) FROM kalam_scan(0) AS t"), "100\n");
  EXPECT_TRUE(source->last_columns.empty());
  EXPECT_TRUE(source->last_hints.empty());
}

TEST_F(EngineTest, NeverHintsAcrossAnOuterJoin) {
  const auto source = Numbers(4);
  sources_ = {Numbers(4), source};
  EXPECT_EQ(Run("SELECT a.n, b.n FROM kalam_scan(0) AS a LEFT JOIN kalam_scan(1) AS b ON a.n = b.n "
                "AND b.n > 2 ORDER BY a.n"),
            "0|NULL\n1|NULL\n2|NULL\n3|3\n");
}

TEST_F(EngineTest, CarriesEveryTypeBothWays) {
  const std::string vector("\0\0\x80\x3f\0\0\0\xc0", 8);  // 1, -2
  const std::string uuid("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
  Datum real = Datum::Double(0.5);
  real.kind = TypeKind::kFloat;
  const std::vector<std::pair<DataType, Datum>> cells = {
      {DataType::Of(TypeKind::kBoolean), Datum::Boolean(true)},
      {DataType::Of(TypeKind::kSmallInt), Datum::OfInt(TypeKind::kSmallInt, -7)},
      {DataType::Of(TypeKind::kInt), Datum::OfInt(TypeKind::kInt, -70000)},
      {DataType::Of(TypeKind::kBigInt), Datum::BigInt(INT64_MIN)},
      {DataType::Of(TypeKind::kFloat), real},
      {DataType::Of(TypeKind::kDouble), Datum::Double(-0.25)},
      {DataType::Of(TypeKind::kText), Datum::Text("grün und lang genug für den Heap")},
      {DataType::Of(TypeKind::kTimestamp),
       Datum::OfInt(TypeKind::kTimestamp, 1'700'000'000'123'456)},
      {DataType::Of(TypeKind::kDate), Datum::OfInt(TypeKind::kDate, 19'000)},
      {DataType::Of(TypeKind::kTime), Datum::OfInt(TypeKind::kTime, 3'600'000'001)},
      {DataType::Of(TypeKind::kBytes),
       Datum::Bytes(TypeKind::kBytes, std::string_view("\0\xff", 2))},
      {DataType::Of(TypeKind::kUuid), Datum::Bytes(TypeKind::kUuid, uuid)},
      {DataType::Decimal(4, 2), Datum::Decimal(-1234, 2)},
      {DataType::Decimal(9, 1), Datum::Decimal(123456789, 1)},
      {DataType::Decimal(18, 0), Datum::Decimal(-5, 0)},
      {DataType::Decimal(38, 10), Datum::Decimal(-(static_cast<__int128>(1) << 100), 10)},
      {DataType::Embedding(2), Datum::Bytes(TypeKind::kEmbedding, vector)},
  };
  ResultSchema schema;
  for (size_t i = 0; i < cells.size(); ++i)
    schema.push_back(Column("c" + std::to_string(i), cells[i].first));
  const auto source =
      std::make_shared<GeneratedSource>(schema, 2, [&](int64_t row, uint32_t column) {
        return row == 0 ? cells[column].second : Datum::Null(cells[column].first.kind);
      });
  sources_ = {source};

  auto stream = engine_->Execute(Query("SELECT * FROM kalam_scan(0) AS t"));
  ASSERT_TRUE(stream.ok()) << stream.status().ToString();
  RowBuffer rows((*stream)->schema());
  ASSERT_TRUE((*stream)->Next(rows, kChunkBytes).ok());
  ASSERT_EQ(rows.row_count(), 2U);
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_TRUE((*stream)->schema()[i].type == cells[i].first)
        << i << " " << SqlName((*stream)->schema()[i].type);
    EXPECT_TRUE(rows.rows()[0][i] == Value(cells[i].second)) << i;
    EXPECT_TRUE(rows.rows()[1][i].is_null()) << i;
  }

  // And as parameters.
  EngineQuery query = Query("SELECT count(*) FROM kalam_scan(0) AS t WHERE c0 = $1");
  for (size_t i = 1; i < cells.size(); ++i) {
    query.sql += " AND c" + std::to_string(i) + " = $" + std::to_string(i + 1);
  }
  for (const auto& [type, cell] : cells) query.parameters.emplace_back(cell);
  EXPECT_EQ(Run(std::move(query)), "1\n");
}

TEST_F(EngineTest, GivesWhatWeHaveNoTypeForAsText) {
  EXPECT_EQ(Run("SELECT [1, NULL, 3] AS l, {'a': 'x\"', 'b': 1.5} AS s, INTERVAL '1 day' AS i, "
                "sum(1::BIGINT) AS h"),
            "[1,null,3]|{\"a\":\"x\\\"\",\"b\":1.5}|1 day|1\n");
  EXPECT_EQ(Run("SELECT 170141183460469231731687303715884105727::HUGEINT AS h"),
            "error: Execution error: bigint out of range");
}

TEST_F(EngineTest, ResultColumnsKeepTheTypesOfTheirTables) {
  ResultColumn key = Column("id", DataType::Of(TypeKind::kBigInt));
  key.primary_key = key.unique = key.not_null = true;
  sources_ = {SourceOfRows({key, Column("doc", DataType::Of(TypeKind::kJson)),
                            Column("seen", DataType::Of(TypeKind::kDateTime))},
                           {{Value::BigInt(1), Value(Datum::Bytes(TypeKind::kJson, "{}")),
                             Value(Datum::OfInt(TypeKind::kDateTime, 5))}})};
  const auto types = [this](std::string sql) {
    auto stream = engine_->Execute(Query(std::move(sql)));
    std::string text;
    if (!stream.ok()) return stream.status().ToString();
    for (const ResultColumn& column : (*stream)->schema()) {
      text += SqlName(column.type) + (column.primary_key ? "!" : "") + " ";
    }
    RowBuffer rows((*stream)->schema());
    EXPECT_TRUE((*stream)->Next(rows, kChunkBytes).ok());
    for (size_t i = 0; i < rows.schema().size(); ++i)
      EXPECT_EQ(rows.rows()[0][i].kind(), rows.schema()[i].type.kind);
    return text;
  };
  EXPECT_EQ(types("SELECT id, doc, seen, doc || '' FROM kalam_scan(0) AS t ORDER BY id"),
            "BIGINT! JSON DATETIME TEXT ");
  EXPECT_EQ(types("SELECT doc, count(*) FROM (SELECT doc AS doc FROM kalam_scan(0) AS t) AS u "
                  "GROUP BY doc"),
            "JSON BIGINT ");
  EXPECT_EQ(types("SELECT a.id, b.doc FROM kalam_scan(0) AS a JOIN kalam_scan(0) AS b USING (id)"),
            "BIGINT JSON ");
  EXPECT_EQ(types("WITH w AS (SELECT id, seen FROM kalam_scan(0) AS t) SELECT seen, id FROM w"),
            "DATETIME BIGINT! ");
}

TEST_F(EngineTest, ConvertsToThePromisedTypes) {
  EngineQuery query = Query("SELECT 1 AS a, '2' AS b");
  query.infer_types = false;
  query.schema = {Column("x", DataType::Decimal(5, 1)),
                  Column("y", DataType::Of(TypeKind::kBigInt))};
  auto stream = engine_->Execute(std::move(query));
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ((*stream)->schema()[0].name, "x");
  EXPECT_EQ(ReadAll(std::move(stream)), "1.0|2\n");
}

TEST_F(EngineTest, HasPostgresArithmetic) {
  EXPECT_EQ(Run("SELECT kalam_divide(7, 2), kalam_divide(-7, 2), kalam_modulo(-7, 2), "
                "kalam_divide(7.0, 2::DOUBLE)"),
            "3|-3|-1|3.5\n");
  EXPECT_EQ(Run("SELECT kalam_modulo(7.5, 2), kalam_divide(NULL, 2), kalam_divide('8', 2)"),
            "1.5|NULL|4\n");
  EXPECT_EQ(Run("SELECT kalam_divide(1.00, 3), kalam_divide(10, 2.5), "
                "kalam_divide(NULL::DECIMAL(5,2), 2)"),
            "0.3333333333333333|4.0000000000000000|NULL\n");
  for (const char* sql :
       {"SELECT kalam_divide(1, 0)", "SELECT kalam_modulo(1, 0)", "SELECT kalam_divide(1.5, 0)",
        "SELECT kalam_divide(1::DOUBLE, 0)", "SELECT kalam_modulo(1::DECIMAL(30,2), 0)"}) {
    EXPECT_EQ(Run(sql), "error: Execution error: division by zero") << sql;
  }
  EXPECT_EQ(Run("SELECT kalam_bigint(sum(x)) FROM (VALUES (9223372036854775807), (1)) AS t(x)"),
            "error: Execution error: bigint out of range");
  EXPECT_EQ(Run("SELECT kalam_divide((-9223372036854775808)::BIGINT, -1)"),
            "error: Execution error: bigint out of range");
  EXPECT_EQ(Run("SELECT 2147483647::INTEGER + 1::INTEGER"),
            "error: Execution error: integer out of range");
}

TEST_F(EngineTest, CallsTheNativeScalarFunctions) {
  sources_ = {Numbers(3)};
  EXPECT_EQ(
      Run("SELECT upper(name), substring(name, 1, 2), concat(n, '-', NULL), lpad(name, 6, '.') "
          "FROM kalam_scan(0) AS t WHERE n = 0"),
      "ANNA|an|0-|..anna\n");
  EXPECT_EQ(Run("SELECT date_trunc('month', TIMESTAMP '2024-02-03 01:02:03'), "
                "extract(year FROM DATE '2024-02-03'), abs(-7), mod(7, 4), round(2.5::DOUBLE)"),
            "2024-02-01 00:00:00|2024|7|3|3\n");
  EXPECT_EQ(Run("SELECT json_get_str('{\"a\":\"x\"}', 'a'), json_as_text('[1,2]', 1), "
                "json_length('[1,2]'), "
                "json_get_int('no json', 'a')"),
            "x|2|2|NULL\n");
  EXPECT_EQ(Run("SELECT cosine_distance([1.0, 0.0]::FLOAT[2], '[0,1]')"), "1\n");
  EXPECT_EQ(Run("SELECT CAST(1.0::DOUBLE AS VARCHAR), CAST(DATE '2024-02-03' AS VARCHAR) || '!'"),
            "1|2024-02-03!\n");
  EXPECT_EQ(Run("SELECT repeat('x', 2000000000)"),
            "error: Execution error: the resulting text is too long");
  EngineQuery query = Query("SELECT lower($1), n FROM kalam_scan(0) AS t WHERE length(name) = $2");
  query.parameters = {Value::Text("ÄB"), Value::BigInt(4)};
  EXPECT_EQ(Run(std::move(query)), "äb|0\näb|2\n");
}

TEST_F(EngineTest, OrdersNullsAsPostgresDoes) {
  const std::string values = "FROM (VALUES (2), (NULL), (1)) AS t(x) ORDER BY x";
  EXPECT_EQ(Run("SELECT x " + values), "1\n2\nNULL\n");
  EXPECT_EQ(Run("SELECT x " + values + " DESC"), "NULL\n2\n1\n");
}

TEST_F(EngineTest, StreamsAMillionRowsInFlatMemory) {
  sources_ = {Numbers(1'000'000)};
  auto warm = Run("SELECT count(*) FROM kalam_scan(0) AS t");
  auto stream = engine_->Execute(Query("SELECT n, name FROM kalam_scan(0) AS t"));
  ASSERT_TRUE(stream.ok()) << stream.status().ToString();
  int64_t rows = 0, peak_kb = 0;
  const int64_t before_kb = ResidentKilobytes();
  bool more = true;
  while (more) {
    TextSink sink;
    const auto next = (*stream)->Next(sink, kChunkBytes);
    ASSERT_TRUE(next.ok()) << next.status().ToString();
    more = *next;
    rows += sink.rows;
    peak_kb = std::max(peak_kb, ResidentKilobytes());
  }
  EXPECT_EQ(rows, 1'000'000);
#ifdef KALAM_SANITIZED
  constexpr int64_t kGrowthKilobytesMax = 512
                                          << 10;  // the sanitizer keeps freed memory for a while
#else
  constexpr int64_t kGrowthKilobytesMax = 24 << 10;
#endif
  EXPECT_LT(peak_kb - before_kb, kGrowthKilobytesMax);
}

TEST_F(EngineTest, KeepsTheOrderOfTheSource) {
  sources_ = {Numbers(50'000, 4)};
  auto stream = engine_->Execute(Query("SELECT n FROM kalam_scan(0) AS t WHERE n % 5000 = 0"));
  EXPECT_EQ(ReadAll(std::move(stream)),
            "0\n5000\n10000\n15000\n20000\n25000\n30000\n35000\n40000\n45000\n");
}

TEST_F(EngineTest, StopsAtTheDeadline) {
  sources_ = {Numbers(3'000)};
  const std::string endless =
      "SELECT count(*) FROM kalam_scan(0) AS a, kalam_scan(0) AS b, kalam_scan(0) AS c WHERE a.n + "
      "b.n + c.n = -1";
  EngineQuery query = Query(endless);
  query.deadline_steady_us = SystemClock().SteadyUs() + 100'000;
  EXPECT_THAT(Run(std::move(query)), HasSubstr("error: Timeout: "));
  EngineQuery late = Query("SELECT 1");
  late.deadline_steady_us = SystemClock().SteadyUs() - 1;
  EXPECT_THAT(Run(std::move(late)), HasSubstr("error: Timeout: "));
  EXPECT_EQ(Run("SELECT 1"), "1\n");
}

TEST_F(EngineTest, StopsWhenCancelled) {
  sources_ = {Numbers(3'000)};
  std::atomic<bool> cancelled{false};
  EngineQuery query = Query(
      "SELECT count(*) FROM kalam_scan(0) AS a, kalam_scan(0) AS b, kalam_scan(0) AS c WHERE a.n + "
      "b.n + c.n = -1");
  int polls = 0;
  query.cancelled = [&cancelled, &polls] { return ++polls > 5 || cancelled.load(); };
  EXPECT_THAT(Run(std::move(query)), HasSubstr("error: Cancelled: "));
  EXPECT_EQ(Run("SELECT 1"), "1\n");
}

TEST_F(EngineTest, SurvivesTheMemoryLimit) {
  EngineOptions options = Options();
  options.memory_limit_bytes = 16 << 20;
  options.threads = 1;
  Open(options);
  sources_ = {Numbers(2'000'000)};
  EXPECT_THAT(Run("SELECT count(DISTINCT n) FROM kalam_scan(0) AS t"),
              HasSubstr("error: Memory limit exceeded: "));
  EXPECT_EQ(Run("SELECT count(*) FROM kalam_scan(0) AS t"), "2000000\n");
}

TEST_F(EngineTest, SpillsIntoAFolderThatItMakes) {
  EngineOptions options = Options();
  options.memory_limit_bytes = 24 << 20;
  options.threads = 1;
  const std::string folder = testing::TempDir() + "/kalam_spill_" + RandomHex(8);
  options.temp_directory = folder + "/nested/folder";
  Open(options);
  sources_ = {Numbers(600'000)};
  EXPECT_EQ(Run("SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY name || n) AS r "
                "FROM kalam_scan(0) AS t) AS u WHERE r > 5"),
            "599995\n");
  engine_.reset();
  std::filesystem::remove_all(folder);
}

TEST_F(EngineTest, GivesTheFailureOfASourceWithItsKind) {
  const auto source = Numbers(10'000);
  source->fail_at_row = 5'000;
  sources_ = {source};
  EXPECT_EQ(Run("SELECT sum(n) FROM kalam_scan(0) AS t"), "error: Storage error: the disk is gone");
  EXPECT_EQ(Run("SELECT 1"), "1\n");
}

TEST_F(EngineTest, RefusesACellOfAnotherType) {
  sources_ = {
      std::make_shared<GeneratedSource>(ResultSchema{Column("n", DataType::Of(TypeKind::kBigInt))},
                                        1, [](int64_t, uint32_t) { return Datum::Text("x"); })};
  const auto answer = Run("SELECT n FROM kalam_scan(0) AS t");
  EXPECT_THAT(answer, HasSubstr("column 'n' holds a value of another type"));
}

TEST_F(EngineTest, OneStatementAtATimeButNotOneReaderAtATime) {
  sources_ = {Numbers(100'000)};
  auto slow_reader = engine_->Execute(Query("SELECT n FROM kalam_scan(0) AS t"));
  ASSERT_TRUE(slow_reader.ok());
  TextSink sink;
  ASSERT_TRUE((*slow_reader)->Next(sink, 100).ok());
  EXPECT_EQ(Run("SELECT max(n) FROM kalam_scan(0) AS t"), "99999\n");
  ASSERT_TRUE((*slow_reader)->Next(sink, kChunkBytes).ok());
}

TEST_F(EngineTest, DropsAResultThatNobodyReads) {
  sources_ = {Numbers(100'000)};
  auto stream = engine_->Execute(Query("SELECT n FROM kalam_scan(0) AS t"));
  ASSERT_TRUE(stream.ok());
  TextSink sink;
  ASSERT_TRUE((*stream)->Next(sink, 100).ok());
  engine_->CloseIfIdle(SystemClock().SteadyUs() + 61'000'000);
  EXPECT_FALSE(engine_->loaded());
  const auto next = (*stream)->Next(sink, kChunkBytes);
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.status().kind(), ErrorKind::Timeout);
}

TEST_F(EngineTest, StreamsOutliveTheEngine) {
  sources_ = {Numbers(10'000)};
  auto stream = engine_->Execute(Query("SELECT n FROM kalam_scan(0) AS t"));
  ASSERT_TRUE(stream.ok());
  engine_.reset();
  TextSink sink;
  while (*(*stream)->Next(sink, sink.text.size() + kChunkBytes)) {
  }
  EXPECT_EQ(sink.rows, 10'000);
}

TEST_F(EngineTest, RunsStatementsOfSeveralThreads) {
  EngineOptions options = Options();
  options.concurrent_statements_max = 3;
  Open(options);
  sources_ = {Numbers(20'000, 2)};
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        if (Run("SELECT kalam_bigint(sum(n)) FROM kalam_scan(0) AS t") == "199990000\n") ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 80);
}

TEST_F(EngineTest, ExplainsAndChargesMemory) {
  MemoryAccount account("analytics", nullptr);
  EngineOptions options = Options();
  options.account = &account;
  Open(options);
  sources_ = {Numbers(1'000)};
  const auto plan = engine_->Explain(Query("SELECT count(*) FROM kalam_scan(0) AS t WHERE n = 1"));
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_THAT(*plan, HasSubstr("KALAM_SCAN"));
  auto stream = engine_->Execute(Query("SELECT n, count(*) FROM kalam_scan(0) AS t GROUP BY n"));
  EXPECT_GT(account.used_bytes(), 0);
  stream = Status();
  engine_->Close();
  EXPECT_EQ(account.used_bytes(), 0);
}

TEST_F(EngineTest, GivesAnIdPerRow) {
  EngineOptions options = Options();
  std::atomic<int64_t> next{100};
  options.next_snowflake_id = [&next] { return next.fetch_add(1); };
  Open(options);
  sources_ = {Numbers(3)};
  EXPECT_EQ(Run("SELECT kalam_snowflake_id() FROM kalam_scan(0) AS t"), "100\n101\n102\n");
  EXPECT_EQ(Run("SELECT count(DISTINCT kalam_uuid_v7()), count(DISTINCT kalam_ulid()) FROM "
                "kalam_scan(0) AS t"),
            "3|3\n");
}

}  // namespace
}  // namespace kalam::analytics
