// Scans beside deleted ranges: no row goes missing because a file could not be read, and nobody
// pays for ranges that lie elsewhere.
#include "storage/range_deletions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "storage/rocksdb_internal.h"
#include "storage/store_test_bench.h"

namespace kalam::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RangeDeletionsTest : public StoreTest {
 protected:
  void DeleteRange(Family family, std::string_view begin, std::string_view end) {
    WriteBatch batch;
    batch.DeleteRange(family, begin, end);
    ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  }
  /// The first key of a scan of memory, or why there is none.
  std::string FirstInMemory(Family family, const ScanRange& range) {
    auto iterator =
        store_->NewIterator(family, range, store_->OnlyInMemory(store_->TakeSnapshot()));
    iterator->SeekToFirst();
    return iterator->Valid() ? std::string(iterator->key()) : iterator->status().ToString();
  }
  /// The same once all keys of the family are cached. A compaction that RocksDB starts by itself
  /// may bring them into a file that is not, once.
  std::string FirstOfCached(Family family, const ScanRange& range) {
    std::string first;
    do {
      Keys(family, {});
      first = FirstInMemory(family, range);
    } while (first == "cannot read on");
    return first;
  }
  /// Keys until the end, and how it ended.
  std::pair<std::vector<std::string>, ErrorKind> Scan(Family family, const ScanRange& range) {
    std::vector<std::string> keys;
    auto iterator = store_->NewIterator(family, range);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next())
      keys.emplace_back(iterator->key());
    return {keys, iterator->status().kind()};
  }
  /// Files go once the last reader or compaction has let go of them.
  void AwaitNoPlaces() {
    while (Places() > 0) std::this_thread::yield();
  }
  int64_t Places() { return store_->properties().deleted_range_places; }
  std::string Count(std::string_view name) {
    for (const StoreCount& count : store_->counts())
      if (count.name == name) return count.value;
    return "none";
  }
  std::string NewestTableFile() const {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(options_.path))
      if (entry.path().extension() == ".sst") newest = std::max(newest, entry.path().string());
    return newest;
  }
};

TEST_F(RangeDeletionsTest, ReadersOfMemoryMissNothingBehindADeletedRange) {
  Reopen();
  for (const char* key : {"b", "c", "d", "e"}) Put(Family::kRows, key, "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  DeleteRange(Family::kRows, "b", "e");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("e")) << "both files are cached by that";
  Put(Family::kRows, "c", "2");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  // RocksDB's own would give out "e": "c" lies in a file that is not cached.
  EXPECT_THAT(FirstInMemory(Family::kRows, {"a", "z"}), HasSubstr("cannot read on"));
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("c", "e"));
  EXPECT_EQ(FirstOfCached(Family::kRows, {"a", "z"}), "c");
  Reopen();
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("c", "e")) << "what lies there was looked at";
  EXPECT_EQ(FirstOfCached(Family::kRows, {"a", "z"}), "c");
  ASSERT_TRUE(store_->SinkDeletions(Family::kRows, {"a", "z"}).ok());
  AwaitNoPlaces();  // the range has met what it deletes
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("c", "e"));
}

TEST_F(RangeDeletionsTest, ADamagedFileBehindADeletedRangeIsAnError) {
  Reopen();
  for (const char* key : {"b", "c", "d", "e"}) Put(Family::kRows, key, "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  DeleteRange(Family::kRows, "b", "e");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Put(Family::kRows, "c", "2");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Reopen();
  FlipByte(NewestTableFile(), 3);
  // RocksDB's own would give out "e".
  EXPECT_EQ(Scan(Family::kRows, {"a", "z"}).second, ErrorKind::Corruption);
}

TEST_F(RangeDeletionsTest, ASnapshotFromBeforeSeesWhatWasDeletedSince) {
  Reopen();
  for (const char* key : {"a", "b", "c"}) Put(Family::kRows, key, "1");
  const SnapshotPtr before = store_->TakeSnapshot();
  DeleteRange(Family::kRows, "b", "c");
  const SnapshotPtr between = store_->TakeSnapshot();
  Put(Family::kRows, "b", "2");
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(Keys(Family::kRows, {}, before), ElementsAre("a", "b", "c"));
    EXPECT_THAT(Keys(Family::kRows, {}, between), ElementsAre("a", "c"));
    EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("a", "b", "c"));
    ASSERT_TRUE(store_->FlushMemtables().ok());
  }
}

