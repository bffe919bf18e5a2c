// The one command that moves a scope, over a real store and group: what goes, what stays, and that
// nobody ever sees a row hot and cold at once.
#include "tiering/scope_commit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <numeric>
#include <thread>

#include "base/clock.h"
#include "replication/group_test_bench.h"
#include "replication/records.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using replication::ChangeOp;
using replication::kTestTable;
using replication::TestRow;
using segments::SegmentPlace;
using storage::Family;
using storage::Scope;
using Keys = std::vector<int64_t>;

class ScopeCommitTest : public testing::Test {
 protected:
  ScopeCommitTest() { EXPECT_TRUE(replication::CreateTestTable(database_, *group_).ok()); }

  /// Inserts rows with keys from `first` to `last`.
  void Insert(int64_t first, int64_t last) {
    auto command = std::make_shared<replication::Command>();
    command->view_seq = group_->published_seq();
    for (int64_t key = first; key <= last; ++key)
      command->rows.push_back(TestRow(key, ChangeOp::kInsert, {}, "first"));
    ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  }
  /// Writes new versions of rows with keys from `first` to `last`.
  void Change(int64_t first, int64_t last, ChangeOp op = ChangeOp::kUpdate) {
    auto command = std::make_shared<replication::Command>();
    command->view_seq = group_->published_seq();
    for (int64_t key = first; key <= last; ++key)
      command->rows.push_back(TestRow(key, op, database_.Read(key)->seq, "second"));
    ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  }
  void Drop() {
    auto drop = std::make_shared<replication::Command>();
    drop->dropped_tables = {kTestTable};
    drop->records = database_.catalog->DropTable(replication::TestTable(kTestTable, 1));
    ASSERT_TRUE(replication::ProposeAndWait(*group_, drop).status.ok());
  }

  static segments::BuiltSegment Segment(int64_t first, int64_t last) {
    segments::BuiltSegment built;
    segments::SegmentRecord& record = built.record;
    record.table = kTestTable;
    record.place = SegmentPlace::OfScope(Scope::Shared());
    record.min_pk = replication::TestKey(first);
    record.max_pk = replication::TestKey(last);
    record.min_key = segments::SegmentKey(Scope::Shared(), record.min_pk);
    record.max_key = segments::SegmentKey(Scope::Shared(), record.max_pk);
    record.min_seq = Seq{1};
    record.max_seq = Seq{INT64_MAX - 1};
    record.row_count = last - first + 1;
    record.size_bytes = 1000;
    record.footer_bytes = 100;
    record.checksum.assign(16, 'c');
    record.schema_version = 1;
    built.row_groups.push_back({record.min_key, record.row_count, Seq{1}, Seq{2}, {7}});
    built.bloom_blocks = {std::string(4096, 'b'), std::string(4096, 'c')};
    return built;
  }
  /// Prepares segments with keys from one bound (inside) to the next (not inside).
  segments::SegmentChange Prepared(const Keys& bounds) {
    auto change = segments::SegmentChange::Begin(*database_.store, kTestTable);
    EXPECT_TRUE(change.ok());
    for (size_t i = 0; i + 1 < bounds.size(); ++i) {
      EXPECT_TRUE(
          change->NextPath(SegmentPlace::OfScope(Scope::Shared()), "local", "app/numbers").ok());
      auto command = std::make_shared<replication::Command>();
      command->records = change->Prepare(Segment(bounds[i], bounds[i + 1] - 1), 1);
      EXPECT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
    }
    return *std::move(change);
  }
  Result<ScopeCommit> Commit(const segments::SegmentChange& change, Seq up_to,
                             const std::function<void()>& before_commit = {}) {
    const EvictionServices services{*database_.store, *database_.catalog, *group_, writes_};
    return CommitScope(services, change, up_to, before_commit);
  }

