// The store through its public surface: reads and writes, snapshots, bounds, what it refuses to
// open and why.
#include "storage/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "storage/checkpoint.h"
#include "storage/prepared_log.h"
#include "storage/store_test_bench.h"

namespace kalam::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(StoreTest, BatchIsAppliedToAllFamiliesAndSurvivesReopening) {
  Reopen();
  WriteBatch batch;
  EXPECT_TRUE(batch.empty());
  for (int i = 0; i < kFamilyCount; ++i)
    batch.Put(static_cast<Family>(i), "key", std::to_string(i));
  batch.Put(Family::kRows, "gone", "x");
  batch.Delete(Family::kRows, "gone");
  ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  Reopen();
  for (int i = 0; i < kFamilyCount; ++i) {
    EXPECT_EQ(Get(static_cast<Family>(i), "key"), std::to_string(i));
  }
  EXPECT_EQ(Get(Family::kRows, "gone"), std::nullopt);
  EXPECT_EQ(Get(Family::kRows, "never"), std::nullopt);
}

TEST_F(StoreTest, KeysAndValuesMayHoldAnyByte) {
  Reopen();
  std::string key("\0\xff\0k", 4);
  std::string value(300'000, '\0');
  Put(Family::kRows, key, value);
  Put(Family::kRows, "", "empty key");
  Reopen();
  EXPECT_EQ(Get(Family::kRows, key), value);
  EXPECT_EQ(Get(Family::kRows, ""), "empty key");
}

TEST_F(StoreTest, DeleteRangeIsHalfOpenAndCoversEarlierPutsOfItsBatch) {
  Reopen();
  for (const char* key : {"a", "b", "c", "d"}) Put(Family::kRows, key, "1");
  WriteBatch batch;
  batch.Put(Family::kRows, "bb", "1");
  batch.DeleteRange(Family::kRows, "b", "d");
  batch.Put(Family::kRows, "c", "2");
  ASSERT_TRUE(store_->Write(std::move(batch), Durability::kOs).ok());
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("a", "c", "d"));
}

TEST_F(StoreTest, SingleDeleteRemovesWhatWasPutOnce) {
  Reopen();
  Put(Family::kOrder, "1", "x");
  Put(Family::kOrder, "2", "y");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  WriteBatch batch;
  batch.SingleDelete(Family::kOrder, "1");
  ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  ASSERT_TRUE(store_->CompactRange(Family::kOrder, {}).ok());
  EXPECT_THAT(Keys(Family::kOrder, {}), ElementsAre("2"));
}

TEST_F(StoreTest, SnapshotSeesNothingLater) {
  Reopen();
  Put(Family::kRows, "a", "1");
  SnapshotPtr snapshot = store_->TakeSnapshot();
  Put(Family::kRows, "a", "2");
  Put(Family::kRows, "b", "2");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  EXPECT_EQ(Get(Family::kRows, "a", snapshot), "1");
  EXPECT_THAT(Keys(Family::kRows, {}, snapshot), ElementsAre("a"));
  EXPECT_EQ(Get(Family::kRows, "a"), "2");
}

TEST_F(StoreTest, ReaderOfMemoryOnlyNeverReadsTheDisk) {
  Reopen();
  Put(Family::kRows, "a", "1");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Reopen();  // nothing is cached now
  Put(Family::kRows, "b", "2");
  const SnapshotPtr snapshot = store_->TakeSnapshot();
  const SnapshotPtr in_memory = store_->OnlyInMemory(snapshot);
  EXPECT_TRUE(IsOnlyInMemory(in_memory));
  EXPECT_FALSE(IsOnlyInMemory(snapshot));
  EXPECT_EQ(Get(Family::kRows, "b", in_memory), "2");
  EXPECT_EQ(store_->Get(Family::kRows, "a", in_memory).status().kind(), ErrorKind::NotInMemory);
  auto iterator = store_->NewIterator(Family::kRows, {}, in_memory);
  iterator->SeekToFirst();
  EXPECT_FALSE(iterator->Valid());
  EXPECT_EQ(iterator->status().kind(), ErrorKind::NotInMemory);
  // Whoever may wait brings it into memory.
  EXPECT_EQ(Get(Family::kRows, "a", snapshot), "1");
  EXPECT_EQ(Get(Family::kRows, "a", in_memory), "1");
}

TEST_F(StoreTest, IteratorStaysWithinItsBounds) {
  Reopen();
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(Family::kRows, key, key);
  EXPECT_THAT(Keys(Family::kRows, {"b", "d"}), ElementsAre("b", "c"));
  auto iterator = store_->NewIterator(Family::kRows, {"b", "d"});
  iterator->SeekToLast();
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "c");
  iterator->Prev();
  EXPECT_EQ(iterator->value(), "b");
  iterator->Prev();
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekForPrev("zzz");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "c");
  iterator->Seek("a");
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "b");
  iterator->Seek("d");
  EXPECT_FALSE(iterator->Valid());
  EXPECT_TRUE(iterator->status().ok());
}