TEST_F(RangeDeletionsTest, IteratorsGoBothWaysOverWhatIsLeft) {
  Reopen();
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g"}) Put(Family::kRows, key, "1");
  DeleteRange(Family::kRows, "b", "d");
  DeleteRange(Family::kRows, "e", "g");
  auto iterator = store_->NewIterator(Family::kRows, {"a", "z"});
  const auto at = [&iterator] { return iterator->Valid() ? std::string(iterator->key()) : "end"; };
  iterator->Seek("b");
  EXPECT_EQ(at(), "d");
  iterator->Next();
  EXPECT_EQ(at(), "g");
  iterator->Prev();
  EXPECT_EQ(at(), "d");
  iterator->Prev();
  EXPECT_EQ(at(), "a");
  iterator->Prev();
  EXPECT_EQ(at(), "end");
  iterator->SeekForPrev("f");
  EXPECT_EQ(at(), "d");
  iterator->SeekToLast();
  EXPECT_EQ(at(), "g");
  EXPECT_TRUE(iterator->status().ok());
}

TEST_F(RangeDeletionsTest, ScansOfOtherTablesAskAboutNothing) {
  Reopen();
  for (const char* key : {"tab1a", "tab1b", "tab2a"}) Put(Family::kRows, key, "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  DeleteRange(Family::kRows, "tab1", "tab1b");
  std::string before = Count("keys_read_total");
  EXPECT_THAT(Keys(Family::kRows, {"tab2", "tab3"}), ElementsAre("tab2a"));
  EXPECT_EQ(FirstInMemory(Family::kRows, {"tab2", "tab3"}), "tab2a");
  EXPECT_EQ(Count("keys_read_total"), before);
  EXPECT_EQ(Count("hidden_keys_total"), "0");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Reopen();
  EXPECT_EQ(Places(), 1) << "in a file";
  before = Count("keys_read_total");
  EXPECT_THAT(Keys(Family::kRows, {"tab2", "tab3"}), ElementsAre("tab2a"));
  EXPECT_EQ(Count("keys_read_total"), before) << "the file says which table it is about";
  EXPECT_THAT(Keys(Family::kRows, {"tab1", "tab2"}), ElementsAre("tab1b"));
  EXPECT_EQ(Count("hidden_keys_total"), "1");
}

TEST_F(RangeDeletionsTest, WhoMustNotWaitDoesNotWalkOverManyDeletedRows) {
  Reopen();
  WriteBatch batch;
  for (int i = 0; i < 1000; ++i) batch.Put(Family::kRows, "key" + std::to_string(1000 + i), "1");
  ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  DeleteRange(Family::kRows, "key1000", "key1200");
  EXPECT_EQ(FirstInMemory(Family::kRows, {"key", "kez"}), "key1200");
  DeleteRange(Family::kRows, "key1000", "key1999");
  EXPECT_THAT(FirstInMemory(Family::kRows, {"key", "kez"}), HasSubstr("many rows were deleted"));
  EXPECT_THAT(Keys(Family::kRows, {"key", "kez"}), ElementsAre("key1999"));
}

TEST_F(RangeDeletionsTest, AMemtableIsRidOfThemAsSoonAsItIsWrittenOut) {
  Reopen();
  Put(Family::kRows, "a", "1");
  DeleteRange(Family::kRows, "a", "b");
  EXPECT_EQ(Places(), 1);
  // Later writes of others do not make it wait for another turn.
  Put(Family::kSystem, "x", "1");
  ASSERT_TRUE(store_->CompactRange(Family::kRows, {"a", "c"}).ok());
  AwaitNoPlaces();
}

TEST_F(RangeDeletionsTest, ARangeThatMeetsNothingGoesAsWell) {
  Reopen();
  for (const char* key : {"tab1a", "tab1b"}) Put(Family::kRows, key, "1");
  DeleteRange(Family::kRows, "tab1", "tab1b");
  ASSERT_TRUE(store_->SinkDeletions(Family::kRows, {"tab1", "tab2"}).ok());
  AwaitNoPlaces();
  EXPECT_THAT(Keys(Family::kRows, {"tab1", "tab2"}), ElementsAre("tab1b"));
}

TEST_F(RangeDeletionsTest, WhatAnInterruptionHasLeftIsTakenDown) {
  Reopen();
  for (const Family family : {Family::kRows, Family::kOrder}) {
    for (const char* key : {"tab1a", "tab1b", "tab2a", "tab2b"}) Put(family, key, "1");
    ASSERT_TRUE(store_->FlushMemtables().ok());
    DeleteRange(family, "tab1", "tab1b");
    ASSERT_TRUE(store_->FlushMemtables().ok());
    DeleteRange(family, "tab2", "tab2b");
  }
  Reopen();
  EXPECT_TRUE(store_->HasDeletedRanges(Family::kRows, {"tab1", "tab2"}));
  EXPECT_FALSE(store_->HasDeletedRanges(Family::kRows, {"tab3", "tab4"}));
  EXPECT_FALSE(store_->HasDeletedRanges(Family::kChanges, {}));
  EXPECT_EQ(*store_->SinkLeftDeletions(), 4);
  AwaitNoPlaces();
  EXPECT_FALSE(store_->HasDeletedRanges(Family::kRows, {"tab1", "tab2"}));
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("tab1b", "tab2b"));
  EXPECT_THAT(Keys(Family::kOrder, {}), ElementsAre("tab1b", "tab2b"));
  EXPECT_EQ(*store_->SinkLeftDeletions(), 0);
}

