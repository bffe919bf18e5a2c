// What every ReplicationGroup promises, whatever is behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "replication/group_conformance_bench.h"

namespace kalam::replication {
namespace {

TEST_P(GroupConformanceTest, RowsOfACommandTakeConsecutiveNumbersInCommitOrder) {
  auto command = std::make_shared<Command>();
  command->view_seq = group_->published_seq();
  for (int64_t key = 1; key <= 3; ++key) {
    command->rows.push_back(TestRow(key, ChangeOp::kInsert, {}, "a"));
  }
  CommitResult first = ProposeAndWait(*group_, command);
  ASSERT_TRUE(first.status.ok()) << first.status.ToString();
  EXPECT_GT(first.seq_begin.value, 0);
  for (int64_t key = 1; key <= 3; ++key) {
    EXPECT_EQ(database_.Read(key)->seq.value, first.seq_begin.value + key - 1);
  }
  CommitResult second = Write(TestRow(4, ChangeOp::kInsert, {}, "b"));
  EXPECT_GT(second.seq_begin.value, first.seq_begin.value + 2);
  EXPECT_EQ(group_->published_seq(), second.seq_begin);
}

TEST_P(GroupConformanceTest, AVersionHasOneOrderEntryAndEveryChangeItsRecord) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  Seq updated = Write(TestRow(1, ChangeOp::kUpdate, inserted, "b")).seq_begin;
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kDelete, updated, "b")).status.ok());
  EXPECT_TRUE(database_.Read(1)->tombstone);
  EXPECT_EQ(database_.Count(storage::Family::kRows), 1);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
  EXPECT_EQ(database_.Count(storage::Family::kChanges), 3);
  Seq deleted = database_.Read(1)->seq;
  auto change = database_.store->Get(
      storage::Family::kChanges, storage::SeqKey(kTestTable, storage::Scope::Shared(), deleted));
  ASSERT_TRUE(change.ok() && change->has_value());
  auto record = DecodeChangeRecord(**change);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->op, ChangeOp::kDelete);
  EXPECT_EQ(record->previous_seq, updated);
}

TEST_P(GroupConformanceTest, ViewsHoldAtLeastWhatTheySay) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "0")).seq_begin;
  std::atomic<int64_t> acknowledged{inserted.value};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      int64_t acknowledged_before = acknowledged;
      View view = group_->TakeView();
      ASSERT_GE(view.seq.value, acknowledged_before);
      ASSERT_GE(database_.Read(1, view.snapshot)->seq, view.seq);
      // One version, one order entry, in every view.
      auto order = database_.store->NewIterator(storage::Family::kOrder, {}, view.snapshot);
      int entries = 0;
      for (order->SeekToFirst(); order->Valid(); order->Next()) ++entries;
      ASSERT_EQ(entries, 1);
    }
  });
  Seq read = inserted;
  for (int i = 1; i <= 300; ++i) {
    CommitResult result = Write(TestRow(1, ChangeOp::kUpdate, read, std::to_string(i)));
    ASSERT_TRUE(result.status.ok());
    read = result.seq_begin;
    acknowledged = read.value;
  }
  stop = true;
  reader.join();
}

TEST_P(GroupConformanceTest, StaleReadIsAConflict) {
  View old_view = group_->TakeView();
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  // Two inserts of one key from the same view: the second must not pass.
  CommitResult again =
      ProposeAndWait(*group_, TestCommand(old_view.seq, TestRow(1, ChangeOp::kInsert, {}, "b")));
  EXPECT_TRUE(again.status.Is(ErrorKind::Conflict)) << again.status.ToString();
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kUpdate, inserted, "c")).status.ok());
  CommitResult stale =
      ProposeAndWait(*group_, TestCommand(inserted, TestRow(1, ChangeOp::kUpdate, inserted, "d")));
  EXPECT_TRUE(stale.status.Is(ErrorKind::Conflict));
  EXPECT_EQ(database_.Read(1)->row, "c");
  // An old view alone is no conflict when the row is still the one that was read.
  Seq current = database_.Read(1)->seq;
  EXPECT_TRUE(ProposeAndWait(*group_,
                             TestCommand(old_view.seq, TestRow(1, ChangeOp::kUpdate, current, "e")))
                  .status.ok());
}

