// What the engine does when memory is short: statements are refused, an unused instance is closed.
#include <gtest/gtest.h>

#include <filesystem>

#include "analytics/engine.h"
#include "analytics/test_sources.h"
#include "base/id_generators.h"

namespace kalam::analytics {
namespace {

TEST(EngineSheddingTest, RefusesWhatIsNotAdmitted) {
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  bool short_of_memory = true;
  options.admit = [&short_of_memory] {
    return short_of_memory ? Status(ErrorKind::MemoryPressure, "later") : Status::Ok();
  };
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  EXPECT_TRUE(engine->Execute(query).status().Is(ErrorKind::MemoryPressure));
  EXPECT_FALSE(engine->loaded());
  short_of_memory = false;
  EXPECT_TRUE(engine->Execute(query).ok());
}

TEST(EngineSheddingTest, ClosesAtOnceUnlessSomebodyReads) {
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  MemoryAccount account("engine", nullptr);
  options.account = &account;
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  auto stream = engine->Execute(query);
  ASSERT_TRUE(stream.ok());
  engine->CloseIfUnused();
  EXPECT_TRUE(engine->loaded());
  TextSink sink;
  while (*(*stream)->Next(sink, sink.text.size() + 1024)) {
  }
  EXPECT_EQ(sink.text, "1\n");
  engine->CloseIfUnused();
  EXPECT_FALSE(engine->loaded());
  EXPECT_EQ(account.used_bytes(), 0);
}

TEST(EngineSheddingTest, AsksForHalfOfItsMemoryBeforeAStatement) {
  constexpr int64_t kHalfBytes = 16 << 20;
  MemoryAccount root("server", nullptr, 64 << 20);
  EngineOptions options;
  options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
  options.memory_limit_bytes = 2 * kHalfBytes;
  options.account = &root.Child("analytical_engine");
  const auto engine = MakeEngine(options);
  EngineQuery query;
  query.sql = "SELECT 1 AS one";
  {
    const MemoryCharge others(root, (64 << 20) - kHalfBytes + 1);
    EXPECT_TRUE(engine->Execute(query).status().Is(ErrorKind::MemoryPressure));
    EXPECT_TRUE(engine->Explain(query).ok()) << "computes nothing";
  }
  ASSERT_TRUE(engine->Execute(query).ok());
  EXPECT_GE(options.account->peak_bytes(), kHalfBytes);
  EXPECT_LT(options.account->used_bytes(), kHalfBytes) << "given back when it is computed";
}

/// An engine of 32 MiB beside others that hold memory of the same root.
class SharedMemoryTest : public testing::Test {
 protected:
  static constexpr int64_t kMegabyte = 1 << 20;
  static constexpr int64_t kEngineBytes = 32 * kMegabyte;