TEST_F(RangeDeletionsTest, AFileOfAnOlderVersionIsAskedAboutWithinItsBounds) {
  rocksdb::Options options;
  options.create_if_missing = options.create_missing_column_families = true;
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {{"default", {}}};
  for (const std::string_view name : kFamilyNames)
    families.emplace_back(std::string(name), options);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, options_.path, families, &handles, &raw).ok());
  std::unique_ptr<rocksdb::DB> older(raw);
  rocksdb::ColumnFamilyHandle* rows = handles[FamilyNumber(Family::kRows)];
  for (const char* key : {"tab1a", "tab2a", "tab2b", "tab3a"})
    ASSERT_TRUE(older->Put({}, rows, key, "1").ok());
  ASSERT_TRUE(older->Flush({}, rows).ok());
  ASSERT_TRUE(older->DeleteRange({}, rows, "tab2", "tab2b").ok());
  ASSERT_TRUE(older->Flush({}, rows).ok());
  for (auto* handle : handles) older->DestroyColumnFamilyHandle(handle);
  older.reset();
  Reopen();
  EXPECT_EQ(Places(), 1);
  EXPECT_FALSE(store_->HasDeletedRanges(Family::kRows, {"tab1", "tab2"}));
  EXPECT_TRUE(store_->HasDeletedRanges(Family::kRows, {"tab2", "tab3"}));
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("tab1a", "tab2b", "tab3a"));
  EXPECT_EQ(*store_->SinkLeftDeletions(), 1);
  AwaitNoPlaces();
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("tab1a", "tab2b", "tab3a"));
}

TEST_F(RangeDeletionsTest, AReaderOfMemoryDoesNotTakeAFileThatIsNotOpenForAnEmptyValue) {
  options_.max_open_files = 20;  // of which two are opened at the start
  Reopen();
  for (int i = 0; i < 8; ++i) {
    const std::string key = "key" + std::to_string(i);
    Put(Family::kSystem, key, "value");
    // Each on the last level, so that none is joined with another.
    ASSERT_TRUE(store_->CompactRange(Family::kSystem, {key, key + "x"}).ok());
  }
  Reopen();
  const SnapshotPtr in_memory = store_->OnlyInMemory(store_->TakeSnapshot());
  int not_in_memory = 0;
  for (int i = 0; i < 8; ++i) {
    const auto value = store_->Get(Family::kSystem, "key" + std::to_string(i), in_memory);
    if (value.status().kind() == ErrorKind::NotInMemory) {
      ++not_in_memory;
    } else {
      ASSERT_TRUE(value.ok());
      EXPECT_EQ(*value, "value");
    }
  }
  EXPECT_GT(not_in_memory, 4);
}

