// What every ReplicationGroup promises of rows that move to segments and of those that lie there.
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "replication/group_conformance_bench.h"

namespace kalam::replication {
namespace {

/// Rows that lie in segments: all that the group knows of them is the version of their set.
class GroupColdRowsTest : public GroupConformanceTest {
 protected:
  GroupColdRowsTest() {
    options_.segments_version = [this](TableId table) -> Result<uint64_t> {
      KALAM_ASSIGN_OR_RETURN(auto value,
                             database_.store->Get(storage::Family::kSegments, VersionKey(table)));
      return value ? std::stoull(*value) : uint64_t{0};
    };
    Restart();
  }

  static std::string VersionKey(TableId table) { return storage::TablePrefix(table) + "version"; }

  /// What the commit of new segments changes.
  void RaiseSegmentsVersion() {
    ++segments_version_;
    auto command = std::make_shared<Command>();
    command->records.push_back(
        {storage::Family::kSegments, VersionKey(kTestTable), std::to_string(segments_version_)});
    ASSERT_TRUE(ProposeAndWait(*group_, command).status.ok());
  }
  static RowMutation Eviction(int64_t key, Seq seq) {
    RowMutation row = TestRow(key, ChangeOp::kDelete, seq, "");
    row.forgets_version = true;
    return row;
  }
  Status Evict(int64_t key, Seq seq) { return Write(Eviction(key, seq)).status; }
  /// Inserts a row and moves it to a segment; returns its `_seq`.
  Seq MakeCold(int64_t key) {
    Seq seq = Write(Absent(TestRow(key, ChangeOp::kInsert, {}, "cold"))).seq_begin;
    RaiseSegmentsVersion();
    EXPECT_TRUE(Evict(key, seq).ok());
    return seq;
  }
  /// A row that the view had neither hot nor cold, as of the segments of now.
  RowMutation Absent(RowMutation row) const {
    row.segments_version = segments_version_;
    return row;
  }
  RowMutation Cold(RowMutation row) const {
    row.read_was_cold = true;
    row.segments_version = segments_version_;
    return row;
  }

  uint64_t segments_version_ = 0;
};

TEST_P(GroupColdRowsTest, AForgottenVersionLeavesItsChangeRecordAndNothingElse) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  int changes_seen = 0;
  int id = group_->AddObserver([&](const std::shared_ptr<const CommittedBatch>& batch) {
    changes_seen += static_cast<int>(batch->changes.size());
  });
  ASSERT_TRUE(Evict(1, inserted).ok());
  group_->RemoveObserver(id);
  EXPECT_EQ(changes_seen, 0);
  EXPECT_EQ(database_.Read(1), std::nullopt);
  EXPECT_EQ(database_.Count(storage::Family::kRows), 0);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 0);
  EXPECT_EQ(database_.Count(storage::Family::kChanges), 1);
}

TEST_P(GroupColdRowsTest, UpdateOfAColdRowPutsItsOnlyOrderEntry) {
  Seq cold = MakeCold(1);
  CommitResult updated = Write(Cold(TestRow(1, ChangeOp::kUpdate, cold, "b")));
  ASSERT_TRUE(updated.status.ok()) << updated.status.ToString();
  EXPECT_EQ(database_.Read(1)->row, "b");
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
  auto change = database_.store->Get(
      storage::Family::kChanges,
      storage::SeqKey(kTestTable, storage::Scope::Shared(), updated.seq_begin));
  ASSERT_TRUE(change.ok() && change->has_value());
  auto record = DecodeChangeRecord(**change);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->previous_seq, cold);
  // The next version replaces the one in the store.
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kDelete, updated.seq_begin, "b")).status.ok());
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
  EXPECT_TRUE(database_.Read(1)->tombstone);
}

TEST_P(GroupColdRowsTest, TwoWritersOfOneColdRowHaveOneWinner) {
  Seq cold = MakeCold(1);
  Seq view = group_->published_seq();
  auto first = TestCommand(view, Cold(TestRow(1, ChangeOp::kUpdate, cold, "b")));
  auto second = TestCommand(view, Cold(TestRow(1, ChangeOp::kUpdate, cold, "c")));
  EXPECT_TRUE(ProposeAndWait(*group_, first).status.ok());
  EXPECT_TRUE(ProposeAndWait(*group_, second).status.Is(ErrorKind::Conflict));
  EXPECT_EQ(database_.Read(1)->row, "b");
}