  /// The keys of rows, each with its `_seq`.
  std::vector<std::pair<std::string, Seq>> Hot(const storage::SnapshotPtr& snapshot = nullptr) {
    std::vector<std::pair<std::string, Seq>> hot;
    const std::string prefix = storage::ScopePrefix(kTestTable, Scope::Shared());
    auto rows = database_.store->NewIterator(Family::kRows, {prefix, PrefixEnd(prefix)}, snapshot);
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
      hot.emplace_back(rows->key().substr(prefix.size()),
                       replication::DecodeRowRecord(rows->value())->seq);
    }
    EXPECT_TRUE(rows->status().ok());
    return hot;
  }
  Keys HotKeys() {
    Keys keys;
    for (int64_t key = 0; key <= 6000; ++key)
      if (database_.Read(key)) keys.push_back(key);
    return keys;
  }
  /// What is there after a commit: these rows with one order entry each, and the segments.
  void ExpectMoved(const Keys& still_hot, size_t segment_count) {
    EXPECT_EQ(HotKeys(), still_hot);
    EXPECT_EQ(database_.Count(Family::kOrder), static_cast<int64_t>(still_hot.size()));
    const auto segments = segments::ListSegments(*database_.store, kTestTable);
    ASSERT_TRUE(segments.ok());
    EXPECT_EQ(segments->size(), segment_count);
    for (const segments::SegmentRecord& segment : *segments) EXPECT_FALSE(segment.evicting);
    EXPECT_EQ(segments::ReadHead(*database_.store, kTestTable)->version, 1u);
    EXPECT_TRUE(segments::ListPrepared(*database_.store, kTestTable)->empty());
  }

  std::atomic<uint64_t> writes_{0};
  replication::TestDatabase database_;
  std::unique_ptr<replication::ReplicationGroup> group_ =
      replication::OpenTestGroup(database_, SystemClock());
};

TEST_F(ScopeCommitTest, FewRowsAreNamed) {
  Insert(1, 10);
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, 11});
  Change(3, 3);
  Change(5, 5, ChangeOp::kDelete);
  Insert(20, 20);
  const auto committed = Commit(change, up_to);
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_EQ(*committed, ScopeCommit::kByRows);
  ExpectMoved({3, 5, 20}, 1);
  EXPECT_EQ(database_.Read(3)->row, "second");
  EXPECT_TRUE(database_.Read(5)->tombstone);
}

TEST_F(ScopeCommitTest, OfManyRowsTheRangesBetweenChangedOnesGo) {
  Insert(1, 2000);
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, 800, 2001});
  Change(1, 1);
  Change(799, 800);
  Change(1500, 1500, ChangeOp::kDelete);
  Change(2000, 2000);
  Insert(2001, 2002);
  const auto committed = Commit(change, up_to);
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_EQ(*committed, ScopeCommit::kByRanges);
  ExpectMoved({1, 799, 800, 1500, 2000, 2001, 2002}, 2);
}

TEST_F(ScopeCommitTest, WhereTooMuchChangedNothingIsCommitted) {
  Insert(1, 3000);
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, 3001});
  Change(1, kChangedRowsMax + 1);
  const auto committed = Commit(change, up_to);
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_EQ(*committed, ScopeCommit::kTooManyChanges);
  EXPECT_EQ(database_.Count(Family::kRows), 3000);
  EXPECT_EQ(segments::ReadHead(*database_.store, kTestTable)->version, 0u);
  EXPECT_TRUE(segments::ListSegments(*database_.store, kTestTable)->empty());
  EXPECT_EQ(segments::ListPrepared(*database_.store, kTestTable)->size(), 1u);
}

TEST_F(ScopeCommitTest, AsManyChangesAsThereMayBeAreNotTooMany) {
  Insert(1, 3000);
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, 3001});
  Change(1, kChangedRowsMax);
  EXPECT_EQ(*Commit(change, up_to), ScopeCommit::kByRanges);
  Keys hot(kChangedRowsMax);
  std::iota(hot.begin(), hot.end(), 1);
  ExpectMoved(hot, 1);
}

/// With so many rows: named one by one, or by ranges.
class ScopeOfSizeTest : public ScopeCommitTest, public testing::WithParamInterface<int64_t> {};

