// Replays from the log and from state, and what retention takes from them.
#include <gmock/gmock.h>

#include "tables/retention.h"
#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using testing::ElementsAre;

class ChangeReaderTest : public TablesTest {
 protected:
  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kUser));
  ChangeReader changes_{*database_.store, clock_};
  storage::Scope scope_ = storage::Scope::OfUser("ann");

  std::vector<std::string> Show(const Result<std::vector<StoredChange>>& changes) {
    if (!changes.ok()) return {changes.status().ToString()};
    std::vector<std::string> texts;
    for (const StoredChange& change : *changes) {
      const char* ops[] = {"", "insert ", "update ", "delete "};
      texts.push_back(
          ops[static_cast<int>(change.op)] +
          TablesTest::Show(table_, change.schema_version, change.row, change.seq, false));
    }
    return texts;
  }
  std::vector<std::string> ReadLog(Seq after, Seq up_to = Seq{INT64_MAX}, ChangeLimit limit = {}) {
    return Show(changes_.Read(*table_, scope_, after, up_to, limit));
  }
  std::vector<std::string> ReadState(Seq after) {
    ReadScope scope = ScopeNow(table_);
    return Show(changes_.ReadState(scope, after, scope.view.seq, {}));
  }
  void CommitRecords(catalog::RecordWrites records) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    Commit(command);
  }
};

TEST_F(ChangeReaderTest, TheLogHasEveryStepOfOneScope) {
  Insert(table_, 1, "a", 1);
  Insert(table_, 1, "other", 1, "bob");
  Seq updated = Update(table_, 1, "b", 1);
  Delete(table_, 1);
  EXPECT_THAT(ReadLog({0}), ElementsAre("insert 1:a:1", "update 1:b:1", "delete 1:b:1"));
  EXPECT_THAT(ReadLog(updated), ElementsAre("delete 1:b:1"));
  EXPECT_THAT(ReadLog({0}, updated), ElementsAre("insert 1:a:1", "update 1:b:1"));
  EXPECT_TRUE(ReadLog(updated, updated).empty());
  EXPECT_EQ(ReadLog({INT64_MIN}).size(), 3u);
  EXPECT_TRUE(ReadLog({INT64_MAX}).empty());
}

TEST_F(ChangeReaderTest, ChunksAreBounded) {
  for (int64_t id = 1; id <= 5; ++id) Insert(table_, id, "n", id);
  ChangeLimit two;
  two.count_max = 2;
  EXPECT_THAT(ReadLog({0}, Seq{INT64_MAX}, two), ElementsAre("insert 1:n:1", "insert 2:n:2"));
  ChangeLimit tiny;
  tiny.bytes_max = 1;
  EXPECT_THAT(ReadLog({0}, Seq{INT64_MAX}, tiny), ElementsAre("insert 1:n:1"));
}

TEST_F(ChangeReaderTest, StateHasTheLastStepOfEveryRowInOrder) {
  Seq first = Insert(table_, 1, "a", 1);
  Insert(table_, 2, "b", 2);
  Insert(table_, 3, "c", 3);
  Update(table_, 1, "aa", 1);
  Delete(table_, 2);
  EXPECT_THAT(ReadState(first), ElementsAre("update 3:c:3", "update 1:aa:1", "delete 2:b:2"));
}

TEST_F(ChangeReaderTest, AFloorMakesOlderCursorsTooOld) {
  Seq first = Insert(table_, 1, "a", 1);
  Seq second = Update(table_, 1, "b", 1);
  Seq third = Update(table_, 1, "c", 1);
  Insert(table_, 7, "other", 7, "bob");
  CommitRecords(RaiseFloor(table_->id, second));
  EXPECT_EQ(*changes_.Floor(table_->id), second);
  EXPECT_TRUE(
      changes_.Read(*table_, scope_, first, third, {}).status().Is(ErrorKind::CursorTooOld));
  EXPECT_THAT(ReadLog(second), ElementsAre("update 1:c:1"));
  EXPECT_EQ(*CountScopesWithChanges(*database_.store, table_->id, {0}, second), 1);
  EXPECT_EQ(*CountScopesWithChanges(*database_.store, table_->id, first, third), 1);
  EXPECT_EQ(*CountScopesWithChanges(*database_.store, table_->id, {0}, Seq{INT64_MAX}), 2);
  EXPECT_EQ(*CountScopesWithChanges(*database_.store, table_->id, Seq{INT64_MAX - 1}, third), 0);
  EXPECT_THAT(ReadLog(second), ElementsAre("update 1:c:1"));
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:c:1"));
}

