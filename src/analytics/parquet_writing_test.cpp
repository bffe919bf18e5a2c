// Parquet files written by the engine, read back by a fresh one: values, groups, order, limits and
// what is left after an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <duckdb.hpp>
#include <filesystem>

#include "analytics/engine.h"
#include "analytics/test_sources.h"
#include "base/clock.h"
#include "base/id_generators.h"

namespace kalam::analytics {
namespace {

using testing::HasSubstr;

class ParquetWritingTest : public testing::Test {
 protected:
  ParquetWritingTest() {
    directory_ = testing::TempDir() + "/kalam_parquet_" + RandomHex(8) +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    path_ = directory_ + "/it's a \"file\".parquet";
    Open(Options());
  }
  ~ParquetWritingTest() override { std::filesystem::remove_all(directory_); }

  EngineOptions Options() const {
    EngineOptions options;
    options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    options.temp_directory = directory_ + "/spill";
    return options;
  }
  void Open(const EngineOptions& options) { engine_ = MakeEngine(options); }

  ParquetFile File(std::shared_ptr<tables::ScanSource> source) const {
    ParquetFile file;
    file.local_path = path_;
    file.source = std::move(source);
    for (size_t i = 0; i < file.source->columns().size(); ++i) {
      file.field_ids.push_back(static_cast<int32_t>(i) + 7);
    }
    return file;
  }

  /// Rows of a fresh engine like `1|text|NULL`, one a line; $FILE is the file written.
  std::string Read(std::string sql) {
    std::string quoted;
    for (const char c : path_) quoted += c == '\'' ? "''" : std::string(1, c);
    for (size_t at = sql.find("$FILE"); at != std::string::npos; at = sql.find("$FILE")) {
      sql.replace(at, 5, "'" + quoted + "'");
    }
    duckdb::Connection connection(fresh_);
    const auto result = connection.Query(sql);
    if (result->HasError()) return "error: " + result->GetError();
    std::string text;
    while (const auto chunk = result->Fetch()) {
      for (duckdb::idx_t row = 0; row < chunk->size(); ++row) {
        for (duckdb::idx_t column = 0; column < chunk->ColumnCount(); ++column) {
          if (column > 0) text += '|';
          text += chunk->GetValue(column, row).ToString();
        }
        text += '\n';
      }
    }
    return text;
  }