TEST_P(ScopeOfSizeTest, AWriteThatComesInBetweenIsKept) {
  Insert(1, GetParam());
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, GetParam() + 1});
  int attempts = 0;
  const auto committed = Commit(change, up_to, [&] {
    if (++attempts == 1) Change(7, 7);
  });
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_EQ(*committed,
            GetParam() < kForgottenByRangesMin ? ScopeCommit::kByRows : ScopeCommit::kByRanges);
  EXPECT_EQ(attempts, 2);
  ExpectMoved({7}, 1);
  EXPECT_EQ(database_.Read(7)->row, "second");
}

TEST_F(ScopeCommitTest, WhoeverIsAlwaysSlowerGivesUp) {
  Insert(1, 2000);
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, 2001});
  int64_t key = 0;
  const auto committed = Commit(change, up_to, [&] { Change(key + 1, key + 1), ++key; });
  EXPECT_EQ(*committed, ScopeCommit::kTooManyChanges);
  EXPECT_EQ(database_.Count(Family::kRows), 2000);
  EXPECT_TRUE(segments::ListSegments(*database_.store, kTestTable)->empty());
}

TEST_P(ScopeOfSizeTest, ATableThatIsDroppedMeanwhileGetsNoSegments) {
  Insert(1, GetParam());
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, GetParam() + 1});
  const auto committed = Commit(change, up_to, [this] { Drop(); });
  EXPECT_TRUE(committed.status().Is(ErrorKind::NotFound)) << committed.status().ToString();
  EXPECT_EQ(database_.Count(Family::kSegments), 0);
}

TEST_P(ScopeOfSizeTest, NoSnapshotShowsARowHotAndColdOrNowhere) {
  Insert(1, GetParam());
  const Seq up_to = group_->published_seq();
  const auto change = Prepared({1, GetParam() / 2, GetParam() + 1});
  std::atomic<bool> stop{false};
  std::atomic<int> looks_before{0}, looks_after{0};
  std::thread reader([&] {
    do {
      const replication::View view = group_->TakeView();
      const bool is_cold =
          segments::ReadHead(*database_.store, kTestTable, view.snapshot)->version == 1;
      const auto listed = segments::ListSegments(*database_.store, kTestTable, view.snapshot);
      ASSERT_EQ(listed->size(), is_cold ? 2u : 0u);
      const auto hot = Hot(view.snapshot);
      if (is_cold) {
        for (const auto& [key, seq] : hot) ASSERT_GT(seq, up_to) << "hot and cold";
      } else {
        ASSERT_EQ(hot.size(), static_cast<size_t>(GetParam()));
      }
      ++(is_cold ? looks_after : looks_before);
    } while (!stop || looks_after == 0);
  });
  std::map<int64_t, Seq> changed;
  std::atomic<int> changed_count{0};
  std::thread writer([&] {
    for (int64_t key = 1; !stop && key <= 250; ++key) {
      const auto hot = database_.Read(key);
      if (!hot) continue;
      const auto result = replication::ProposeAndWait(
          *group_, replication::TestCommand(group_->published_seq(),
                                            TestRow(key, ChangeOp::kUpdate, hot->seq, "second")));
      // A conflict when it has moved since.
      if (result.status.ok()) changed[key] = result.seq_begin;
      ++changed_count;
    }
  });
  while (looks_before == 0 || changed_count < 20) std::this_thread::yield();
  const auto committed = Commit(change, up_to);
  stop = true;
  reader.join();
  writer.join();
  ASSERT_TRUE(committed.ok()) << committed.status().ToString();
  EXPECT_NE(*committed, ScopeCommit::kTooManyChanges);
  EXPECT_GE(changed.size(), 20u);
  for (const auto& [key, seq] : changed) {
    const auto hot = database_.Read(key);
    ASSERT_TRUE(hot.has_value()) << key << " was changed, and is gone";
    EXPECT_EQ(hot->seq, seq);
  }
  EXPECT_EQ(Hot().size(), changed.size());
}

INSTANTIATE_TEST_SUITE_P(RowCounts, ScopeOfSizeTest,
                         testing::Values(300, kForgottenByRangesMin - 1, kForgottenByRangesMin,
                                         5000),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace kalam::tiering