TEST_F(ChangeReaderTest, PurgedTombstonesMakeOlderCursorsTooOld) {
  Seq first = Insert(table_, 1, "a", 1);
  Insert(table_, 2, "b", 2);
  Seq deleted = Delete(table_, 1);
  Seq later = Delete(table_, 2);
  replication::View view = group_->TakeView();
  auto purge = PrepareTombstonePurge(*reader_, view, table_, deleted, 10, {});
  ASSERT_TRUE(purge.ok());
  EXPECT_EQ(purge->tombstone_count, 1);
  EXPECT_TRUE(purge->resume_after.empty());
  size_t changes_before =
      static_cast<size_t>(database_.Count(storage::Family::kChanges, table_->id));
  Commit(purge->command);
  EXPECT_EQ(*ReadPurgedTombstone(*database_.store, table_->id, scope_), deleted);
  EXPECT_EQ(database_.Count(storage::Family::kRows, table_->id), 1);
  EXPECT_EQ(database_.Count(storage::Family::kOrder, table_->id), 1);
  EXPECT_EQ(static_cast<size_t>(database_.Count(storage::Family::kChanges, table_->id)),
            changes_before);
  EXPECT_THAT(ReadState(first), ElementsAre(testing::HasSubstr("The cursor")));
  EXPECT_THAT(ReadState(deleted), ElementsAre("delete 2:b:2"));
  EXPECT_TRUE(ReadState(later).empty());
  Insert(table_, 1, "again", 1);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:again:1"));
}

TEST_F(ChangeReaderTest, APurgeGivesWayToAWriter) {
  Insert(table_, 1, "a", 1);
  Seq deleted = Delete(table_, 1);
  replication::View view = group_->TakeView();
  auto purge = PrepareTombstonePurge(*reader_, view, table_, deleted, 10, {});
  Insert(table_, 1, "back", 1);
  EXPECT_TRUE(replication::ProposeAndWait(*group_, purge->command).status.Is(ErrorKind::Conflict));
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:back:1"));
}

TEST_F(ChangeReaderTest, APurgeGoesPieceByPiece) {
  for (int64_t id = 1; id <= 5; ++id) {
    Insert(table_, id, "n", id);
    Delete(table_, id);
  }
  Insert(table_, 9, "stays", 9);
  Seq head = group_->published_seq();
  std::string resume_after;
  int64_t purged = 0;
  int pieces = 0;
  do {
    auto purge = PrepareTombstonePurge(*reader_, group_->TakeView(), table_, head, 2, resume_after);
    ASSERT_TRUE(purge.ok());
    if (purge->command) Commit(purge->command);
    purged += purge->tombstone_count;
    resume_after = purge->resume_after;
    ++pieces;
  } while (!resume_after.empty());
  EXPECT_EQ(purged, 5);
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(database_.Count(storage::Family::kRows, table_->id), 1);
}

TEST_F(ChangeReaderTest, StampsTellTheSeqOfATime) {
  constexpr int64_t kMinute = 60'000'000;
  CommitRecords(StampSeq(10 * kMinute, {100}));
  CommitRecords(StampSeq(20 * kMinute, {200}));
  CommitRecords(StampSeq(30 * kMinute, {300}));
  EXPECT_EQ(*SeqAtTime(*database_.store, 5 * kMinute), Seq{0});
  EXPECT_EQ(*SeqAtTime(*database_.store, 21 * kMinute), Seq{200});
  EXPECT_EQ(*SeqAtTime(*database_.store, 99 * kMinute), Seq{300});
  CommitRecords(*DropStampsBefore(*database_.store, 30 * kMinute));
  EXPECT_EQ(*SeqAtTime(*database_.store, 11 * kMinute), Seq{0});
  EXPECT_EQ(*SeqAtTime(*database_.store, 25 * kMinute), Seq{200});
}