  SharedMemoryTest() {
    directory_ = testing::TempDir() + "/kalam_shared_memory_" + RandomHex(8);
    std::filesystem::create_directories(directory_);
    options_.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    options_.memory_limit_bytes = kEngineBytes;
    options_.threads = 1;  // how much it needs does not depend on turns
    options_.account = &root_.Child("analytical_engine");
  }
  ~SharedMemoryTest() override {
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open(int64_t root_bytes) {
    root_.set_limit_bytes(root_bytes);
    engine_ = MakeEngine(options_);
  }
  /// `sql` over 120,000 rows, each in a group of its own.
  Result<int64_t> CountRows(const std::string& sql) {
    EngineQuery query;
    query.sql = sql;
    query.sources = {Rows(120'000)};
    KALAM_ASSIGN_OR_RETURN(const auto stream, engine_->Execute(query));
    TextSink sink;
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(const bool more, stream->Next(sink, 64 << 10));
      sink.text.clear();
      if (!more) return sink.rows;
    }
  }
  static std::shared_ptr<GeneratedSource> Rows(int64_t count) {
    return std::make_shared<GeneratedSource>(
        ResultSchema{Column("id", DataType::Of(TypeKind::kBigInt)),
                     Column("body", DataType::Of(TypeKind::kText))},
        count, [](int64_t row, uint32_t column) {
          thread_local std::string body;
          if (column == 0) return Datum::BigInt(row);
          body = std::to_string(row * 7919) + std::string(90, 'x');
          return Datum::Text(body);
        });
  }
  ParquetFile File() {
    ParquetFile file;
    file.local_path = directory_ + "/file.parquet";
    file.source = Rows(1000);
    file.field_ids = {1, 2};
    return file;
  }

  static constexpr char kGroups[] =
      "SELECT \"body\", count(*) AS n FROM kalam_scan(0) GROUP BY \"body\"";

  std::string directory_;
  MemoryAccount root_{"server", nullptr};
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(SharedMemoryTest, AStatementIsRefusedWhatOthersHold) {
  Open(kEngineBytes);
  const auto alone = CountRows(kGroups);
  ASSERT_TRUE(alone.ok()) << alone.status().ToString();
  EXPECT_EQ(*alone, 120'000);
  EXPECT_GT(options_.account->peak_bytes(), 18 * kMegabyte) << "or the rest shows nothing";
  EXPECT_LT(options_.account->used_bytes(), kMegabyte) << "given back with the last row";
  const MemoryCharge others(root_, 14 * kMegabyte);
  const auto beside = CountRows(kGroups);
  EXPECT_TRUE(beside.status().Is(ErrorKind::MemoryPressure)) << beside.status().ToString();
  EXPECT_LE(root_.peak_bytes(), kEngineBytes);
  EXPECT_LT(options_.account->used_bytes(), kMegabyte);
}

TEST_F(SharedMemoryTest, AStatementThatIsTooLargeAloneSaysSo) {
  options_.memory_limit_bytes = 8 * kMegabyte;
  Open(kEngineBytes);
  const auto alone = CountRows(kGroups);
  EXPECT_TRUE(alone.status().Is(ErrorKind::MemoryExceeded)) << alone.status().ToString();
}

TEST_F(SharedMemoryTest, AFileWaitsForRoom) {
  Open(kEngineBytes);
  MemoryCharge others(root_, kEngineBytes);
  ParquetFile file = File();
  int polls = 0;
  file.cancelled = [&] {
    if (++polls == 3) others.Reset();
    return false;
  };
  const auto written = engine_->WriteParquet(file);
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_EQ(written->row_count, 1000);
  EXPECT_GE(polls, 3);
  EXPECT_LE(root_.peak_bytes(), kEngineBytes);
}

TEST_F(SharedMemoryTest, AFileThatIsCancelledWaitsNoLonger) {
  Open(kEngineBytes);
  const MemoryCharge others(root_, kEngineBytes);
  ParquetFile file = File();
  file.cancelled = [] { return true; };
  EXPECT_TRUE(engine_->WriteParquet(file).status().Is(ErrorKind::Cancelled));
}

TEST_F(SharedMemoryTest, ASmallFileIsWrittenInWhatThereIs) {
  options_.file_patience_ms = 0;
  Open(kEngineBytes);
  const MemoryCharge others(root_, kEngineBytes - 4 * kMegabyte);
  const auto written = engine_->WriteParquet(File());
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_LE(root_.peak_bytes(), kEngineBytes);
}

TEST_F(SharedMemoryTest, WithoutRoomAFileEndsAsOneThatIsTooLarge) {
  options_.file_patience_ms = 0;
  Open(kEngineBytes);
  ASSERT_TRUE(engine_->WriteParquet(File()).ok());
  const MemoryCharge others(root_, kEngineBytes - options_.account->used_bytes());
  const auto written = engine_->WriteParquet(File());
  EXPECT_TRUE(written.status().Is(ErrorKind::MemoryExceeded)) << written.status().ToString();
  EXPECT_LE(root_.peak_bytes(), kEngineBytes);
}

}  // namespace
}  // namespace kalam::analytics
