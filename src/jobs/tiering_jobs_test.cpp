// When jobs of the cold tier are queued and what they ask of it, over a tier that only listens.
#include "jobs/tiering_jobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "replication/group_test_bench.h"
#include "replication/records.h"
#include "storage/key_layout.h"
#include "tables/retention.h"
#include "types/key_codec.h"

namespace kalam::jobs {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3600 * kSecondUs;

/// Notes what it is asked to do.
class ListeningTier final : public tiering::Tiering {
 public:
  ListeningTier(storage::Store& store, const catalog::Catalog& catalog, const Clock& clock)
      : counts_(store, catalog, clock, {.row_limit = 3}) {}

  tiering::HotRowCounts& counts() override { return counts_; }
  Status CheckCanWrite() const override { return can_write; }
  Status TakeIn(const std::vector<TableId>&) override { return Status::Ok(); }
  Result<bool> HasHotRows(TableId) override { return true; }
  Result<tiering::FlushOutcome> Flush(TableId table, const tiering::Work& work) override {
    flushed.push_back(table);
    flushed_users.emplace_back();
    for (const storage::Scope& scope : work.scopes) flushed_users.back().push_back(scope.user_id());
    if (!flush_status.ok()) return flush_status;
    return move_rows ? move_rows(table, work) : tiering::FlushOutcome{};
  }
  Result<tiering::CompactionOutcome> Compact(TableId table, Seq tombstones_up_to,
                                             const tiering::Work& work) override {
    compacted.push_back({table, tombstones_up_to, work.compaction_scope});
    return tiering::CompactionOutcome{};
  }
  Result<tiering::RebuildOutcome> Rebuild(TableId, const tiering::Work&) override {
    return tiering::RebuildOutcome{};
  }
  Result<std::vector<TableId>> TakeWithOldTombstones(
      const tiering::DroppableTombstones& up_to) override {
    ++looks;
    if (!with_old_tombstones) return std::vector<TableId>();
    EXPECT_TRUE(up_to(*with_old_tombstones).ok());
    return std::vector<TableId>{with_old_tombstones->id};
  }
  Result<std::vector<TableId>> TakeWithUnfinishedEvictions() override {
    ++eviction_looks;
    return std::exchange(with_unfinished_evictions, {});
  }
  Result<bool> FinishEvictions(TableId table, const tiering::Work&) override {
    finished.push_back(table);
    return true;
  }
  Result<std::vector<tiering::ManifestProblem>> CheckManifests(const std::string&) override {
    return std::vector<tiering::ManifestProblem>();
  }
  Status WriteManifests(TableId) override { return Status::Ok(); }
  Seq PurgeLimit(TableId) override { return Seq{INT64_MAX}; }
  Result<int64_t> DeleteRetired(const tiering::Work&) override { return 0; }
  Result<bool> HasRetired() override { return false; }
  Result<tiering::TableFiles> PrepareDrop(const catalog::TableDefinition&) override {
    return tiering::TableFiles{};
  }
  Result<int64_t> CleanUpDropped(const tiering::DroppedTable&, const tiering::Work&) override {
    return 0;
  }
  Result<std::vector<tiering::ManifestRow>> ListManifests() override {
    return std::vector<tiering::ManifestRow>();
  }

  struct Compaction {
    TableId table;
    Seq tombstones_up_to;
    tiering::CompactionScope scope;
  };
  catalog::TablePtr with_old_tombstones;
  Status can_write;
  int looks = 0;
  std::vector<TableId> flushed;
  std::vector<std::vector<std::string>> flushed_users;  // of each; none: all of the table
  Status flush_status;
  std::function<tiering::FlushOutcome(TableId, const tiering::Work&)> move_rows;  // may be empty
  int eviction_looks = 0;
  std::vector<TableId> with_unfinished_evictions;
  std::vector<TableId> finished;
  std::vector<Compaction> compacted;

 private:
  tiering::HotRowCounts counts_;
};

class TieringJobsTest : public ::testing::Test {
 protected:
  TieringJobsTest() : clock_(kStartUs) {
    group_ = replication::OpenTestGroup(database_, clock_);
    queue_ = JobQueue::Open(*database_.store, *group_, clock_, {}).value();
    tier_ = std::make_unique<ListeningTier>(*database_.store, *database_.catalog, clock_);
  }
  ~TieringJobsTest() override {
    queue_->Close();
    group_->Close();
  }

