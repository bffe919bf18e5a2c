// Counts of hot rows and the policies that look at them, over a real store.
#include "tiering/hot_row_counts.h"

#include <gtest/gtest.h>

#include "replication/group_test_bench.h"
#include "storage/key_layout.h"

namespace kalam::tiering {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;

class HotRowCountsTest : public ::testing::Test {
 protected:
  HotRowCountsTest() : clock_(kStartUs) {
    counts_ = std::make_unique<HotRowCounts>(*database_.store, *database_.catalog, clock_,
                                             FlushDefaults{.row_limit = 10});
  }
  TableId MakeTable(const std::string& name, catalog::FlushPolicy policy,
                    catalog::TableType type = catalog::TableType::kShared) {
    catalog::TableDefinition table =
        replication::TestTable(database_.catalog->AllocateTableId(), 1);
    table.name = name;
    table.type = type;
    table.options.flush_policy = policy;
    const catalog::RecordWrites writes = database_.catalog->PutTable(table);
    storage::WriteBatch batch;
    for (const auto& write : writes) batch.Put(write.family, write.key, *write.value);
    EXPECT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
    database_.catalog->OnCommitted(writes);
    return table.id;
  }

  /// Tells the counts of `row_count` rows that were written.
  void Commit(TableId table, int row_count, replication::RowMutation like = {}) {
    like.table = table;
    auto command = std::make_shared<replication::Command>();
    command->rows.assign(static_cast<size_t>(row_count), like);
    replication::CommittedBatch batch;
    for (const replication::RowMutation& row : command->rows) batch.changes.push_back({&row, {}});
    batch.commands.push_back(command);
    counts_->OnCommitted(batch);
  }

  replication::TestDatabase database_;
  ManualClock clock_;
  std::unique_ptr<HotRowCounts> counts_;
};

TEST_F(HotRowCountsTest, RowsAreCountedWhenTheyBecomeHotAndNotWhenTheyChange) {
  const TableId table = MakeTable("t", {.row_limit = 5});
  Commit(table, 3);
  Commit(table, 4, {.read_seq = Seq{7}});                         // updates of hot rows
  Commit(table, 1, {.read_seq = Seq{7}, .read_was_cold = true});  // an update of a cold one
  Commit(table, 9, {.is_stream = true});
  EXPECT_EQ(counts_->row_count(table), 4);
  EXPECT_TRUE(counts_->TakeDue().empty());
  Commit(table, 1);
  EXPECT_EQ(counts_->TakeDue(), std::vector<TableId>{table});
  EXPECT_TRUE(counts_->TakeDue().empty()) << "named once";
}

TEST_F(HotRowCountsTest, ATableWithoutAPolicyHasTheDefault) {
  const TableId table = MakeTable("t", {});
  Commit(table, 9);
  EXPECT_TRUE(counts_->TakeDue().empty());
  Commit(table, 1);
  EXPECT_EQ(counts_->TakeDue(), std::vector<TableId>{table});
}

TEST_F(HotRowCountsTest, AnIntervalBeginsWithTheFirstHotRow) {
  const TableId table = MakeTable("t", {.interval_seconds = 30});
  EXPECT_TRUE(counts_->TakeDue().empty());
  clock_.AdvanceUs(100 * kSecondUs);
  Commit(table, 1);
  EXPECT_TRUE(counts_->TakeDue().empty());
  clock_.AdvanceUs(30 * kSecondUs - 1);
  EXPECT_TRUE(counts_->TakeDue().empty());
  clock_.AdvanceUs(1);
  EXPECT_EQ(counts_->TakeDue(), std::vector<TableId>{table});
  counts_->Flushed(table, 1, /*left=*/false);
  clock_.AdvanceUs(100 * kSecondUs);
  EXPECT_TRUE(counts_->TakeDue().empty()) << "nothing is hot";
}

TEST_F(HotRowCountsTest, AFailedFlushIsTriedAgainAfterAPause) {
  const TableId table = MakeTable("t", {.row_limit = 2});
  Commit(table, 2);
  EXPECT_EQ(counts_->TakeDue().size(), 1u);
  counts_->FlushFailed(table);
  EXPECT_TRUE(counts_->TakeDue().empty());
  Commit(table, 5);
  EXPECT_TRUE(counts_->TakeDue().empty()) << "writes do not end the pause";
  clock_.AdvanceUs(60 * kSecondUs);
  EXPECT_EQ(counts_->TakeDue().size(), 1u);
}

TEST_F(HotRowCountsTest, WhatWasHotBeforeTheStartIsFound) {
  const TableId table = MakeTable("t", {.row_limit = 3});
  const TableId other = MakeTable("u", {.row_limit = 3});
  storage::WriteBatch batch;
  std::string record;
  replication::EncodeRowRecord({false, Seq{1}, 1, "row"}, &record);
  for (const char* key : {"a", "b", "c"})
    batch.Put(storage::Family::kRows, storage::RowKey(table, storage::Scope::OfUser(key), key),
              record);
  batch.Put(storage::Family::kRows, storage::RowKey(other, storage::Scope::Shared(), "a"), record);
  ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  ASSERT_TRUE(counts_->Load().ok());
  EXPECT_EQ(counts_->row_count(table), 3);
  EXPECT_EQ(counts_->row_count(other), 1);
  EXPECT_EQ(counts_->TakeDue(), std::vector<TableId>{table});
  EXPECT_EQ(counts_->Largest(1), (std::vector<std::pair<TableId, int64_t>>{{table, 3}}));
}

TEST_F(HotRowCountsTest, RowsThatCameWithoutCommitsAreCountedWhenAskedTo) {
  const TableId table = MakeTable("t", {.row_limit = 3});
  const TableId other = MakeTable("u", {.row_limit = 3});
  Commit(other, 1);
  ASSERT_TRUE(counts_->Load().ok());
  storage::WriteBatch batch;
  std::string record;
  replication::EncodeRowRecord({false, Seq{1}, 1, "row"}, &record);
  for (const char* key : {"a", "b", "c"})
    batch.Put(storage::Family::kRows, storage::RowKey(table, storage::Scope::Shared(), key),
              record);
  ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  EXPECT_EQ(counts_->row_count(table), 0);
  ASSERT_TRUE(counts_->CountAnew(table).ok());
  ASSERT_TRUE(counts_->CountAnew(table).ok()) << "twice is as good as once";
  EXPECT_EQ(counts_->row_count(table), 3);
  EXPECT_EQ(counts_->row_count(other), 1) << "another table is not looked at";
  EXPECT_EQ(counts_->TakeDue(), std::vector<TableId>{table});
}

TEST_F(HotRowCountsTest, ADroppedTableIsForgotten) {
  const TableId table = MakeTable("t", {.row_limit = 2});
  Commit(table, 2);
  replication::CommittedBatch batch;
  batch.dropped_tables = {table};
  counts_->OnCommitted(batch);
  EXPECT_EQ(counts_->row_count(table), 0);
  EXPECT_TRUE(counts_->TakeDue().empty());
}

}  // namespace
}  // namespace kalam::tiering