TEST_P(GroupConformanceTest, ConflictOnOneRowStopsTheWholeCommand) {
  Seq inserted = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  Seq view = group_->published_seq();
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kUpdate, inserted, "b")).status.ok());
  auto command = TestCommand(view, TestRow(2, ChangeOp::kInsert, {}, "x"));
  command->rows.push_back(TestRow(1, ChangeOp::kUpdate, inserted, "y"));
  EXPECT_TRUE(ProposeAndWait(*group_, command).status.Is(ErrorKind::Conflict));
  EXPECT_EQ(database_.Read(2), std::nullopt);
}

TEST_P(GroupConformanceTest, NoIncrementIsLost) {
  constexpr int kThreads = 64;
  constexpr int kIncrements = 20;
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kInsert, {}, "0")).status.ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kIncrements; ++n) {
        Status status;
        Retry(
            [&](const View& view) {
              auto image = database_.Read(1, view.snapshot);
              return TestCommand(view.seq, TestRow(1, ChangeOp::kUpdate, image->seq,
                                                   std::to_string(std::stoi(image->row) + 1)));
            },
            &status);
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(database_.Read(1)->row, std::to_string(kThreads * kIncrements));
  EXPECT_EQ(database_.Count(storage::Family::kChanges), kThreads * kIncrements + 1);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 1);
}

TEST_P(GroupConformanceTest, ConcurrentInsertsOfOneKeyHaveOneWinner) {
  constexpr int kThreads = 50;
  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      bool duplicate = false;
      Status status;
      Retry(
          [&](const View& view) -> std::shared_ptr<Command> {
            duplicate = database_.Read(1, view.snapshot).has_value();
            if (duplicate) return nullptr;
            return TestCommand(view.seq, TestRow(1, ChangeOp::kInsert, {}, std::to_string(i)));
          },
          &status);
      if (!duplicate && status.ok()) ++winners;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(database_.Count(storage::Family::kChanges), 1);
}

TEST_P(GroupConformanceTest, LargeCommandGetsThroughBesideManySmallOnes) {
  constexpr int64_t kRows = 20'000;  // meets every slot of the conflict table
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int64_t n = 0; !stop; ++n) {
        Status status;
        Retry(
            [&](const View& view) {
              return TestCommand(view.seq,
                                 TestRow(1'000'000 * (i + 1) + n, ChangeOp::kInsert, {}, "s"));
            },
            &status);
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
    });
  }
  Status status;
  Retry(
      [&](const View& view) {
        auto command = std::make_shared<Command>();
        command->view_seq = view.seq;
        for (int64_t key = 0; key < kRows; ++key) {
          command->rows.push_back(TestRow(key, ChangeOp::kInsert, {}, "large"));
        }
        return command;
      },
      &status);
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(database_.Read(kRows - 1)->row, "large");
}