/// Random writes, ranges among them, with files and memtables in any state, beside a map.
class RandomWritesTest : public RangeDeletionsTest, public testing::WithParamInterface<uint32_t> {
 protected:
  using Model = std::map<std::string, std::string>;

  int Random(int count) { return static_cast<int>(random_() % static_cast<uint32_t>(count)); }
  std::string RandomKey() {
    return "tab" + std::to_string(Random(3)) + static_cast<char>('a' + Random(26)) +
           static_cast<char>('a' + Random(4));
  }
  ScanRange RandomRange() {
    ScanRange range{RandomKey(), RandomKey()};
    if (range.lower > range.upper) std::swap(range.lower, range.upper);
    range.upper += '\0';
    return range;
  }

  void Step() {
    WriteBatch batch;
    const int kind = Random(100);
    if (kind < 60) {
      const std::string key = RandomKey();
      batch.Put(Family::kRows, key, model_[key] = std::to_string(++version_));
    } else if (kind < 75) {
      const std::string key = RandomKey();
      batch.Delete(Family::kRows, key);
      model_.erase(key);
    } else if (kind < 85) {
      const ScanRange range = RandomRange();
      batch.DeleteRange(Family::kRows, range.lower, range.upper);
      model_.erase(model_.lower_bound(range.lower), model_.lower_bound(range.upper));
    } else if (kind < 90) {
      ASSERT_TRUE(store_->FlushMemtables().ok());
    } else if (kind < 92) {
      ASSERT_TRUE(store_->CompactRange(Family::kRows, RandomRange()).ok());
    } else if (kind < 94) {
      ASSERT_TRUE(store_->SinkDeletions(Family::kRows, RandomRange()).ok());
    } else if (kind < 95) {
      snapshots_.clear();
      Reopen();
    } else if (snapshots_.size() < 3) {
      snapshots_.emplace_back(store_->TakeSnapshot(), model_);
    } else {
      snapshots_.erase(snapshots_.begin() + Random(3));
    }
    ASSERT_TRUE(store_->Write(std::move(batch), Durability::kOs).ok());
  }

  /// `may_end` early, but for want of memory and with nothing left out before that.
  void Compare(const ScanRange& range, const SnapshotPtr& snapshot, const Model& model,
               bool may_end) {
    std::vector<std::pair<std::string, std::string>> expected(model.lower_bound(range.lower),
                                                              model.lower_bound(range.upper));
    for (const bool upwards : {true, false}) {
      auto iterator = store_->NewIterator(Family::kRows, range, snapshot);
      upwards ? iterator->SeekToFirst() : iterator->SeekToLast();
      size_t count = 0;
      for (; iterator->Valid(); ++count) {
        ASSERT_LT(count, expected.size()) << iterator->key();
        ASSERT_EQ(iterator->key(), expected[count].first);
        ASSERT_EQ(iterator->value(), expected[count].second);
        upwards ? iterator->Next() : iterator->Prev();
      }
      if (!may_end || iterator->status().kind() != ErrorKind::NotInMemory) {
        ASSERT_TRUE(iterator->status().ok()) << iterator->status().ToString();
        ASSERT_EQ(count, expected.size());
      }
      std::reverse(expected.begin(), expected.end());
    }
  }

  std::mt19937 random_{GetParam()};
  Model model_;
  std::vector<std::pair<SnapshotPtr, Model>> snapshots_;
  int version_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomWritesTest, testing::Range(1U, 5U));

TEST_P(RandomWritesTest, ScansSeeWhatAMapSees) {
  Reopen();
  for (int step = 0; step < 800 && !HasFatalFailure(); ++step) {
    Step();
    const ScanRange range = RandomRange();
    // Memory first: what may wait reads all of it into memory.
    Compare(range, store_->OnlyInMemory(store_->TakeSnapshot()), model_, true);
    Compare(range, nullptr, model_, false);
    for (const auto& [snapshot, model] : snapshots_) {
      Compare(range, store_->OnlyInMemory(snapshot), model, true);
      Compare(range, snapshot, model, false);
    }
  }
  snapshots_.clear();
}