TEST_P(GroupColdRowsTest, NoIncrementOfARowThatIsMovedAllTheTimeIsLost) {
  constexpr int kThreads = 8;
  constexpr int kIncrements = 25;
  // The whole cold tier is one row, in a record of its own: version, `_seq`, row.
  const std::string cold_key = storage::TablePrefix(kTestTable) + "row";
  auto read_cold = [&](const storage::SnapshotPtr& snapshot, RowMutation* row) {
    auto value = database_.store->Get(storage::Family::kSegments, cold_key, snapshot);
    std::istringstream fields(value.ok() && *value ? **value : "0 0 0");
    fields >> row->segments_version >> row->read_seq.value >> row->row;
    row->read_was_cold = true;
  };
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kInsert, {}, "0")).status.ok());
  std::atomic<bool> stop{false};
  int moves = 0;
  std::thread mover([&] {
    for (uint64_t version = 1; !stop || moves == 0; ++version) {
      View view = group_->TakeView();
      auto image = database_.Read(1, view.snapshot);
      if (!image) continue;
      auto flush = std::make_shared<Command>();
      std::string number = std::to_string(version);
      flush->records.push_back({storage::Family::kSegments, VersionKey(kTestTable), number});
      flush->records.push_back(
          {storage::Family::kSegments, cold_key,
           number + " " + std::to_string(image->seq.value) + " " + image->row});
      ASSERT_TRUE(ProposeAndWait(*group_, flush).status.ok());
      Status status =
          ProposeAndWait(*group_, TestCommand(view.seq, Eviction(1, image->seq))).status;
      ASSERT_TRUE(status.ok() || status.Is(ErrorKind::Conflict)) << status.ToString();
      moves += status.ok();
    }
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kIncrements; ++n) {
        Status status;
        Retry(
            [&](const View& view) {
              RowMutation row = TestRow(1, ChangeOp::kUpdate, {}, "");
              if (auto image = database_.Read(1, view.snapshot)) {
                row.read_seq = image->seq;
                row.row = image->row;
              } else {
                read_cold(view.snapshot, &row);
              }
              row.row = std::to_string(std::stoi(row.row) + 1);
              return TestCommand(view.seq, std::move(row));
            },
            &status);
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stop = true;
  mover.join();
  auto image = database_.Read(1);
  RowMutation cold = TestRow(1, ChangeOp::kUpdate, {}, "");
  read_cold(nullptr, &cold);
  EXPECT_EQ(image ? image->row : cold.row, std::to_string(kThreads * kIncrements));
  EXPECT_EQ(database_.Count(storage::Family::kOrder), image ? 1 : 0);
  EXPECT_GT(moves, 0);
}

TEST_P(GroupColdRowsTest, ARowThatWasWrittenMovedAndForgottenSinceTheViewIsAConflict) {
  Seq cold = MakeCold(1);
  Seq view = group_->published_seq();
  RowMutation update = Cold(TestRow(1, ChangeOp::kUpdate, cold, "lost?"));
  RowMutation insert = Absent(TestRow(2, ChangeOp::kInsert, {}, "twice?"));
  // Another writer changes both, and both go to the next segment: the store has neither, as in the
  // view.
  Seq updated = Write(Cold(TestRow(1, ChangeOp::kUpdate, cold, "b"))).seq_begin;
  Seq inserted = Write(Absent(TestRow(2, ChangeOp::kInsert, {}, "first"))).seq_begin;
  RaiseSegmentsVersion();
  ASSERT_TRUE(Evict(1, updated).ok());
  ASSERT_TRUE(Evict(2, inserted).ok());
  EXPECT_TRUE(ProposeAndWait(*group_, TestCommand(view, update)).status.Is(ErrorKind::Conflict));
  EXPECT_TRUE(ProposeAndWait(*group_, TestCommand(view, insert)).status.Is(ErrorKind::Conflict));
  EXPECT_EQ(database_.Count(storage::Family::kRows), 0);
  // Read again, they pass.
  EXPECT_TRUE(Write(Cold(TestRow(1, ChangeOp::kUpdate, updated, "c"))).status.ok());
}

TEST_P(GroupColdRowsTest, ARowThatWasReadInTheStoreAndMovedSinceIsAConflict) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  Seq view = group_->published_seq();
  RaiseSegmentsVersion();
  ASSERT_TRUE(Evict(1, inserted).ok());
  EXPECT_TRUE(
      ProposeAndWait(*group_, TestCommand(view, TestRow(1, ChangeOp::kUpdate, inserted, "b")))
          .status.Is(ErrorKind::Conflict));
}