  void Open(const TieringJobsOptions& options) {
    jobs_ = std::make_unique<TieringJobs>(
        TieringJobs::Dependencies{*database_.store, *database_.catalog, *tier_, clock_, *queue_},
        options);
  }
  void Commit(catalog::RecordWrites records) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  }
  catalog::TablePtr MakeTable(const std::string& name, uint32_t deleted_retention_hours,
                              catalog::TableType type = catalog::TableType::kShared) {
    catalog::TableDefinition table =
        replication::TestTable(database_.catalog->AllocateTableId(), 1);
    table.name = name;
    table.type = type;
    table.options.deleted_retention_hours = deleted_retention_hours;
    Commit(database_.catalog->PutTable(table));
    return database_.catalog->FindTable(table.id).value();
  }
  /// Hot rows that no commit has told of.
  void PutRows(TableId table, int row_count,
               const storage::Scope& scope = storage::Scope::Shared()) {
    storage::WriteBatch batch;
    std::string record;
    replication::EncodeRowRecord({false, Seq{1}, 1, "row"}, &record);
    for (int i = 0; i < row_count; ++i) {
      batch.Put(storage::Family::kRows, storage::RowKey(table, scope, "key" + std::to_string(i)),
                record);
    }
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  /// Removes rows up to a `_seq`; returns how many.
  int64_t RemoveRows(const std::string& prefix, Seq up_to) {
    storage::WriteBatch batch;
    int64_t count = 0;
    auto iterator =
        database_.store->NewIterator(storage::Family::kRows, {prefix, PrefixEnd(prefix)});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      if (replication::DecodeRowRecord(iterator->value()).value().seq > up_to) continue;
      batch.Delete(storage::Family::kRows, iterator->key());
      ++count;
    }
    EXPECT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
    return count;
  }
  void TickAfter(int64_t seconds) {
    clock_.AdvanceUs(seconds * kSecondUs);
    jobs_->Tick();
    queue_->Tick();
  }

  replication::TestDatabase database_;
  ManualClock clock_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<JobQueue> queue_;
  std::unique_ptr<ListeningTier> tier_;
  std::unique_ptr<TieringJobs> jobs_;
};

TEST_F(TieringJobsTest, OldTombstonesAreCompactedByTheirRetention) {
  tier_->with_old_tombstones = MakeTable("t", 2);
  Commit(tables::StampSeq(kStartUs, Seq{70}));
  Commit(tables::StampSeq(kStartUs + kHourUs, Seq{90}));
  Open({.sweep_interval_seconds = 60, .tombstone_interval_seconds = 3600});
  TickAfter(59);
  EXPECT_EQ(tier_->looks, 0);
  TickAfter(1);
  ASSERT_EQ(tier_->compacted.size(), 1u);
  EXPECT_EQ(tier_->compacted[0].table, tier_->with_old_tombstones->id);
  EXPECT_EQ(tier_->compacted[0].scope, tiering::CompactionScope::kOldTombstones);
  EXPECT_EQ(tier_->compacted[0].tombstones_up_to, Seq{}) << "nothing is two hours old";
  TickAfter(3599);
  EXPECT_EQ(tier_->looks, 1) << "an hour between two looks";
  TickAfter(3600 + 1);
  ASSERT_EQ(tier_->compacted.size(), 2u);
  EXPECT_EQ(tier_->compacted[1].tombstones_up_to, Seq{70});
}

TEST_F(TieringJobsTest, TombstonesThatNobodyWantsAreNotKeptForAMinute) {
  const catalog::TablePtr table = MakeTable("t", 0);
  Open({.check_interval_seconds = 0});
  ASSERT_TRUE(jobs_->QueueCompaction(*table).ok());
  queue_->Tick();
  ASSERT_EQ(tier_->compacted.size(), 1u);
  EXPECT_EQ(tier_->compacted[0].tombstones_up_to, Seq{INT64_MAX});
}

TEST_F(TieringJobsTest, EvictionsThatAFlushHasLeftAreFinished) {
  const catalog::TablePtr table = MakeTable("t", 0), busy = MakeTable("busy", 0);
  Open({.check_interval_seconds = 0, .eviction_interval_seconds = 60});
  tier_->with_unfinished_evictions = {table->id, busy->id, TableId{9999}};
  ASSERT_TRUE(jobs_->QueueFlush(*busy).ok());
  jobs_->Tick();
  queue_->Tick();
  EXPECT_EQ(tier_->finished, std::vector<TableId>{table->id}) << "at once after the start";
  EXPECT_EQ(tier_->flushed, std::vector<TableId>{busy->id}) << "which finishes its own first";
  tier_->with_unfinished_evictions = {table->id};
  TickAfter(59);
  EXPECT_EQ(tier_->eviction_looks, 1);
  TickAfter(1);
  EXPECT_EQ(tier_->finished.size(), 2u);
  EXPECT_EQ(tier_->flushed.size(), 1u) << "no rows are moved before their policy says so";
}