TEST_F(RangeDeletionsTest, ReadersBesideAWriterSeeWholeWritesAlone) {
  Reopen();
  const auto write = [this](int version) {
    WriteBatch batch;
    for (int i = 0; i < 60; ++i)
      batch.Put(Family::kRows, "key" + std::to_string(100 + i), std::to_string(version));
    batch.DeleteRange(Family::kRows, "key100", "key140");
    ASSERT_TRUE(store_->Write(std::move(batch), Durability::kOs).ok());
  };
  write(0);
  std::atomic<bool> stops{false};
  std::atomic<int> scans{0};
  const auto read = [&](bool in_memory) {
    while (!stops) {
      const SnapshotPtr snapshot =
          in_memory ? store_->OnlyInMemory(store_->TakeSnapshot()) : nullptr;
      auto iterator = store_->NewIterator(Family::kRows, {"key", "kez"}, snapshot);
      std::string version;
      int count = 0;
      for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++count) {
        ASSERT_EQ(iterator->key(), "key" + std::to_string(140 + count));
        if (count == 0) version = iterator->value();
        ASSERT_EQ(iterator->value(), version);
      }
      ++scans;
      if (in_memory && iterator->status().kind() == ErrorKind::NotInMemory) continue;
      ASSERT_TRUE(iterator->status().ok()) << iterator->status().ToString();
      ASSERT_EQ(count, 20);
    }
  };
  std::thread waits(read, false), does_not(read, true);
  for (int version = 1; (version <= 150 || scans < 150) && !HasFailure(); ++version) {
    write(version);
    if (version % 3 == 0) EXPECT_TRUE(store_->FlushMemtables().ok());
    if (version % 7 == 0) EXPECT_TRUE(store_->SinkDeletions(Family::kRows, {"key", "kez"}).ok());
  }
  stops = true;
  waits.join();
  does_not.join();
}

class FamilyTest : public RangeDeletionsTest, public testing::WithParamInterface<Family> {
 protected:
  /// One with the key "a", one with "c"; of neither is anything cached.
  void PutTwoFilesOfALevel() {
    const Family family = GetParam();
    Reopen();
    Put(family, "a", "1");
    ASSERT_TRUE(store_->CompactRange(family, {"a", "b"}).ok());
    Put(family, "c", "1");
    ASSERT_TRUE(store_->CompactRange(family, {"b", "d"}).ok());
    Reopen();
  }
  void DamageAllFiles() {
    for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
      if (entry.path().extension() == ".sst") FlipByte(entry.path(), 3);
    }
  }
};
// But for kCatalog, of which a start reads a block.
INSTANTIATE_TEST_SUITE_P(Everywhere, FamilyTest,
                         testing::Values(Family::kSystem, Family::kRows, Family::kOrder,
                                         Family::kChanges, Family::kTopics, Family::kSegments,
                                         Family::kLog));