TEST_P(GroupColdRowsTest, EvictionBehindAnUpdateKeepsTheUpdate) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  Seq other = Write(TestRow(2, ChangeOp::kInsert, {}, "a")).seq_begin;
  Seq view = group_->published_seq();
  RaiseSegmentsVersion();
  Seq updated = Write(TestRow(1, ChangeOp::kUpdate, inserted, "b")).seq_begin;
  auto evictions = TestCommand(view, Eviction(1, inserted));
  evictions->rows.push_back(Eviction(2, other));
  EXPECT_TRUE(ProposeAndWait(*group_, evictions).status.Is(ErrorKind::Conflict));
  EXPECT_EQ(database_.Read(1)->seq, updated);
  EXPECT_EQ(database_.Read(2)->seq, other);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 2);
}

TEST_P(GroupColdRowsTest, RangesAreForgottenFromTheGateAlone) {
  for (int64_t key = 1; key <= 5; ++key) Write(TestRow(key, ChangeOp::kInsert, {}, "a"));
  const Seq up_to = group_->published_seq();
  Write(TestRow(3, ChangeOp::kUpdate, database_.Read(3)->seq, "b"));
  RaiseSegmentsVersion();
  const auto key_of = [](int64_t key) {
    return storage::RowKey(kTestTable, storage::Scope::Shared(), TestKey(key));
  };
  auto command = std::make_shared<Command>();
  command->forgotten_ranges = {
      {storage::Family::kRows, key_of(1), key_of(3)},
      {storage::Family::kRows, key_of(4), key_of(5)},
      {storage::Family::kOrder, storage::ScopePrefix(kTestTable, storage::Scope::Shared()),
       storage::SeqKey(kTestTable, storage::Scope::Shared(), {up_to.value + 1})}};
  EXPECT_TRUE(ProposeAndWait(*group_, command).status.Is(ErrorKind::Conflict)) << "no gate";
  EXPECT_EQ(database_.Count(storage::Family::kRows), 5);
  {
    const auto gate = group_->EnterGate();
    ASSERT_TRUE(Write(TestRow(6, ChangeOp::kInsert, {}, "a")).status.ok());
    EXPECT_TRUE(ProposeAndWait(*group_, command).status.Is(ErrorKind::Conflict))
        << "something was appended since the gate was entered";
  }
  {
    const auto gate = group_->EnterGate();
    EXPECT_TRUE(ProposeAndWait(*group_, command).status.ok());
  }
  EXPECT_EQ(database_.Read(2), std::nullopt);
  EXPECT_EQ(database_.Read(3)->row, "b");
  EXPECT_EQ(database_.Read(4), std::nullopt);
  EXPECT_EQ(database_.Read(5)->row, "a") << "the end is outside";
  EXPECT_EQ(database_.Count(storage::Family::kRows), 3);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 2) << "those behind the range";
}

TEST_P(GroupColdRowsTest, ARowReadBeforeItsRangeWasForgottenMayBeWritten) {
  const Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  const Seq view = group_->published_seq();
  RaiseSegmentsVersion();
  {
    const auto gate = group_->EnterGate();
    auto command = std::make_shared<Command>();
    const std::string prefix = storage::ScopePrefix(kTestTable, storage::Scope::Shared());
    command->forgotten_ranges = {{storage::Family::kRows, prefix, PrefixEnd(prefix)},
                                 {storage::Family::kOrder, prefix, PrefixEnd(prefix)}};
    ASSERT_TRUE(ProposeAndWait(*group_, command).status.ok());
  }
  // Its order entry is deleted twice: by the range and by name.
  const auto update = TestCommand(view, TestRow(1, ChangeOp::kUpdate, inserted, "b"));
  ASSERT_TRUE(ProposeAndWait(*group_, update).status.ok());
  EXPECT_EQ(database_.Read(1)->row, "b");
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
  const std::string prefix = storage::TablePrefix(kTestTable);
  ASSERT_TRUE(
      database_.store->CompactRange(storage::Family::kOrder, {prefix, PrefixEnd(prefix)}).ok());
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
}

TEST_P(GroupColdRowsTest, ADroppedTableLosesTheIndexOfItsSegments) {
  MakeCold(1);
  ASSERT_EQ(database_.Count(storage::Family::kSegments), 1);
  auto drop = std::make_shared<Command>();
  drop->dropped_tables = {kTestTable};
  drop->records = database_.catalog->DropTable(TestTable(kTestTable, 1));
  ASSERT_TRUE(ProposeAndWait(*group_, drop).status.ok());
  EXPECT_EQ(database_.Count(storage::Family::kSegments), 0);
}

INSTANTIATE_TEST_SUITE_P(Groups, GroupColdRowsTest, Implementations(), NameOfImplementation);

}  // namespace
}  // namespace kalam::replication