TEST_F(TieringJobsTest, ACompactionThatIsAskedForTakesAll) {
  const catalog::TablePtr table = MakeTable("t", 0);
  Open({});
  ASSERT_TRUE(jobs_->QueueCompaction(*table).ok());
  queue_->Tick();
  ASSERT_EQ(tier_->compacted.size(), 1u);
  EXPECT_EQ(tier_->compacted[0].scope, tiering::CompactionScope::kAll);
}

TEST_F(TieringJobsTest, ShortMemoryFindsRowsAlsoWithoutAutomaticFlushes) {
  const catalog::TablePtr small = MakeTable("small", 0), large = MakeTable("large", 0);
  PutRows(small->id, 4);
  PutRows(large->id, 9);
  Open({.check_interval_seconds = 0});
  TickAfter(1000);
  EXPECT_TRUE(tier_->flushed.empty());
  EXPECT_EQ(jobs_->FlushLargest(1, 10), 0u) << "none is worth it";
  EXPECT_EQ(jobs_->FlushLargest(1, 5), 1u);
  queue_->Tick();
  EXPECT_EQ(tier_->flushed, std::vector<TableId>{large->id});
}

TEST_F(TieringJobsTest, UsersThatAreDueShareAJobThatNamesThem) {
  const catalog::TablePtr table = MakeTable("t", 0, catalog::TableType::kUser);
  PutRows(table->id, 3, storage::Scope::OfUser("ann"));
  PutRows(table->id, 2, storage::Scope::OfUser("bob"));
  PutRows(table->id, 4, storage::Scope::OfUser("eve \"e\" ü"));
  Open({.check_interval_seconds = 10});
  jobs_->Tick();
  std::vector<JobRecord> queued = queue_->List().value();
  ASSERT_EQ(queued.size(), 1u);
  EXPECT_EQ(queued[0].type, JobType::kFlush);
  EXPECT_TRUE(queued[0].idempotency_key.starts_with("FL:app:t:")) << queued[0].idempotency_key;
  EXPECT_TRUE(queued[0].idempotency_key.ends_with(":users")) << queued[0].idempotency_key;
  EXPECT_EQ(queued[0].parameters_json.find("bob"), std::string::npos) << "below the limit";
  TickAfter(10);
  ASSERT_EQ(tier_->flushed, std::vector<TableId>{table->id});
  std::sort(tier_->flushed_users[0].begin(), tier_->flushed_users[0].end());
  EXPECT_EQ(tier_->flushed_users[0], (std::vector<std::string>{"ann", "eve \"e\" ü"}));
}

TEST_F(TieringJobsTest, NoUserIsMissedWhileOthersWrite) {
  constexpr int kUsers = 40, kWriters = 3, kRowsOfEach = 300;
  const catalog::TablePtr table = MakeTable("t", 0, catalog::TableType::kUser);
  tiering::HotRowCounts& counts = tier_->counts();
  const int observer =
      group_->AddObserver([&](const std::shared_ptr<const replication::CommittedBatch>& batch) {
        counts.OnCommitted(*batch);
      });
  tier_->move_rows = [&](TableId id, const tiering::Work& work) {
    counts.FlushBegins(id, work.scopes, group_->published_seq());
    int64_t moved = 0;
    for (const storage::Scope& scope : work.scopes)
      moved += RemoveRows(storage::ScopePrefix(id, scope), group_->published_seq());
    counts.FlushEnded(id, moved);
    return tiering::FlushOutcome{.row_count = moved};
  };
  Open({.check_interval_seconds = 1});
  std::atomic<int> writing{kWriters};
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < kRowsOfEach; ++i) {
        replication::RowMutation row = replication::TestRow(
            writer * kRowsOfEach + i, replication::ChangeOp::kInsert, Seq{}, "row");
        row.table = table->id;
        row.scope = storage::Scope::OfUser("user" + std::to_string((i * 7 + writer) % kUsers));
        const auto command = replication::TestCommand(group_->published_seq(), std::move(row));
        EXPECT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
      }
      --writing;
    });
  }
  while (writing > 0) TickAfter(1);
  for (std::thread& writer : writers) writer.join();
  for (size_t flushes = SIZE_MAX; flushes != tier_->flushed.size();) {
    flushes = tier_->flushed.size();
    TickAfter(1);
  }
  group_->RemoveObserver(observer);
  for (const std::vector<std::string>& users : tier_->flushed_users) EXPECT_FALSE(users.empty());
  for (int user = 0; user < kUsers; ++user) {
    const std::string name = "user" + std::to_string(user);
    const std::string prefix = storage::ScopePrefix(table->id, storage::Scope::OfUser(name));
    EXPECT_LT(RemoveRows(prefix, group_->published_seq()), 3) << name;
  }
}