  std::string directory_, path_;
  std::unique_ptr<Engine> engine_;
  duckdb::DuckDB fresh_{nullptr};
};

std::shared_ptr<GeneratedSource> Messages(int64_t count) {
  return std::make_shared<GeneratedSource>(
      ResultSchema{Column("id", DataType::Of(TypeKind::kBigInt)),
                   Column("body", DataType::Of(TypeKind::kText))},
      count, [](int64_t row, uint32_t column) {
        static constexpr std::string_view kBodies[] = {
            "short", "a message that is longer than twelve bytes"};
        return column == 0 ? Datum::BigInt(row * 3) : Datum::Text(kBodies[row % 2]);
      });
}

TEST_F(ParquetWritingTest, EveryTypeComesBack) {
  const std::string vector("\0\0\x80\x3f\0\0\0\xc0", 8);  // 1, -2
  const std::string uuid("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
  Datum real = Datum::Double(0.5);
  real.kind = TypeKind::kFloat;
  struct Case {
    DataType type;
    Datum cell;
    const char* engine_type;
    const char* text;
  };
  const std::vector<Case> cases = {
      {DataType::Of(TypeKind::kBoolean), Datum::Boolean(true), "BOOLEAN", "true"},
      {DataType::Of(TypeKind::kSmallInt), Datum::OfInt(TypeKind::kSmallInt, -7), "SMALLINT", "-7"},
      {DataType::Of(TypeKind::kInt), Datum::OfInt(TypeKind::kInt, -70000), "INTEGER", "-70000"},
      {DataType::Of(TypeKind::kBigInt), Datum::BigInt(INT64_MIN), "BIGINT", "-9223372036854775808"},
      {DataType::Of(TypeKind::kFloat), real, "FLOAT", "0.5"},
      {DataType::Of(TypeKind::kDouble), Datum::Double(-0.25), "DOUBLE", "-0.25"},
      {DataType::Of(TypeKind::kText), Datum::Text("grün und lang genug für den Heap"), "VARCHAR",
       "grün und lang genug für den Heap"},
      {DataType::Of(TypeKind::kJson), Datum::Bytes(TypeKind::kJson, "{\"a\": [1]}"), "VARCHAR",
       "{\"a\": [1]}"},
      {DataType::Of(TypeKind::kFile), Datum::Bytes(TypeKind::kFile, "{\"id\":\"7\"}"), "VARCHAR",
       "{\"id\":\"7\"}"},
      {DataType::Of(TypeKind::kTimestamp),
       Datum::OfInt(TypeKind::kTimestamp, 1'700'000'000'123'456), "TIMESTAMP",
       "2023-11-14 22:13:20.123456"},
      {DataType::Of(TypeKind::kDateTime), Datum::OfInt(TypeKind::kDateTime, -1), "TIMESTAMP",
       "1969-12-31 23:59:59.999999"},
      {DataType::Of(TypeKind::kDate), Datum::OfInt(TypeKind::kDate, 19'000), "DATE", "2022-01-08"},
      {DataType::Of(TypeKind::kTime), Datum::OfInt(TypeKind::kTime, 3'600'000'001), "TIME",
       "01:00:00.000001"},
      {DataType::Of(TypeKind::kBytes),
       Datum::Bytes(TypeKind::kBytes, std::string_view("\0\xff", 2)), "BLOB", "\\x00\\xFF"},
      {DataType::Of(TypeKind::kUuid), Datum::Bytes(TypeKind::kUuid, uuid), "UUID",
       "01234567-89ab-cdef-0123-456789abcdef"},
      {DataType::Decimal(4, 2), Datum::Decimal(-1234, 2), "DECIMAL(4,2)", "-12.34"},
      {DataType::Decimal(9, 1), Datum::Decimal(123456789, 1), "DECIMAL(9,1)", "12345678.9"},
      {DataType::Decimal(18, 0), Datum::Decimal(-5, 0), "DECIMAL(18,0)", "-5"},
      {DataType::Decimal(38, 10), Datum::Decimal(-(static_cast<__int128>(1) << 100), 10),
       "DECIMAL(38,10)", "-126765060022822940149.6703205376"},
      {DataType::Embedding(2), Datum::Bytes(TypeKind::kEmbedding, vector), "FLOAT[]",
       "[1.0, -2.0]"},
  };
  ResultSchema schema;
  std::string values, nulls, types;
  for (size_t i = 0; i < cases.size(); ++i) {
    schema.push_back(Column("c" + std::to_string(i), cases[i].type));
    values += std::string(i == 0 ? "" : "|") + cases[i].text;
    nulls += i == 0 ? "NULL" : "|NULL";
    types += "c" + std::to_string(i) + "|" + cases[i].engine_type + "\n";
  }
  // Long runs of both, so that no page has one kind alone.
  const auto source =
      std::make_shared<GeneratedSource>(schema, 5'000, [&](int64_t row, uint32_t column) {
        return row % 3 == 0 ? cases[column].cell : Datum::Null(cases[column].type.kind);
      });
  const auto written = engine_->WriteParquet(File(source));
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_EQ(written->row_count, 5'000);
  EXPECT_EQ(Read("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "
                 "parquet_scan($FILE))"),
            types);
  EXPECT_EQ(Read("SELECT * FROM parquet_scan($FILE) LIMIT 2 OFFSET 3001"),
            nulls + "\n" + nulls + "\n");
  EXPECT_EQ(Read("SELECT DISTINCT * FROM parquet_scan($FILE) ORDER BY c0"),
            values + "\n" + nulls + "\n");
  EXPECT_EQ(Read("SELECT count(*), count(c0), count(c19) FROM parquet_scan($FILE)"),
            "5000|1667|1667\n");
}

TEST_F(ParquetWritingTest, GroupsAreFullAndInOrder) {
  const auto written = engine_->WriteParquet(File(Messages(40'000)));
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_EQ(written->row_count, 40'000);
  EXPECT_EQ(written->size_bytes, static_cast<int64_t>(std::filesystem::file_size(path_)));
  EXPECT_EQ(Read("SELECT row_group_id, row_group_num_rows, stats_min, stats_max FROM "
                 "parquet_metadata($FILE) WHERE path_in_schema = 'id' ORDER BY 1"),
            "0|16384|0|49149\n1|16384|49152|98301\n2|7232|98304|119997\n");
  EXPECT_EQ(Read("SELECT count(*) FROM (SELECT id, file_row_number * 3 AS wanted FROM "
                 "parquet_scan($FILE, file_row_number = true)) WHERE id <> wanted"),
            "0\n");
}

TEST_F(ParquetWritingTest, SmallGroupsAndNoRows) {
  ParquetFile file = File(Messages(4'097));
  file.row_group_rows = 2'048;
  ASSERT_TRUE(engine_->WriteParquet(file).ok());
  EXPECT_EQ(Read("SELECT DISTINCT row_group_num_rows FROM parquet_metadata($FILE) ORDER BY 1"),
            "1\n2048\n");
  // Also sizes at which no chunk of the engine ends by itself.
  for (const int64_t rows : {1'000, 3'000, 100}) {
    file.row_group_rows = rows;
    ASSERT_TRUE(engine_->WriteParquet(file).ok());
    EXPECT_EQ(Read("SELECT max(row_group_num_rows), count(*) FROM parquet_metadata($FILE) WHERE "
                   "path_in_schema = 'id'"),
              std::to_string(rows) + "|" + std::to_string((4'097 + rows - 1) / rows) + "\n");
    EXPECT_EQ(Read("SELECT count(*), sum(id) FROM parquet_scan($FILE)"), "4097|25171968\n");
  }
  const auto written = engine_->WriteParquet(File(Messages(0)));
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_EQ(written->row_count, 0);
  EXPECT_EQ(Read("SELECT count(*) FROM parquet_scan($FILE)"), "0\n");
}

TEST_F(ParquetWritingTest, FieldIdsMetadataAndEncodings) {
  ParquetFile file = File(Messages(20'000));
  file.metadata = {{"kalam.schema_version", "3"}, {"kalam.note", "it's \"so\""}};
  ASSERT_TRUE(engine_->WriteParquet(file).ok());
  EXPECT_EQ(Read("SELECT name, field_id FROM parquet_schema($FILE) WHERE field_id IS NOT NULL"),
            "id|7\nbody|8\n");
  EXPECT_EQ(Read("SELECT decode(key), decode(value) FROM parquet_kv_metadata($FILE) ORDER BY 1"),
            "kalam.note|it's \"so\"\nkalam.schema_version|3\n");
  // What the reader of single rows has to know.
  EXPECT_EQ(Read("SELECT DISTINCT path_in_schema, encodings, compression FROM "
                 "parquet_metadata($FILE) ORDER BY 1"),
            "body|PLAIN_DICTIONARY|ZSTD\nid|PLAIN|ZSTD\n");
}

TEST_F(ParquetWritingTest, RefusesWhatItCannotKeep) {
  ParquetFile file = File(Messages(10));
  file.row_group_rows = 0;
  EXPECT_EQ(engine_->WriteParquet(file).status().kind(), ErrorKind::Internal);
  file = File(Messages(10));
  file.field_ids.pop_back();
  EXPECT_EQ(engine_->WriteParquet(file).status().kind(), ErrorKind::Internal);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

/// Text of `width` bytes a row that hardly compresses.
std::shared_ptr<GeneratedSource> Noise(int64_t count, size_t width) {
  std::string noise;
  uint32_t state = 1;
  for (size_t i = 0; i < 65'536 + width; ++i) {
    state = state * 1664525 + 1013904223;
    noise += static_cast<char>('!' + (state >> 24) % 90);
  }
  return std::make_shared<GeneratedSource>(
      ResultSchema{Column("id", DataType::Of(TypeKind::kBigInt)),
                   Column("body", DataType::Of(TypeKind::kText))},
      count, [noise = std::move(noise), width](int64_t row, uint32_t column) {
        return column == 0 ? Datum::BigInt(row)
                           : Datum::Text(std::string_view(noise).substr(
                                 static_cast<size_t>(row * 37 % 65'536), width));
      });
}

TEST_F(ParquetWritingTest, WritesWithinSmallLimits) {
  struct Case {
    int64_t limit_bytes;
    size_t width;
    int64_t group_rows;
  };
  const Case cases[] = {{64 << 20, 500, 16'384}, {64 << 20, 2'000, 4'096}, {64 << 20, 60'000, 128},
                        {32 << 20, 200, 16'384}, {32 << 20, 2'000, 2'048}, {32 << 20, 60'000, 64}};
  for (const Case& each : cases) {
    EngineOptions options = Options();
    options.memory_limit_bytes = each.limit_bytes;
    Open(options);
    const int64_t rows = std::min<int64_t>(40'000, (100 << 20) / static_cast<int64_t>(each.width));
    ParquetFile file = File(Noise(rows, each.width));
    file.row_group_rows = RowGroupRowsWithin(each.limit_bytes, static_cast<int64_t>(each.width));
    EXPECT_EQ(file.row_group_rows, each.group_rows);
    const auto written = engine_->WriteParquet(file);
    ASSERT_TRUE(written.ok()) << each.limit_bytes << " " << each.width << ": "
                              << written.status().ToString();
    EXPECT_EQ(Read("SELECT count(*), sum(length(body)) FROM parquet_scan($FILE)"),
              std::to_string(rows) + "|" + std::to_string(rows * static_cast<int64_t>(each.width)) +
                  "\n");
  }
}

TEST_F(ParquetWritingTest, GroupsBeyondTheLimitAreAnError) {
  EngineOptions options = Options();
  options.memory_limit_bytes = 32 << 20;
  Open(options);
  const auto written = engine_->WriteParquet(File(Noise(40'000, 4'000)));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.status().kind(), ErrorKind::MemoryExceeded);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(engine_->WriteParquet(File(Messages(10))).ok());
}

TEST_F(ParquetWritingTest, NothingIsLeftOfAFileThatFailed) {
  auto source = Messages(100'000);
  source->fail_at_row = 50'000;
  auto written = engine_->WriteParquet(File(source));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.status().ToString(), "Storage error: the disk is gone");
  EXPECT_FALSE(std::filesystem::exists(path_));

  ParquetFile file = File(Messages(3'000'000));
  std::atomic<int> polls{0};
  file.cancelled = [&polls] { return ++polls > 3; };
  written = engine_->WriteParquet(file);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.status().kind(), ErrorKind::Cancelled);
  EXPECT_FALSE(std::filesystem::exists(path_));

  file = File(Messages(100'000'000));
  file.deadline_steady_us = SystemClock().SteadyUs() + 100'000;
  written = engine_->WriteParquet(file);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.status().kind(), ErrorKind::Timeout);
  EXPECT_FALSE(std::filesystem::exists(path_));

  EXPECT_TRUE(engine_->WriteParquet(File(Messages(10))).ok());
}

TEST_F(ParquetWritingTest, AFullDiskIsAnErrorThatNamesTheFile) {
  std::filesystem::create_symlink("/dev/full", path_);
  const auto written = engine_->WriteParquet(File(Messages(100'000)));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.status().kind(), ErrorKind::StorageIo);
  EXPECT_THAT(written.status().ToString(), HasSubstr("No space left on device"));
  EXPECT_FALSE(std::filesystem::is_symlink(path_));
  path_ = directory_ + "/no/such/folder.parquet";
  EXPECT_THAT(engine_->WriteParquet(File(Messages(1))).status().ToString(),
              HasSubstr("No such file or directory"));
}

TEST_F(ParquetWritingTest, AStatementUnderWayHoldsUpNoFile) {
  EngineQuery query;
  query.sql = "SELECT id FROM kalam_scan(0) AS t";
  query.sources = {Messages(100'000)};
  auto stream = engine_->Execute(std::move(query));
  ASSERT_TRUE(stream.ok());
  TextSink sink;
  ASSERT_TRUE((*stream)->Next(sink, 100).ok());
  EXPECT_TRUE(engine_->WriteParquet(File(Messages(10))).ok());
  ASSERT_TRUE((*stream)->Next(sink, 200).ok());
}

}  // namespace
}  // namespace kalam::analytics
