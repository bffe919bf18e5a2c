// What the store counts of RocksDB's work.
#include "storage/event_counts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "storage/store_test_bench.h"

namespace kalam::storage {
namespace {

class EventCountsTest : public StoreTest {
 protected:
  EventCountsTest() { Reopen(); }
  void Put(std::string_view key, std::string_view value) {
    StoreTest::Put(Family::kRows, key, value);
  }
  bool Finds(std::string_view key) {
    auto value = store_->Get(Family::kRows, key);
    EXPECT_TRUE(value.ok());
    return value.ok() && value->has_value();
  }
  double Count(const std::string& name) const {
    for (const StoreCount& count : store_->counts()) {
      if (count.name == name) return std::stod(count.value);
    }
    ADD_FAILURE() << "no count " << name;
    return -1;
  }
};

TEST_F(EventCountsTest, EverySyncedWriteIsASyncOfTheLog) {
  const double syncs = Count("wal_syncs_total");
  const double bytes = Count("wal_written_bytes_total");
  const double keys = Count("keys_written_total");
  for (const char* key : {"a", "b", "c"}) Put(key, std::string(1'000, 'x'));
  EXPECT_EQ(Count("wal_syncs_total"), syncs + 3);
  EXPECT_EQ(Count("keys_written_total"), keys + 3);
  EXPECT_GT(Count("wal_written_bytes_total"), bytes + 3'000);
  EXPECT_LT(Count("wal_written_bytes_total"), bytes + 3'200);
}

TEST_F(EventCountsTest, AReadThatMissesTheCacheHitsItTheNextTime) {
  Put("a", "1");
  Put("z", "1");
  EXPECT_TRUE(Finds("a"));
  EXPECT_EQ(Count("memtable_hits_total"), 1);
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Reopen();
  const double misses = Count("block_cache_misses_total");
  EXPECT_TRUE(Finds("a"));
  EXPECT_GT(Count("block_cache_misses_total"), misses);
  const double missed = Count("block_cache_misses_total");
  const double hits = Count("block_cache_hits_total");
  EXPECT_TRUE(Finds("a"));
  EXPECT_EQ(Count("block_cache_misses_total"), missed);
  EXPECT_GT(Count("block_cache_hits_total"), hits);
  EXPECT_EQ(Count("bloom_filter_positives_total"), 2);
  EXPECT_EQ(Count("bloom_filter_true_positives_total"), 2);
  EXPECT_EQ(Count("bloom_filter_useful_total"), 0);
}

TEST_F(EventCountsTest, AFilterSparesTheReadOfAKeyThatIsNotThere) {
  Put("a", "1");
  Put("z", "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Finds("key" + std::to_string(i)));
  EXPECT_GE(Count("bloom_filter_useful_total"), 90);
  EXPECT_EQ(Count("keys_read_total"), 101);  // and the format version
}

TEST_F(EventCountsTest, FlushesAndCompactionsAreCountedWithTheirBytes) {
  EXPECT_EQ(Count("compactions_total"), 0);
  // What does not compress comes out as long as it went in.
  std::string noise(100'000, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  for (const char* key : {"a", "b"}) {
    Put(key, noise);
    ASSERT_TRUE(store_->FlushMemtables().ok());
  }
  EXPECT_GE(Count("flushes_total"), 2);
  EXPECT_GT(Count("flush_written_bytes_total"), 200'000);
  EXPECT_LT(Count("flush_written_bytes_total"), 300'000);
  ASSERT_TRUE(store_->CompactRange(Family::kRows, {}).ok());
  EXPECT_GE(Count("compactions_total"), 1);
  EXPECT_GT(Count("compaction_read_bytes_total"), 200'000);
  EXPECT_GT(Count("compaction_written_bytes_total"), 200'000);
  EXPECT_GT(Count("compaction_seconds_total"), 0);
  EXPECT_EQ(Count("background_errors_total"), 0);
}

TEST_F(EventCountsTest, ACompactionThatMeetsADamagedFileIsABackgroundError) {
  std::string noise(100'000, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  options_.max_open_files = 64;
  Put("a", noise);
  ASSERT_TRUE(store_->FlushMemtables().ok());
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
    if (entry.path().extension() != ".sst" || entry.file_size() < 100'000) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(50'000);
    file.write("damage", 6);
  }
  Reopen();
  EXPECT_FALSE(store_->CompactRange(Family::kRows, {}).ok());
  EXPECT_EQ(Count("background_errors_total"), 1);
}

TEST_F(EventCountsTest, EveryCountHasANameAndAnExplanationOfItsOwn) {
  std::map<std::string_view, std::string_view> seen;
  for (const StoreCount& count : store_->counts()) {
    EXPECT_TRUE(count.name.ends_with("_total")) << count.name;
    EXPECT_FALSE(count.help.empty()) << count.name;
    EXPECT_TRUE(seen.emplace(count.name, count.help).second) << count.name;
  }
  EXPECT_GE(seen.size(), 20u);
}

}  // namespace
}  // namespace kalam::storage