TEST_F(ChangeReaderTest, ExpiredStreamRecordsAreSkippedAndThenPassedOver) {
  table_ = MakeTable(BenchTable({2}, TableType::kStream));
  const auto find = [this] {
    return *FindExpiredRows(*database_.store, table_->id, clock_.NowUs(), group_->published_seq());
  };
  const Seq first = Insert(table_, 1, "a", 1);
  const Seq of_bob = Insert(table_, 2, "b", 2, "bob");
  clock_.AdvanceUs(40'000'000);
  Insert(table_, 3, "c", 3);
  EXPECT_THAT(ReadLog({0}), ElementsAre("insert 1:a:1", "insert 3:c:3"));
  EXPECT_FALSE(*HasExpiredRows(*database_.store, table_->id, clock_.NowUs()));
  EXPECT_EQ(find().up_to, Seq{0});
  clock_.AdvanceUs(30'000'000);
  EXPECT_THAT(ReadLog({0}), ElementsAre("insert 3:c:3"));
  EXPECT_TRUE(*HasExpiredRows(*database_.store, table_->id, clock_.NowUs()));
  EXPECT_EQ(find().row_count, 2);
  EXPECT_EQ(find().up_to, of_bob) << "ann's third row lives";
  EXPECT_EQ(FindExpiredRows(*database_.store, table_->id, clock_.NowUs(), first)->row_count, 1)
      << "what is not published yet is left for later";
  CommitRecords(RaiseExpired(table_->id, find().up_to));
  EXPECT_EQ(*ReadExpired(*database_.store, table_->id), of_bob);
  EXPECT_FALSE(*HasExpiredRows(*database_.store, table_->id, clock_.NowUs()));
  EXPECT_EQ(find().row_count, 0);
  EXPECT_EQ(find().up_to, of_bob);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("3:c:3"));
  EXPECT_THAT(ReadLog({0}), ElementsAre("insert 3:c:3"));
  // Nobody looks at them any more, were they to live again.
  clock_.AdvanceUs(-60'000'000);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("3:c:3"));
  EXPECT_THAT(Scan(ScopeNow(table_, "bob"), {}), ElementsAre());
  EXPECT_THAT(ReadLog({0}), ElementsAre("insert 3:c:3"));
  EXPECT_EQ(*reader_->SeqBeforeLast(ScopeNow(table_), 2), Seq{0});
  CommitRecords(*ForgetTable(*database_.store, table_->id));
  EXPECT_EQ(*ReadExpired(*database_.store, table_->id), Seq{0});
}

TEST_F(ChangeReaderTest, TheCompactionFilterFollowsCommittedFloors) {
  Seq first = Insert(table_, 1, "a", 1);
  Seq second = Update(table_, 1, "b", 1);
  std::string key = storage::SeqKey(table_->id, scope_, first);
  auto value = database_.store->Get(storage::Family::kChanges, key);
  ASSERT_TRUE(value.ok() && value->has_value());
  ChangeRetention retention(clock_);
  EXPECT_FALSE(retention.ShouldDrop(key, **value));
  CommitRecords(RaiseFloor(table_->id, first));
  ASSERT_TRUE(retention.Load(*database_.store).ok());
  EXPECT_TRUE(retention.ShouldDrop(key, **value));
  EXPECT_FALSE(retention.ShouldDrop(storage::SeqKey(table_->id, scope_, second), **value));
  retention.Raise(table_->id, second);
  EXPECT_TRUE(retention.ShouldDrop(storage::SeqKey(table_->id, scope_, second), **value));
  EXPECT_FALSE(retention.ShouldDrop(storage::SeqKey({99}, scope_, first), **value));
  EXPECT_FALSE(retention.ShouldDrop(key, "garbage"));
  retention.Forget(table_->id);
  EXPECT_FALSE(retention.ShouldDrop(key, **value));

  catalog::TablePtr stream = MakeTable(BenchTable({2}, TableType::kStream));
  Seq seq = Insert(stream, 1, "a", 1);
  key = storage::SeqKey(stream->id, scope_, seq);
  value = database_.store->Get(storage::Family::kChanges, key);
  EXPECT_FALSE(retention.ShouldDrop(key, **value));
  clock_.AdvanceUs(60'000'000);
  EXPECT_TRUE(retention.ShouldDrop(key, **value));
}

}  // namespace
}  // namespace kalam::tables