TEST_F(TieringJobsTest, AJobOfSomeUsersStandsInNobodysWay) {
  const catalog::TablePtr table = MakeTable("t", 0, catalog::TableType::kUser);
  PutRows(table->id, 3, storage::Scope::OfUser("ann"));
  Open({.check_interval_seconds = 10});
  jobs_->Tick();
  ASSERT_EQ(queue_->counts().queued, 1);
  // A user that is due meanwhile waits for the table, and is not forgotten.
  PutRows(table->id, 3, storage::Scope::OfUser("bob"));
  ASSERT_TRUE(tier_->counts().CountAnew(table->id).ok());
  clock_.AdvanceUs(10 * kSecondUs);
  jobs_->Tick();
  EXPECT_EQ(queue_->counts().queued, 1);
  // Who asks for the table gets all of it.
  EXPECT_TRUE(jobs_->QueueFlush(*table).ok());
  EXPECT_TRUE(jobs_->QueueFlush(*table).status().Is(ErrorKind::IdempotentConflict));
  queue_->Tick();
  EXPECT_EQ(tier_->flushed_users, (std::vector<std::vector<std::string>>{{"ann"}, {}}));
  TickAfter(10);
  ASSERT_EQ(tier_->flushed_users.size(), 3u);
  std::sort(tier_->flushed_users[2].begin(), tier_->flushed_users[2].end());
  EXPECT_EQ(tier_->flushed_users[2], (std::vector<std::string>{"ann", "bob"}))
      << "this tier moves nothing";
}

TEST_F(TieringJobsTest, AFlushThatARestartHasCutOffGoesOnWithItsUsers) {
  const catalog::TablePtr table = MakeTable("t", 0, catalog::TableType::kUser);
  PutRows(table->id, 3, storage::Scope::OfUser("ann"));
  Open({.check_interval_seconds = 10});
  jobs_->Tick();
  ASSERT_EQ(queue_->counts().queued, 1);
  jobs_.reset();
  queue_->Close();
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {}).value();
  Open({.check_interval_seconds = 0});
  queue_->Tick();
  EXPECT_EQ(tier_->flushed_users, (std::vector<std::vector<std::string>>{{"ann"}}));
}

TEST_F(TieringJobsTest, AUserWhoseFlushFailedIsDueAgainAfterAPause) {
  const catalog::TablePtr table = MakeTable("t", 0, catalog::TableType::kUser);
  PutRows(table->id, 3, storage::Scope::OfUser("ann"));
  Open({.check_interval_seconds = 10});
  tier_->flush_status = Status(ErrorKind::Corruption, "a damaged file");
  TickAfter(10);
  ASSERT_EQ(tier_->flushed.size(), 1u);
  tier_->flush_status = Status::Ok();
  TickAfter(50);
  EXPECT_EQ(tier_->flushed.size(), 1u) << "not yet";
  TickAfter(10);
  EXPECT_EQ(tier_->flushed_users, (std::vector<std::vector<std::string>>{{"ann"}, {"ann"}}));
}

TEST_F(TieringJobsTest, WhatCannotBeWrittenIsNotScheduled) {
  const catalog::TablePtr table = MakeTable("t", 0);
  PutRows(table->id, 9);
  tier_->with_old_tombstones = table;
  tier_->can_write = Status(ErrorKind::NotAvailable, "no engine");
  Open({.check_interval_seconds = 1, .sweep_interval_seconds = 1, .tombstone_interval_seconds = 1});
  TickAfter(2);
  EXPECT_EQ(jobs_->FlushLargest(1, 1), 0u);
  EXPECT_TRUE(jobs_->QueueFlush(*table).status().Is(ErrorKind::NotAvailable));
  EXPECT_TRUE(jobs_->QueueCompaction(*table).status().Is(ErrorKind::NotAvailable));
  EXPECT_TRUE(queue_->List().value().empty());
  tier_->can_write = Status::Ok();
  TickAfter(2);
  EXPECT_EQ(tier_->flushed, std::vector<TableId>{table->id}) << "nothing was forgotten meanwhile";
  EXPECT_EQ(tier_->compacted.size(), 1u);
}

}  // namespace
}  // namespace kalam::jobs
