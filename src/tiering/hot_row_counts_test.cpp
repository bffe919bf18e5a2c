// Counts of hot rows and the policies that look at them, over a real store.
#include "tiering/hot_row_counts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "replication/records.h"
#include "storage/key_layout.h"

namespace kalam::tiering {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;

class HotRowCountsTest : public ::testing::Test {
 protected:
  HotRowCountsTest() : account_("test", nullptr), clock_(kStartUs) {
    directory_ = std::filesystem::temp_directory_path() /
                 ("hot_row_counts_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    storage::StoreOptions options;
    options.path = directory_;
    store_ = storage::Store::Open(options).value();
    catalog_ = catalog::Catalog::Open(*store_, account_, 10).value();
    counts_ =
        std::make_unique<HotRowCounts>(*store_, *catalog_, clock_, FlushDefaults{.row_limit = 10});
  }
  ~HotRowCountsTest() override {
    counts_.reset();
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  TableId MakeTable(const std::string& name, catalog::FlushPolicy policy,
                    catalog::TableType type = catalog::TableType::kShared) {
    catalog::TableDefinition table;
    table.id = catalog_->AllocateTableId();
    table.namespace_id = "app";
    table.name = name;
    table.type = type;
    std::vector<catalog::ColumnDefinition> columns(1);
    columns[0].column_id = 1;
    columns[0].name = "id";
    columns[0].type = DataType::Of(TypeKind::kBigInt);
    columns[0].nullable = false;
    columns[0].primary_key = true;
    table.next_column_id = 2;
    table.layouts = std::make_shared<std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table.columns = std::make_shared<std::vector<catalog::ColumnDefinition>>(columns);
    table.options.flush_policy = policy;
    const catalog::RecordWrites writes = catalog_->PutTable(table);
    storage::WriteBatch batch;
    for (const auto& write : writes) batch.Put(write.family, write.key, *write.value);
    EXPECT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
    catalog_->OnCommitted(writes);
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

  std::filesystem::path directory_;
  MemoryAccount account_;
  ManualClock clock_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
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
  ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
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
  ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
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
