// Counts of hot rows and the policies that look at them, over a real store.
#include "tiering/hot_row_counts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "replication/group_test_bench.h"
#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;

class HotRowCountsTest : public ::testing::Test {
 protected:
  HotRowCountsTest() : clock_(kStartUs) { Open({.row_limit = 10, .table_row_limit = 10}); }

  void Open(const FlushDefaults& defaults) {
    counts_ = std::make_unique<HotRowCounts>(*database_.store, *database_.catalog, clock_, defaults,
                                             &account_);
  }
  TableId MakeTable(const std::string& name, catalog::FlushPolicy policy,
                    catalog::TableType type = catalog::TableType::kShared) {
    catalog::TableDefinition table =
        replication::TestTable(database_.catalog->AllocateTableId(), 1);
    table.name = name;
    table.type = type;
    table.options.flush_policy = policy;
    Put(table);
    return table.id;
  }
  void Put(const catalog::TableDefinition& table) {
    const catalog::RecordWrites writes = database_.catalog->PutTable(table);
    storage::WriteBatch batch;
    for (const auto& write : writes) batch.Put(write.family, write.key, *write.value);
    EXPECT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
    database_.catalog->OnCommitted(writes);
  }

  /// Tells the counts of `row_count` rows that were written.
  void Commit(TableId table, int row_count, replication::RowMutation like = {}, Seq seq = {}) {
    like.table = table;
    auto command = std::make_shared<replication::Command>();
    command->rows.assign(static_cast<size_t>(row_count), like);
    replication::CommittedBatch batch;
    for (const replication::RowMutation& row : command->rows) batch.changes.push_back({&row, seq});
    batch.commands.push_back(command);
    counts_->OnCommitted(batch);
  }
  /// Puts rows of one user into the store without telling.
  void PutRows(TableId table, const std::string& user, int row_count) {
    storage::WriteBatch batch;
    std::string record;
    replication::EncodeRowRecord({false, Seq{1}, 1, "row"}, &record);
    for (int i = 0; i < row_count; ++i) {
      batch.Put(
          storage::Family::kRows,
          storage::RowKey(table, storage::Scope::OfUser(user), "key" + std::to_string(next_key_++)),
          record);
    }
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  /// Writes rows of one user: puts and tells.
  void Write(TableId table, const std::string& user, int row_count) {
    PutRows(table, user, row_count);
    Commit(table, row_count, {.scope = storage::Scope::OfUser(user)});
  }
  /// What a flush of the scope does to the store.
  void RemoveRows(const std::string& prefix) {
    storage::WriteBatch batch;
    auto iterator =
        database_.store->NewIterator(storage::Family::kRows, {prefix, PrefixEnd(prefix)});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next())
      batch.Delete(storage::Family::kRows, iterator->key());
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  void FlushUser(TableId table, const std::string& user, int64_t row_count) {
    const storage::Scope scope = storage::Scope::OfUser(user);
    counts_->FlushBegins(table, {scope}, Seq{});
    RemoveRows(storage::ScopePrefix(table, scope));
    counts_->FlushEnded(table, row_count);
  }
  void FlushAll(TableId table, int64_t row_count) {
    counts_->FlushBegins(table, {}, Seq{});
    RemoveRows(storage::TablePrefix(table));
    counts_->FlushEnded(table, row_count);
  }

  /// What is due, as "table" or "table:user,user".
  std::vector<std::string> Due() {
    std::vector<std::string> names;
    for (const DueFlush& due : counts_->TakeDue()) {
      std::vector<std::string> users;
      for (const storage::Scope& scope : due.scopes) users.push_back(scope.user_id());
      std::sort(users.begin(), users.end());
      std::string name = database_.catalog->FindTable(due.table).value()->name;
      for (size_t i = 0; i < users.size(); ++i) name += (i == 0 ? ":" : ",") + users[i];
      names.push_back(name);
    }
    return names;
  }
  using Names = std::vector<std::string>;

  replication::TestDatabase database_;
  ManualClock clock_;
  MemoryAccount account_{"counts", nullptr};
  std::unique_ptr<HotRowCounts> counts_;
  int next_key_ = 0;
};

TEST_F(HotRowCountsTest, RowsAreCountedWhenTheyBecomeHotAndNotWhenTheyChange) {
  const TableId table = MakeTable("t", {.row_limit = 5});
  Commit(table, 3);
  Commit(table, 4, {.read_seq = Seq{7}});                         // updates of hot rows
  Commit(table, 1, {.read_seq = Seq{7}, .read_was_cold = true});  // an update of a cold one
  Commit(table, 9, {.is_stream = true});
  EXPECT_EQ(counts_->row_count(table), 4);
  EXPECT_EQ(Due(), Names{});
  Commit(table, 1);
  EXPECT_EQ(Due(), Names{"t"});
  EXPECT_EQ(Due(), Names{}) << "named once";
}

TEST_F(HotRowCountsTest, ATableWithoutAPolicyHasTheDefault) {
  const TableId table = MakeTable("t", {});
  Commit(table, 9);
  EXPECT_EQ(Due(), Names{});
  Commit(table, 1);
  EXPECT_EQ(Due(), Names{"t"});
}

TEST_F(HotRowCountsTest, AnIntervalBeginsWithTheFirstHotRow) {
  const TableId table = MakeTable("t", {.interval_seconds = 30});
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(100 * kSecondUs);
  Commit(table, 1);
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(30 * kSecondUs - 1);
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(1);
  EXPECT_EQ(Due(), Names{"t"});
  FlushAll(table, 1);
  clock_.AdvanceUs(100 * kSecondUs);
  EXPECT_EQ(Due(), Names{}) << "nothing is hot";
}

TEST_F(HotRowCountsTest, AFailedFlushIsTriedAgainAfterAPause) {
  const TableId table = MakeTable("t", {.row_limit = 2});
  Commit(table, 2);
  EXPECT_EQ(Due(), Names{"t"});
  counts_->FlushFailed(table);
  EXPECT_EQ(Due(), Names{});
  Commit(table, 5);
  EXPECT_EQ(Due(), Names{}) << "writes do not end the pause";
  clock_.AdvanceUs(60 * kSecondUs);
  EXPECT_EQ(Due(), Names{"t"});
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
  EXPECT_EQ(Due(), Names{"t"});
  EXPECT_EQ(counts_->Largest(1), (std::vector<std::pair<TableId, int64_t>>{{table, 3}}));
}

TEST_F(HotRowCountsTest, AnIntervalGoesOnBehindAStart) {
  const TableId table = MakeTable("t", {.interval_seconds = 30});
  storage::WriteBatch batch;
  for (const int64_t age_seconds : {5, 20, 10}) {
    const int64_t made_ms = kStartUs / 1000 - age_seconds * 1000 - kSeqEpochMs;
    std::string record;
    replication::EncodeRowRecord({false, Seq{made_ms << kSeqCounterBits}, 1, "row"}, &record);
    batch.Put(storage::Family::kRows,
              storage::RowKey(table, storage::Scope::Shared(), std::to_string(age_seconds)),
              record);
  }
  ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  ASSERT_TRUE(counts_->Load().ok());
  clock_.AdvanceUs(10 * kSecondUs - 1);
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(1);
  EXPECT_EQ(Due(), Names{"t"});
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
  EXPECT_EQ(Due(), Names{"t"});
}

TEST_F(HotRowCountsTest, ADroppedTableIsForgotten) {
  const TableId table = MakeTable("t", {.row_limit = 2});
  Commit(table, 2);
  replication::CommittedBatch batch;
  batch.dropped_tables = {table};
  counts_->OnCommitted(batch);
  EXPECT_EQ(counts_->row_count(table), 0);
  EXPECT_EQ(Due(), Names{});
}

TEST_F(HotRowCountsTest, RowsThatChangeDuringAFlushAreHotAfterIt) {
  const TableId table = MakeTable("t", {.row_limit = 5, .interval_seconds = 30});
  Commit(table, 4, {}, Seq{10});
  counts_->FlushBegins(table, {}, Seq{20});
  Commit(table, 2, {}, Seq{20});                                     // told late: goes with it
  Commit(table, 1, {.read_seq = Seq{10}}, Seq{21});                  // of a row that goes
  Commit(table, 1, {.read_seq = Seq{21}}, Seq{22});                  // of the same one
  Commit(table, 2, {}, Seq{23});                                     // new ones
  Commit(table, 9, {.read_seq = Seq{10}, .forgets_version = true});  // the eviction itself
  clock_.AdvanceUs(30 * kSecondUs);
  counts_->FlushEnded(table, 6);
  EXPECT_EQ(counts_->row_count(table), 3);
  EXPECT_EQ(Due(), Names{"t"}) << "thirty seconds since they came";
}

TEST_F(HotRowCountsTest, WhatAFailedFlushHasLeftIsStillCounted) {
  const TableId table = MakeTable("t", {.row_limit = 5});
  Commit(table, 4, {}, Seq{10});
  counts_->FlushBegins(table, {}, Seq{20});
  EXPECT_EQ(counts_->row_count(table), 0);
  Commit(table, 1, {}, Seq{21});
  counts_->FlushEnded(table, std::nullopt);
  EXPECT_EQ(counts_->row_count(table), 5);
  EXPECT_EQ(Due(), Names{"t"});
}

TEST_F(HotRowCountsTest, RowsThatAFlushCouldNotSeeYetStayDue) {
  const TableId table = MakeTable("t", {.row_limit = 5});
  PutRows(table, "ann", 6);  // as a restore does
  ASSERT_TRUE(counts_->CountAnew(table).ok());
  EXPECT_EQ(Due(), Names{"t"});
  counts_->FlushBegins(table, {}, Seq{0});
  counts_->FlushEnded(table, 0);
  EXPECT_EQ(counts_->row_count(table), 6);
  EXPECT_EQ(Due(), Names{"t"});
}

TEST_F(HotRowCountsTest, ATableThatIsCountedDuringItsFlushIsCountedAgain) {
  const TableId table = MakeTable("t", {.row_limit = 5});
  PutRows(table, "ann", 4);
  counts_->FlushBegins(table, {}, Seq{20});
  ASSERT_TRUE(counts_->Load().ok());
  RemoveRows(storage::TablePrefix(table));
  PutRows(table, "ann", 1);
  counts_->FlushEnded(table, 4);
  EXPECT_EQ(counts_->row_count(table), 1);
  counts_->FlushBegins(table, {}, Seq{30});
  ASSERT_TRUE(counts_->CountAnew(table).ok());
  RemoveRows(storage::TablePrefix(table));
  counts_->FlushEnded(table, 1);
  EXPECT_EQ(counts_->row_count(table), 0);
  EXPECT_EQ(Due(), Names{});
}

TEST_F(HotRowCountsTest, ABusyTableIsPutOff) {
  const TableId table = MakeTable("t", {.row_limit = 2});
  MakeTable("u", {.row_limit = 2});
  Commit(table, 2);
  bool busy = true;
  const auto is_busy = [&](TableId id) { return busy && id == table; };
  EXPECT_TRUE(counts_->TakeDue(is_busy).empty());
  busy = false;
  EXPECT_EQ(counts_->TakeDue(is_busy), (std::vector<DueFlush>{{table, {}}}));
}

class HotUsersTest : public HotRowCountsTest {
 protected:
  HotUsersTest() { Open({.row_limit = 100, .table_row_limit = 100}); }
  TableId MakeUserTable(uint32_t row_limit) {
    return MakeTable("t", {.row_limit = row_limit}, catalog::TableType::kUser);
  }
};

TEST_F(HotUsersTest, OneUserIsDueAtTheLimitAndNobodyElse) {
  const TableId table = MakeUserTable(5);
  Write(table, "ann", 4);
  Write(table, "bob", 4);
  Write(table, "eve", 2);
  EXPECT_EQ(Due(), Names{}) << "ten rows, but none has five";
  Write(table, "bob", 1);
  EXPECT_EQ(Due(), Names{"t:bob"});
  EXPECT_EQ(Due(), Names{}) << "named once";
  FlushUser(table, "bob", 5);
  EXPECT_EQ(counts_->row_count(table), 6);
  Write(table, "bob", 4);
  EXPECT_EQ(Due(), Names{}) << "begins again";
  Write(table, "bob", 1);
  Write(table, "ann", 3);
  EXPECT_EQ(Due(), Names{"t:ann,bob"}) << "together";
}

TEST_F(HotUsersTest, AUserThatWasFlushedInPartIsCountedOnFromWhatIsLeft) {
  const TableId table = MakeUserTable(5);
  const replication::RowMutation of_ann{.scope = storage::Scope::OfUser("ann")};
  Write(table, "ann", 5);
  ASSERT_EQ(Due(), Names{"t:ann"});
  counts_->FlushBegins(table, {of_ann.scope}, Seq{20});
  replication::RowMutation change = of_ann;
  change.read_seq = Seq{10};
  Commit(table, 2, change, Seq{21});
  change.scope = storage::Scope::OfUser("bob");
  Commit(table, 4, change, Seq{22});  // hot before and after
  RemoveRows(storage::ScopePrefix(table, of_ann.scope));
  PutRows(table, "ann", 2);
  counts_->FlushEnded(table, 5);
  EXPECT_EQ(counts_->row_count(table), 2);
  Write(table, "ann", 2);
  EXPECT_EQ(Due(), Names{});
  Write(table, "ann", 1);
  EXPECT_EQ(Due(), Names{"t:ann"});
}

TEST_F(HotUsersTest, ALimitIsThatOfTheTableWhereItIsNotBelowItsBound) {
  const TableId table = MakeUserTable(100);
  Write(table, "ann", 60);
  Write(table, "bob", 39);
  EXPECT_EQ(Due(), Names{});
  Write(table, "eve", 1);
  EXPECT_EQ(Due(), Names{"t"});
  EXPECT_EQ(account_.used_bytes(), 0) << "users are not counted";
}

TEST_F(HotUsersTest, ManyUsersBelowTheLimitAreFlushedTogetherAtTheBound) {
  const TableId table = MakeUserTable(5);
  for (int user = 0; user < 24; ++user) Write(table, "user" + std::to_string(user), 4);
  Write(table, "ann", 3);
  EXPECT_EQ(Due(), Names{});
  Write(table, "bob", 1);
  EXPECT_EQ(Due(), Names{"t"});
  FlushAll(table, 100);
  EXPECT_EQ(counts_->row_count(table), 0);
  EXPECT_EQ(account_.used_bytes(), 0) << "nothing is hot";
}

TEST_F(HotUsersTest, AtTheBoundUsersThatAreDueGoAlone) {
  const TableId table = MakeUserTable(5);
  Write(table, "ann", 96);
  Write(table, "bob", 4);
  EXPECT_EQ(Due(), Names{"t:ann"}) << "four rows stay";
}

TEST_F(HotUsersTest, ACountThatIsTooHighMakesNoFlush) {
  const TableId table = MakeUserTable(5);
  Commit(table, 4, {.scope = storage::Scope::OfUser("ann")});  // of which the store has none
  EXPECT_EQ(Due(), Names{});
  Write(table, "ann", 1);
  EXPECT_EQ(Due(), Names{}) << "one row is there";
  Write(table, "ann", 4);
  EXPECT_EQ(Due(), Names{"t:ann"}) << "the count was set right";
  Commit(table, 95, {.scope = storage::Scope::OfUser("bob")});
  EXPECT_EQ(Due(), Names{"t:ann"}) << "and the bound is not reached either";
}

TEST_F(HotUsersTest, AUserOneBelowTheLimitBeforeAStartIsDueAtTheNextRow) {
  const TableId table = MakeUserTable(5);
  PutRows(table, "ann", 4);
  PutRows(table, "bob", 3);
  PutRows(table, "eve", 5);  // the last start came before its flush
  Open({.row_limit = 100, .table_row_limit = 100});
  ASSERT_TRUE(counts_->Load().ok());
  EXPECT_EQ(Due(), Names{"t:eve"});
  FlushUser(table, "eve", 5);
  EXPECT_EQ(Due(), Names{});
  Write(table, "bob", 1);
  EXPECT_EQ(Due(), Names{}) << "four rows";
  Write(table, "ann", 1);
  EXPECT_EQ(Due(), Names{"t:ann"});
  Write(table, "bob", 1);
  FlushUser(table, "ann", 5);
  EXPECT_EQ(Due(), Names{"t:bob"});
}

TEST_F(HotUsersTest, AFailedFlushOfAUserIsTriedAgainAfterAPause) {
  const TableId table = MakeUserTable(5);
  Write(table, "ann", 6);
  ASSERT_EQ(Due(), Names{"t:ann"});
  counts_->FlushBegins(table, {storage::Scope::OfUser("ann")}, Seq{});
  counts_->FlushEnded(table, std::nullopt);
  counts_->FlushFailed(table);
  Write(table, "bob", 5);
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(60 * kSecondUs);
  EXPECT_EQ(Due(), (Names{"t:ann,bob"}));
}

TEST_F(HotUsersTest, UsersOfABusyTableAreNotForgotten) {
  const TableId table = MakeUserTable(5);
  Write(table, "ann", 5);
  EXPECT_TRUE(counts_->TakeDue([](TableId) { return true; }).empty());
  Write(table, "bob", 5);
  EXPECT_EQ(Due(), (Names{"t:ann,bob"}));
}

TEST_F(HotUsersTest, TheIntervalIsThatOfTheTable) {
  const TableId table =
      MakeTable("t", {.row_limit = 5, .interval_seconds = 30}, catalog::TableType::kUser);
  Write(table, "ann", 1);
  clock_.AdvanceUs(10 * kSecondUs);
  Write(table, "bob", 5);
  EXPECT_EQ(Due(), Names{"t:bob"});
  FlushUser(table, "bob", 5);
  EXPECT_EQ(Due(), Names{});
  clock_.AdvanceUs(20 * kSecondUs);
  EXPECT_EQ(Due(), Names{"t"}) << "the row of ann is thirty seconds old";
}

TEST_F(HotUsersTest, APolicyThatChangesIsThatOfTheRowsThatAreThere) {
  const TableId table = MakeUserTable(50);
  Write(table, "ann", 7);
  EXPECT_EQ(Due(), Names{});
  catalog::TableDefinition definition = replication::TestTable(table, 2);
  definition.name = "t";
  definition.type = catalog::TableType::kUser;
  definition.options.flush_policy.row_limit = 5;
  Put(definition);
  Write(table, "bob", 1);
  EXPECT_EQ(Due(), Names{"t:ann"});
}

TEST_F(HotUsersTest, MoreUsersThanThereAreCountersAreAllFound) {
  Open({.row_limit = 100, .table_row_limit = 1'000'000});
  const TableId table = MakeUserTable(3);
  constexpr int kUsers = 20'000;
  // The users in between stay below the limit, and none is due before its third row.
  for (int user = 0; user < kUsers; ++user) Write(table, "user" + std::to_string(user), 2);
  EXPECT_EQ(Due(), Names{});
  const int64_t bytes = account_.used_bytes();
  EXPECT_LE(bytes, 200 << 10);
  for (const int user : {0, 7'777, 13'131, kUsers - 1}) {
    const std::string name = "user" + std::to_string(user);
    Write(table, name, 1);
    EXPECT_EQ(Due(), Names{"t:" + name});
    FlushUser(table, name, 3);
  }
  // More of them at once than are remembered until the next look.
  for (int user = 100; user < 5'100; ++user) Write(table, "user" + std::to_string(user), 1);
  EXPECT_LE(account_.used_bytes(), 200 << 10);
  size_t found = 0;
  for (;;) {
    const std::vector<DueFlush> flushes = counts_->TakeDue();
    if (flushes.empty()) break;
    ASSERT_EQ(flushes.size(), 1u);
    ASSERT_FALSE(flushes[0].scopes.empty());
    EXPECT_LE(flushes[0].scopes.size(), 500u);
    counts_->FlushBegins(table, flushes[0].scopes, Seq{});
    for (const storage::Scope& scope : flushes[0].scopes)
      RemoveRows(storage::ScopePrefix(table, scope));
    counts_->FlushEnded(table, static_cast<int64_t>(3 * flushes[0].scopes.size()));
    found += flushes[0].scopes.size();
  }
  EXPECT_EQ(found, 5'000u) << "each of them once";
}

}  // namespace
}  // namespace kalam::tiering