TEST_P(FamilyTest, ReadersOfMemoryMissNothingBesideARangeDeletedInAMemtable) {
  const Family family = GetParam();
  Reopen();
  for (const char* key : {"b", "z"}) Put(family, key, "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  EXPECT_THAT(Keys(family, {"a", "zz"}), ElementsAre("b", "z")) << "that file is cached";
  Put(family, "d", "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  DeleteRange(family, "b", "c");
  // RocksDB's own would give out "z": "d" lies in a file that is not cached.
  EXPECT_THAT(FirstInMemory(family, {"a", "zz"}), HasSubstr("cannot read on"));
  Reopen();
  EXPECT_EQ(Places(), 1) << "it came back from the log";
  EXPECT_THAT(Keys(family, {"a", "zz"}), ElementsAre("d", "z"));
  ASSERT_TRUE(store_->SinkDeletions(family, {"a", "zz"}).ok());
  AwaitNoPlaces();  // neither memory nor a file holds one
  EXPECT_THAT(Keys(family, {"a", "zz"}), ElementsAre("d", "z"));
  EXPECT_EQ(FirstInMemory(family, {"a", "zz"}), "d");
  Reopen();
  EXPECT_EQ(Places(), 0) << "what a log tells has been written out";
}

TEST_P(FamilyTest, ReadersOfMemoryMissNoFileOfALevel) {
  const Family family = GetParam();
  PutTwoFilesOfALevel();
  EXPECT_THAT(Keys(family, {"a", "b"}), ElementsAre("a")) << "the first one is cached";
  auto upwards =
      store_->NewIterator(family, {"a", "d"}, store_->OnlyInMemory(store_->TakeSnapshot()));
  upwards->SeekToFirst();
  ASSERT_TRUE(upwards->Valid());
  EXPECT_EQ(upwards->key(), "a");
  upwards->Next();
  EXPECT_FALSE(upwards->Valid());
  EXPECT_EQ(upwards->status().kind(), ErrorKind::NotInMemory);
  upwards.reset();
  Reopen();
  EXPECT_THAT(Keys(family, {"c", "d"}), ElementsAre("c")) << "the second one is cached";
  auto downwards =
      store_->NewIterator(family, {"a", "d"}, store_->OnlyInMemory(store_->TakeSnapshot()));
  // It looks at what lies before "c" to know that no newer version of it does.
  downwards->SeekToLast();
  EXPECT_FALSE(downwards->Valid());
  EXPECT_EQ(downwards->status().kind(), ErrorKind::NotInMemory);
}

TEST_P(FamilyTest, ADamagedFileOfALevelIsNotTheEndOfIt) {
  const Family family = GetParam();
  PutTwoFilesOfALevel();
  EXPECT_THAT(Keys(family, {"a", "b"}), ElementsAre("a")) << "the first one is cached";
  DamageAllFiles();
  const auto [keys, ended] = Scan(family, {"a", "d"});
  EXPECT_THAT(keys, ElementsAre("a"));
  EXPECT_EQ(ended, ErrorKind::Corruption);
}

TEST_P(FamilyTest, NorIsItWhileRangesAreDeletedHereAndThere) {
  const Family family = GetParam();
  PutTwoFilesOfALevel();
  EXPECT_THAT(Keys(family, {"a", "b"}), ElementsAre("a")) << "the first one is cached";
  DeleteRange(family, "elsewhere", "elsewhert");
  DeleteRange(family, "aa", "bb");
  DamageAllFiles();
  const auto [keys, ended] = Scan(family, {"a", "d"});
  EXPECT_THAT(keys, ElementsAre("a"));
  EXPECT_EQ(ended, ErrorKind::Corruption);
}

TEST_F(RangeDeletionsTest, AMemtableAndItsFileOverlapInTime) {
  RangeDeletions deletions;
  DeletedRanges ranges;
  ranges[Family::kRows].Add("tab1", "tab2");
  const uint64_t first = deletions.BeginWrite(ranges);
  EXPECT_EQ(deletions.count(Family::kRows), 1) << "before anybody can see it";
  deletions.WrittenOut(Family::kRows, 9);
  EXPECT_EQ(deletions.count(Family::kRows), 1) << "it may not have been in there";
  deletions.EndWrite(first, 10);
  EXPECT_EQ(deletions.count(Family::kRows), 1);
  EXPECT_TRUE(deletions.HiddenIn(Family::kRows, {"tab1x", "tab1y"}).Contains("tab1x"));
  EXPECT_TRUE(deletions.HiddenIn(Family::kOrder, {"tab1x", "tab1y"}).empty());
  EXPECT_TRUE(deletions.HiddenIn(Family::kRows, {"tab2", "tab3"}).empty());
  rocksdb::TableProperties of_older_version;
  of_older_version.num_range_deletions = 1;
  deletions.AddFile("rows", "/db/000009.sst", of_older_version, {"tab2a", "tab3"});
  deletions.WrittenOut(Family::kRows, 10);
  EXPECT_EQ(deletions.count(Family::kRows), 1) << "the file alone";
  EXPECT_TRUE(deletions.HiddenIn(Family::kRows, {"tab2", "tab3"}).Contains("tab2b"))
      << "it does not say where";
  EXPECT_TRUE(deletions.HiddenIn(Family::kRows, {"tab1", "tab2"}).empty());
  deletions.RemoveFile("/db/000009.sst");
  EXPECT_EQ(deletions.count(Family::kRows), 0);
  // Written out before its writer knew that it had written.
  const uint64_t second = deletions.BeginWrite(ranges);
  deletions.WrittenOut(Family::kRows, 20);
  deletions.EndWrite(second, 15);
  EXPECT_EQ(deletions.count(Family::kRows), 0);
}

}  // namespace
}  // namespace kalam::storage