TEST_F(StoreTest, CompactionAsksWhichChangesToDrop) {
  options_.drop_change = [](std::string_view key, std::string_view value) {
    return key < "c" && value == "old";
  };
  Reopen();
  Put(Family::kChanges, "a", "old");
  Put(Family::kChanges, "b", "new");
  Put(Family::kChanges, "c", "old");
  Put(Family::kRows, "a", "old");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  ASSERT_TRUE(store_->CompactRange(Family::kChanges, {}).ok());
  ASSERT_TRUE(store_->CompactRange(Family::kRows, {}).ok());
  EXPECT_THAT(Keys(Family::kChanges, {}), ElementsAre("b", "c"));
  EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("a"));
}

TEST_F(StoreTest, AChangeThatHadItsTimeInMemoryReachesNoFile) {
  options_.drop_change = [](std::string_view, std::string_view value) { return value == "old"; };
  Reopen();
  Put(Family::kChanges, "a", "old");
  Put(Family::kChanges, "b", "new");
  EXPECT_THAT(Keys(Family::kChanges, {}), ElementsAre("a", "b"));
  ASSERT_TRUE(store_->FlushMemtables().ok());
  EXPECT_THAT(Keys(Family::kChanges, {}), ElementsAre("b"));
}

TEST_F(StoreTest, AccountsReturnToZero) {
  MemoryAccount root("root", nullptr);
  options_.account = &root;
  Reopen();
  Put(Family::kRows, "a", std::string(200'000, 'x'));
  EXPECT_GE(root.Child("memtables").used_bytes(), 200'000);
  store_->RefreshAccounts();
  EXPECT_GE(store_->properties().memtable_bytes, 200'000);
  EXPECT_EQ(store_->properties().active_memtable_entries, 2);  // with the format version
  store_.reset();
  EXPECT_EQ(root.used_bytes(), 0);
}

TEST_F(StoreTest, ASmallerBlockCacheLetsGoAtOnce) {
  Reopen();
  WriteBatch batch;
  for (int i = 0; i < 500; ++i)
    batch.Put(Family::kRows, "key" + std::to_string(i),
              std::string(4000, static_cast<char>('a' + i % 26)));
  ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  ASSERT_TRUE(store_->FlushMemtables().ok());
  Keys(Family::kRows, {"key", "kez"});
  const int64_t filled = store_->block_cache_bytes();
  EXPECT_GE(store_->block_page_bytes(), 500 * 4096) << "a page for each block";
  store_->SetBlockCacheCapacity(0);
  // Blocks only; what open files are charged for stays.
  EXPECT_LT(store_->block_cache_bytes(), filled - 1'900'000);
  EXPECT_LT(store_->block_page_bytes(), 100'000) << "some free pages are kept";
  store_->SetBlockCacheCapacity(options_.block_cache_bytes);
  Keys(Family::kRows, {"key", "kez"});
  EXPECT_GT(store_->block_cache_bytes(), filled - 100'000);
}

TEST_F(StoreTest, NewerFormatIsRefused) {
  Reopen();
  Put(Family::kCatalog, kFormatVersionKey, "2");
  Status status = OpenFails();
  EXPECT_EQ(status.kind(), ErrorKind::Config);
  EXPECT_THAT(status.message(), HasSubstr("has format version 2, this server reads up to 1"));
}

TEST_F(StoreTest, UnreadableFormatIsRefused) {
  Reopen();
  Put(Family::kCatalog, kFormatVersionKey, "1x");
  EXPECT_EQ(OpenFails().kind(), ErrorKind::Corruption);
}

TEST_F(StoreTest, DirectoryInUseIsRefused) {
  Reopen();
  auto second = Store::Open(options_);
  ASSERT_EQ(second.status().kind(), ErrorKind::StorageIo);
  EXPECT_THAT(second.status().message(),
              HasSubstr("data directory '" + options_.path + "' is in use by another process"));
  Put(Family::kRows, "a", "the first is unharmed");
}

TEST_F(StoreTest, DirectoryThatCannotBeMade) {
  options_.path = "/proc/no/such";
  EXPECT_EQ(OpenFails().kind(), ErrorKind::StorageIo);
}

TEST_F(StoreTest, TailOfTheLogThatWasCutOffIsForgotten) {
  Reopen();
  Put(Family::kRows, "a", std::string(1'000, 'a'));
  Put(Family::kRows, "b", std::string(1'000, 'b'));
  store_.reset();
  std::string log = BiggestFile(".log");
  // What a crash leaves: the last record not whole.
  std::filesystem::resize_file(log, std::filesystem::file_size(log) - 500);
  Reopen();
  EXPECT_TRUE(Get(Family::kRows, "a").has_value());
  EXPECT_EQ(Get(Family::kRows, "b"), std::nullopt);
  Put(Family::kRows, "c", "later writes survive the next start");
  Reopen();
  EXPECT_TRUE(Get(Family::kRows, "c").has_value());
}

TEST_F(StoreTest, ACheckpointIsADatabaseOfThatMoment) {
  Reopen();
  Put(Family::kCatalog, "a", "then");
  ASSERT_TRUE(WriteCheckpoint(*store_, directory_ + "/copy").ok());
  Put(Family::kCatalog, "a", "now");
  EXPECT_FALSE(WriteCheckpoint(*store_, directory_ + "/copy").ok()) << "never over another";
  EXPECT_EQ(Get(Family::kCatalog, "a"), "now");
  options_.path = directory_ + "/copy";
  Reopen();
  EXPECT_EQ(Get(Family::kCatalog, "a"), "then");
}

TEST_F(StoreTest, LogIsPreparedAheadAndWhatWasNotWrittenOverEndsIt) {
  Reopen();
  Put(Family::kRows, "a", "1");
  Put(Family::kRows, "b", std::string(300 << 10, 'x'));  // larger than what is prepared at once
  Put(Family::kRows, "c", "3");
  EXPECT_GT(std::filesystem::file_size(BiggestFile(".log")), (300u << 10) + kPreparedLogBytes / 2);
  // As after kill -9: nobody has trimmed the log.
  const std::string copy = directory_ + "/copy";
  std::filesystem::copy(options_.path, copy);
  store_.reset();
  EXPECT_LT(std::filesystem::file_size(BiggestFile(".log")), (300u << 10) + 4096);
  for (const std::string& path : {options_.path, copy}) {
    options_.path = path;
    Reopen();
    EXPECT_THAT(Keys(Family::kRows, {}), ElementsAre("a", "b", "c"));
    EXPECT_EQ(Get(Family::kRows, "c"), "3");
  }
}

TEST_F(StoreTest, LogThatIsNotPreparedHoldsNothingButItsRecords) {
  options_.prepare_log = false;
  Reopen();
  Put(Family::kRows, "a", "1");
  EXPECT_LT(std::filesystem::file_size(BiggestFile(".log")), 4096u);
  Reopen();
  EXPECT_EQ(Get(Family::kRows, "a"), "1");
}

TEST_F(StoreTest, DamageInTheMiddleOfTheLogIsRefusedAndNamed) {
  Reopen();
  for (int i = 0; i < 50; ++i) Put(Family::kRows, std::to_string(i), std::string(2'000, 'a'));
  store_.reset();
  std::string log = BiggestFile(".log");
  FlipByte(log, 10'000);
  Status status = OpenFails();
  EXPECT_EQ(status.kind(), ErrorKind::Corruption);
  EXPECT_THAT(status.message(), HasSubstr(log));
  EXPECT_THAT(status.message(), HasSubstr("truncate -s "));
  // Still refused the second time: nothing was given up in passing.
  EXPECT_EQ(OpenFails().kind(), ErrorKind::Corruption);
}

TEST_F(StoreTest, MissingTableFileIsRefusedAndNamed) {
  Reopen();
  Put(Family::kRows, "a", std::string(5'000, 'a'));
  ASSERT_TRUE(store_->FlushMemtables().ok());
  store_.reset();
  std::string table = BiggestFile(".sst");
  std::filesystem::remove(table);
  Status status = OpenFails();
  EXPECT_EQ(status.kind(), ErrorKind::Corruption) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(std::filesystem::path(table).filename().string()));
}

TEST_F(StoreTest, CorruptBlockFailsItsReadsAndNothingElse) {
  options_.max_open_files = 64;
  Reopen();
  // Random bytes do not compress, so that the middle of the file is the middle of a value.
  std::string noise(100'000, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  Put(Family::kRows, "a", noise);
  Put(Family::kSystem, "b", "fine");
  ASSERT_TRUE(store_->FlushMemtables().ok());
  store_.reset();
  FlipByte(BiggestFile(".sst"), 50'000);
  Reopen();
  auto value = store_->Get(Family::kRows, "a");
  EXPECT_EQ(value.status().kind(), ErrorKind::Corruption) << value.status().ToString();
  EXPECT_EQ(Get(Family::kSystem, "b"), "fine");
  // A compaction that meets the block must not stop writes.
  EXPECT_FALSE(store_->CompactRange(Family::kRows, {}).ok());
  Put(Family::kSystem, "c", "still writable");
}

TEST_F(StoreTest, WhatIsSetReachesTheDatabase) {
  options_.block_cache_bytes = 3 << 20;
  options_.write_buffer_total_bytes = 2 << 20;
  options_.bloom_bits = 7;
  options_.max_open_files = 99;
  options_.max_background_jobs = 3;
  options_.compression = "zstd";
  Reopen();
  EXPECT_EQ(store_->DescribeOptions(),
            "block_cache_size=3145728 write_buffer_size=2097152 bloom_bits=7 max_open_files=99 "
            "max_background_jobs=3 compression=zstd");
  options_.bloom_bits = 0;
  options_.compression = "none";
  Reopen();
  EXPECT_THAT(store_->DescribeOptions(), HasSubstr("bloom_bits=0 "));
  EXPECT_THAT(store_->DescribeOptions(), HasSubstr("compression=none"));
}

}  // namespace
}  // namespace kalam::storage
