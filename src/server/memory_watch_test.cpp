// What a short memory moves: the largest table to cold storage. The real guard over a real store.
#include "server/memory_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <string>
#include <utility>

namespace kalam::server {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 2;

class MemoryWatchTest : public ::testing::Test {
 protected:
  MemoryWatchTest() : clock_(kStartUs), memory_("server", nullptr) {
    directory_ = std::filesystem::temp_directory_path() /
                 ("memory_watch_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    storage::StoreOptions options;
    options.path = directory_;
    options.compression = "none";
    store_ = storage::Store::Open(options).value();
    catalog_ = catalog::Catalog::Open(*store_, memory_, 10).value();
    replication::StandaloneOptions group_options;
    group_options.durability = storage::Durability::kOs;
    group_options.clock = &clock_;
    group_ = replication::OpenStandaloneGroup(*store_, *catalog_, group_options).value();
    engine_ = analytics::MakeEngine({.enabled = false});
    query_ = query::QueryEngine::Make(
        {*store_, *catalog_, *group_, *engine_, clock_, memory_, metrics_}, {});
    // Whatever this process holds is beyond the warning level, and nothing makes it critical.
    plan_.warning_bytes = 1;
    plan_.critical_bytes = kNever;
    plan_.block_cache_bytes = 1 << 20;
  }
  ~MemoryWatchTest() override {
    watch_.reset();
    query_.reset();
    engine_.reset();
    group_->Close();
    group_.reset();
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    watch_ = std::make_unique<MemoryWatch>(
        MemoryWatch::Parts{plan_,
                           memory_,
                           *store_,
                           *catalog_,
                           *query_,
                           *engine_,
                           cores_,
                           clock_,
                           metrics_,
                           [this](size_t count_max, int64_t row_count_min) {
                             asked_.emplace_back(count_max, row_count_min);
                             return size_t{1};
                           },
                           {},
                           [this] { ++segments_released_; }});
  }
  /// So many bytes in files of the store.
  void Fill(size_t bytes) {
    storage::WriteBatch batch;
    for (size_t i = 0; i < bytes / 1000; ++i)
      batch.Put(storage::Family::kRows, "key " + std::to_string(i), std::string(1000, 'x'));
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
    ASSERT_TRUE(store_->FlushMemtables().ok());
  }
  void RoundAfter(int64_t seconds) {
    clock_.AdvanceUs(seconds * kSecondUs);
    watch_->Round();
  }

  std::filesystem::path directory_;
  ManualClock clock_;
  Metrics metrics_;
  MemoryAccount memory_;
  MemoryPlan plan_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<query::QueryEngine> query_;
  std::vector<Core*> cores_;
  std::unique_ptr<MemoryWatch> watch_;
  using Asked = std::vector<std::pair<size_t, int64_t>>;
  Asked asked_;
  int segments_released_ = 0;
};

TEST_F(MemoryWatchTest, PressureMovesTheLargestTableOnceAMinute) {
  plan_.budget_bytes = 100'000;
  Fill(200'000);
  Open();
  RoundAfter(59);
  EXPECT_EQ(asked_, Asked{}) << "not right after the start";
  RoundAfter(10);
  EXPECT_EQ(asked_, (Asked{{1, 10'000}})) << "one table, if it has rows enough";
  RoundAfter(10);
  RoundAfter(49);
  EXPECT_EQ(asked_.size(), 1u);
  RoundAfter(10);
  EXPECT_EQ(asked_.size(), 2u) << "still short: the next one";
}

TEST_F(MemoryWatchTest, AStoreWithinTheBudgetStaysHot) {
  plan_.budget_bytes = 1'000'000;
  Fill(200'000);
  Open();
  for (int i = 0; i < 10; ++i) RoundAfter(60);
  EXPECT_EQ(asked_, Asked{});
}

TEST_F(MemoryWatchTest, PressureAndRestDropWhatIsKeptOfColdFiles) {
  plan_.budget_bytes = 100'000;
  Open();
  EXPECT_EQ(segments_released_, 0);
  RoundAfter(1);
  EXPECT_EQ(segments_released_, 1);
  RoundAfter(1);
  EXPECT_EQ(segments_released_, 1) << "it comes back at once: not every second";
  RoundAfter(10);
  EXPECT_EQ(segments_released_, 2);
  watch_->Rest();
  EXPECT_EQ(segments_released_, 3);
}

TEST_F(MemoryWatchTest, NothingMovesWithoutPressure) {
  plan_.budget_bytes = 100'000;
  plan_.warning_bytes = kNever;
  Fill(200'000);
  Open();
  for (int i = 0; i < 10; ++i) RoundAfter(60);
  EXPECT_EQ(asked_, Asked{});
}

TEST_F(MemoryWatchTest, NothingMovesWhileItIsCritical) {
  plan_.budget_bytes = 100'000;
  plan_.critical_bytes = 2;
  Fill(200'000);
  Open();
  for (int i = 0; i < 10; ++i) RoundAfter(60);
  EXPECT_EQ(asked_, Asked{}) << "writing a segment takes memory first";
}

}  // namespace
}  // namespace kalam::server