TEST_P(GroupConformanceTest, ObserversSeeEveryChangeInOrderBeforeItsCaller) {
  std::mutex mutex;
  std::vector<Seq> seen;
  Seq seen_up_to;
  bool in_order = true;
  int id = group_->AddObserver([&](std::shared_ptr<const CommittedBatch> batch) {
    std::lock_guard lock(mutex);
    for (const CommittedChange& change : batch->changes) {
      in_order &= seen.empty() || seen.back() < change.seq;
      seen.push_back(change.seq);
    }
    in_order &= seen_up_to < batch->published_seq;
    seen_up_to = batch->published_seq;
    in_order &= batch->changes.empty() || batch->changes.back().seq == batch->published_seq;
    in_order &= std::is_sorted(batch->command_begins.begin(), batch->command_begins.end());
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int64_t n = 0; n < 50; ++n) {
        auto command = TestCommand(group_->published_seq(),
                                   TestRow(i * 1'000 + 2 * n, ChangeOp::kInsert, {}, "a"));
        command->rows.push_back(TestRow(i * 1'000 + 2 * n + 1, ChangeOp::kInsert, {}, "b"));
        CommitResult result = ProposeAndWait(*group_, command);
        ASSERT_TRUE(result.status.ok()) << result.status.ToString();
        std::lock_guard lock(mutex);
        ASSERT_GE(seen_up_to.value, result.seq_begin.value + 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  group_->RemoveObserver(id);
  EXPECT_TRUE(in_order);
  EXPECT_EQ(seen.size(), 800u);
  ASSERT_TRUE(Write(TestRow(999'999, ChangeOp::kInsert, {}, "a")).status.ok());
  EXPECT_EQ(seen.size(), 800u);
}

TEST_P(GroupConformanceTest, StaleSchemaIsRefused) {
  RowMutation row = TestRow(1, ChangeOp::kInsert, {}, "a");
  row.schema_version = 2;
  EXPECT_TRUE(Write(row).status.Is(ErrorKind::StaleSchema));
  ASSERT_TRUE(CreateTestTable(database_, *group_, kTestTable, 2).ok());
  EXPECT_TRUE(Write(row).status.ok());
  EXPECT_TRUE(
      Write(TestRow(2, ChangeOp::kInsert, {}, "old plan")).status.Is(ErrorKind::StaleSchema));
}

TEST_P(GroupConformanceTest, RowsCannotOvertakeAPendingAlter) {
  // The row is proposed while the new version is on its way: it must be judged by the new version.
  for (uint32_t version = 2; version < 30; ++version) {
    auto alter = std::make_shared<Command>();
    alter->records = database_.catalog->PutTable(TestTable(kTestTable, version));
    std::promise<Status> altered;
    ProposeResult proposed = group_->Propose(
        alter, [&altered](const CommitResult& result) { altered.set_value(result.status); });
    ASSERT_EQ(proposed.outcome, ProposeOutcome::kAppended);
    RowMutation row = TestRow(version, ChangeOp::kInsert, {}, "a");
    row.schema_version = version - 1;
    EXPECT_TRUE(Write(row).status.Is(ErrorKind::StaleSchema));
    row.schema_version = version;
    EXPECT_TRUE(Write(row).status.ok());
    EXPECT_TRUE(altered.get_future().get().ok());
  }
}

TEST_P(GroupConformanceTest, DroppedTableLosesItsRowsAndTakesNoMore) {
  ASSERT_TRUE(CreateTestTable(database_, *group_, TableId{8}).ok());
  RowMutation other = TestRow(1, ChangeOp::kInsert, {}, "kept");
  other.table = TableId{8};
  ASSERT_TRUE(Write(other).status.ok());
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kInsert, {}, "gone")).status.ok());
  auto drop = std::make_shared<Command>();
  drop->dropped_tables = {kTestTable};
  drop->records = database_.catalog->DropTable(TestTable(kTestTable, 1));
  ASSERT_TRUE(ProposeAndWait(*group_, drop).status.ok());
  for (auto family : {storage::Family::kRows, storage::Family::kOrder, storage::Family::kChanges}) {
    EXPECT_EQ(database_.Count(family), 0);
    EXPECT_EQ(database_.Count(family, TableId{8}), 1);
  }
  EXPECT_TRUE(Write(TestRow(2, ChangeOp::kInsert, {}, "late")).status.Is(ErrorKind::StaleSchema));
}

TEST_P(GroupConformanceTest, StreamRowsHaveChangeRecordsOnly) {
  RowMutation row = TestRow(1, ChangeOp::kInsert, {}, "event");
  row.is_stream = true;
  row.encoded_pk.clear();
  row.expire_at_us = 42;
  Seq first = Write(row).seq_begin;
  ASSERT_TRUE(Write(row).status.ok());
  EXPECT_EQ(database_.Count(storage::Family::kRows), 0);
  EXPECT_EQ(database_.Count(storage::Family::kOrder), 0);
  EXPECT_EQ(database_.Count(storage::Family::kChanges), 2);
  row.op = ChangeOp::kDelete;
  row.read_seq = first;
  ASSERT_TRUE(Write(row).status.ok());
  EXPECT_EQ(database_.Count(storage::Family::kChanges), 2);  // one removed, one that says so
}

TEST_P(GroupConformanceTest, RestartGoesOnAfterTheLastNumber) {
  // Ahead of the machine's clock, under which the table was made.
  constexpr int64_t kMs = 2'000'000'000'000;
  clock_.AdvanceUs((kSeqEpochMs + kMs) * 1'000);
  options_.clock = &clock_;
  Restart();
  Seq last = Write(TestRow(1, ChangeOp::kInsert, {}, "a")).seq_begin;
  EXPECT_EQ(last.value, kMs << kSeqCounterBits);
  clock_.AdvanceUs(-500'000);
  Restart();
  EXPECT_GE(group_->published_seq(), last);
  // The clock went back: numbers go on, nobody waits.
  Seq next = Write(TestRow(2, ChangeOp::kInsert, {}, "b")).seq_begin;
  EXPECT_EQ(next.value, last.value + 1);
  EXPECT_EQ(database_.Read(1)->row, "a");
  // A view from before the restart proves nothing.
  EXPECT_TRUE(ProposeAndWait(*group_, TestCommand({}, TestRow(1, ChangeOp::kInsert, {}, "dup")))
                  .status.Is(ErrorKind::Conflict));
}

TEST_P(GroupConformanceTest, CloseSettlesWhatWasAppendedAndRefusesTheRest) {
  std::atomic<int> settled{0};
  for (int64_t key = 0; key < 200; ++key) {
    ProposeResult proposed = group_->Propose(
        TestCommand(group_->published_seq(), TestRow(key, ChangeOp::kInsert, {}, "a")),
        [&settled](const CommitResult& result) { settled += result.status.ok(); });
    ASSERT_EQ(proposed.outcome, ProposeOutcome::kAppended);
  }
  group_->Close();
  EXPECT_EQ(settled, 200);
  EXPECT_TRUE(Write(TestRow(1'000, ChangeOp::kInsert, {}, "a")).status.Is(ErrorKind::ShuttingDown));
  group_->Close();
}

TEST_P(GroupConformanceTest, TooMuchPendingIsBusy) {
  options_.pending_bytes_max = 100'000;
  Restart();
  // The observer holds the committer, so that nothing is answered meanwhile.
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  group_->AddObserver([released](std::shared_ptr<const CommittedBatch>) { released.wait(); });
  std::mutex mutex;
  int answered = 0;
  int taken = 0;
  ProposeResult last;
  for (int64_t key = 0; key < 100; ++key) {
    last = group_->Propose(TestCommand(group_->published_seq(), TestRow(key, ChangeOp::kInsert, {},
                                                                        std::string(10'000, 'x'))),
                           [&](const CommitResult& result) {
                             std::lock_guard lock(mutex);
                             answered += result.status.ok();
                           });
    if (last.outcome != ProposeOutcome::kAppended) break;
    ++taken;
  }
  EXPECT_EQ(last.outcome, ProposeOutcome::kRejected);
  EXPECT_TRUE(last.status.Is(ErrorKind::Busy)) << last.status.ToString();
  EXPECT_EQ(taken, 9);
  release.set_value();
  group_->Close();
  EXPECT_EQ(answered, taken);
}

TEST_P(GroupConformanceTest, CommandAboveTheEntrySizeIsAtomic) {
  auto command = std::make_shared<Command>();
  command->view_seq = group_->published_seq();
  for (int64_t key = 0; key < 20; ++key) {
    command->rows.push_back(TestRow(key, ChangeOp::kInsert, {}, std::string(1 << 20, 'x')));
  }
  ASSERT_GT(command->byte_size(), kCommandEntryBytesMax);
  ASSERT_TRUE(ProposeAndWait(*group_, command).status.ok());
  Restart();
  EXPECT_EQ(database_.Count(storage::Family::kRows), 20);
}

TEST_P(GroupConformanceTest, RowTwiceInACommandIsRefused) {
  auto command = TestCommand(group_->published_seq(), TestRow(1, ChangeOp::kInsert, {}, "a"));
  command->rows.push_back(TestRow(1, ChangeOp::kInsert, {}, "b"));
  EXPECT_TRUE(ProposeAndWait(*group_, command).status.Is(ErrorKind::Internal));
}

TEST_P(GroupConformanceTest, AccountsReturnToZero) {
  MemoryAccount root("root", nullptr);
  options_.account = &root;
  Restart();
  ASSERT_TRUE(Write(TestRow(1, ChangeOp::kInsert, {}, "a")).status.ok());
  group_->Close();
  EXPECT_EQ(root.used_bytes(), 0);
  EXPECT_GT(root.Child("commit_pending").peak_bytes(), 0);
}

INSTANTIATE_TEST_SUITE_P(Groups, GroupConformanceTest, Implementations(), NameOfImplementation);

}  // namespace
}  // namespace kalam::replication
