// What maintenance jobs do to rows, over a real store, group and tables.
#include "jobs/maintenance.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <utility>

#include "jobs/change_log_size.h"
#include "replication/group_test_bench.h"
#include "tables/fake_cold_rows.h"
#include "tables/table_writer.h"
#include "types/key_codec.h"

namespace kalam::jobs {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kSecondUs;

class MaintenanceTest : public ::testing::Test {
 protected:
  MaintenanceTest() : clock_(kStartUs), retention_(clock_) {
    database_.Close();
    database_.store_options.drop_change = [this](std::string_view key, std::string_view value) {
      return retention_.ShouldDrop(key, value);
    };
    database_.Open();
    group_ = replication::OpenTestGroup(database_, clock_);
    cold_rows_ = std::make_unique<tables::FakeColdRows>(*database_.store);
    reader_ = std::make_unique<tables::TableReader>(*database_.store, clock_, cold_rows_.get());
    queue_ = JobQueue::Open(*database_.store, *group_, clock_, {}).value();
    MakeMaintenance({});
  }
  void MakeMaintenance(const MaintenanceOptions& options) {
    maintenance_ = std::make_unique<Maintenance>(
        Maintenance::Dependencies{*database_.store, *database_.catalog, *group_, *reader_, clock_,
                                  *queue_, &retention_,
                                  [this](TableId) {
                                    if (behind_view_) std::exchange(behind_view_, {})();
                                    return purge_limit_;
                                  }},
        options);
  }
  ~MaintenanceTest() override {
    queue_->Close();
    group_->Close();
  }

  void Commit(catalog::RecordWrites records, std::vector<TableId> dropped = {}) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    command->dropped_tables = std::move(dropped);
    ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  }

  catalog::TablePtr MakeTable(const std::string& name, catalog::TableType type) {
    std::vector<catalog::ColumnDefinition> columns(3);
    columns[0] = {.column_id = 1, .name = "id", .type = DataType::Of(TypeKind::kBigInt)};
    columns[0].nullable = false;
    columns[0].primary_key = true;
    columns[1] = {.column_id = 2, .name = "_seq", .type = DataType::Of(TypeKind::kBigInt)};
    columns[2] = {.column_id = 3, .name = "_deleted", .type = DataType::Of(TypeKind::kBoolean)};
    catalog::TableDefinition table;
    table.id = database_.catalog->AllocateTableId();
    table.namespace_id = "chat";
    table.name = name;
    table.type = type;
    table.next_column_id = 4;
    table.layouts =
        std::make_shared<const std::vector<RowLayout>>(std::vector{catalog::LayoutOf(columns)});
    table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
    table.options.ttl_seconds = 10;
    Commit(database_.catalog->PutTable(table));
    return database_.catalog->FindTable("chat", name).value();
  }

  tables::ReadScope ScopeOf(const catalog::TablePtr& table, const std::string& user) {
    return {table, tables::ScopeFor(*table, user), group_->TakeView(), nullptr};
  }

  void Insert(const catalog::TablePtr& table, const std::string& user, int64_t id) {
    const tables::ReadScope scope = ScopeOf(table, user);
    tables::TableWriter writer(*reader_);
    const std::vector<Datum> cells = {Datum::BigInt(id), Datum(), Datum()};
    ASSERT_TRUE(writer.Insert(scope, cells).ok());
    ASSERT_TRUE(replication::ProposeAndWait(*group_, writer.Finish(scope.view.seq)).status.ok());
  }

  void DeleteFirst(const catalog::TablePtr& table, const std::string& user) {
    const tables::ReadScope scope = ScopeOf(table, user);
    tables::TableWriter writer(*reader_);
    {
      auto scan = reader_->OpenScan(scope, {}).value();
      ASSERT_TRUE(*scan->Next());
      ASSERT_TRUE(writer.Delete(scope, tables::CopyOf(*scan)).ok());
    }
    ASSERT_TRUE(replication::ProposeAndWait(*group_, writer.Finish(scope.view.seq)).status.ok());
  }

  /// Rows of the scope, tombstones among them if asked for.
  int CountRows(const catalog::TablePtr& table, const std::string& user,
                bool include_deleted = false) {
    tables::ScanOptions options;
    options.include_deleted = include_deleted;
    auto scan = reader_->OpenScan(ScopeOf(table, user), options).value();
    int count = 0;
    while (*scan->Next()) ++count;
    return count;
  }

  int CountKeys(storage::Family family) {
    auto iterator = database_.store->NewIterator(family, {});
    int count = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
    return count;
  }

  /// Files go once the last reader or compaction has let go of them.
  void AwaitNoDeletedRanges() {
    while (database_.store->properties().deleted_range_places > 0) std::this_thread::yield();
  }

  /// Lets time pass with the server running.
  void Pass(int64_t us) {
    clock_.AdvanceUs(us);
    maintenance_->Tick();
    queue_->Tick();
  }

  std::vector<JobRecord> JobsOf(JobType type) {
    std::vector<JobRecord> jobs = queue_->List().value();
    std::erase_if(jobs, [&](const JobRecord& job) { return job.type != type; });
    return jobs;
  }

  Seq purge_limit_{INT64_MAX};
  std::function<void()> behind_view_;  // of the next purge
  ManualClock clock_;
  tables::ChangeRetention retention_;  // the store asks it
  replication::TestDatabase database_;
  std::unique_ptr<tables::FakeColdRows> cold_rows_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<tables::TableReader> reader_;
  std::unique_ptr<JobQueue> queue_;
  std::unique_ptr<Maintenance> maintenance_;
};

TEST_F(MaintenanceTest, AnIdleServerQueuesNothing) {
  MakeTable("messages", catalog::TableType::kUser);
  MakeTable("typing", catalog::TableType::kStream);
  for (int i = 0; i < 100; ++i) Pass(3600 * kSecondUs);
  EXPECT_TRUE(queue_->List()->empty());
}

TEST_F(MaintenanceTest, ExpiredStreamRowsAreEvictedByAJobWithinAMinute) {
  const auto typing = MakeTable("typing", catalog::TableType::kStream);
  Insert(typing, "ann", 1);
  Insert(typing, "bob", 2);
  const Seq written = group_->published_seq();
  Pass(61 * kSecondUs);
  const auto jobs = JobsOf(JobType::kStreamEviction);
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].status, JobStatus::kCompleted);
  EXPECT_EQ(jobs[0].message, "Evicted 2 expired rows from chat:typing (ttl: 10s)");
  EXPECT_EQ(CountRows(typing, "ann"), 0);
  EXPECT_EQ(tables::ReadExpired(*database_.store, typing->id).value(), written);
  EXPECT_EQ(database_.store->properties().deleted_range_places, 0) << "nothing was deleted";
  Pass(61 * kSecondUs);
  EXPECT_EQ(JobsOf(JobType::kStreamEviction).size(), 1u) << "nothing is left to evict";
  ASSERT_TRUE(database_.store->FlushMemtables().ok());
  EXPECT_EQ(CountKeys(storage::Family::kChanges), 0) << "they reach no file";
  Insert(typing, "ann", 3);
  Pass(61 * kSecondUs);
  const auto later = JobsOf(JobType::kStreamEviction);
  ASSERT_EQ(later.size(), 2u);
  EXPECT_EQ(std::max(later[0].message, later[1].message),
            "Evicted 2 expired rows from chat:typing (ttl: 10s)");
  EXPECT_EQ(std::min(later[0].message, later[1].message),
            "Evicted 1 expired rows from chat:typing (ttl: 10s)");
}

TEST_F(MaintenanceTest, AYoungStreamRowStays) {
  const auto typing = MakeTable("typing", catalog::TableType::kStream);
  Pass(55 * kSecondUs);
  Insert(typing, "ann", 1);
  Pass(6 * kSecondUs);
  EXPECT_TRUE(JobsOf(JobType::kStreamEviction).empty());
  EXPECT_EQ(CountRows(typing, "ann"), 1);
}

TEST_F(MaintenanceTest, ADroppedUsersRowsGoAfterTheGracePeriodAndOnlyTheirs) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  for (int i = 0; i < 2500; ++i) Insert(messages, "ann", i);
  Insert(messages, "bob", 1);
  catalog::UserRecord ann;
  ann.user_id = "ann";
  ann.deleted_at_us = clock_.NowUs();
  Commit(database_.catalog->PutUser(ann));
  catalog::UserRecord bob;
  bob.user_id = "bob";
  Commit(database_.catalog->PutUser(bob));
  Pass(29 * kDayUs);
  EXPECT_TRUE(JobsOf(JobType::kUserCleanup).empty());
  EXPECT_EQ(CountRows(messages, "ann"), 2500);
  Pass(kDayUs + 3600 * kSecondUs);
  const auto jobs = JobsOf(JobType::kUserCleanup);
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].message, "Cleaned up user 'ann': 2500 row(s) deleted");
  EXPECT_EQ(CountRows(messages, "ann"), 0);
  EXPECT_EQ(CountRows(messages, "bob"), 1);
  EXPECT_FALSE(database_.catalog->FindUser("ann")->has_value());
  EXPECT_TRUE(database_.catalog->FindUser("bob")->has_value());
}

TEST_F(MaintenanceTest, OldChangesAndTombstonesGoAndCurrentRowsStay) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  Insert(messages, "ann", 1);
  Insert(messages, "ann", 2);
  DeleteFirst(messages, "ann");
  Pass(61 * kSecondUs);  // notes the time
  Pass(6 * kDayUs);
  EXPECT_EQ(CountKeys(storage::Family::kChanges), 3) << "a client may still come back";
  Insert(messages, "ann", 3);
  Pass(2 * kDayUs);
  ASSERT_FALSE(JobsOf(JobType::kRetention).empty());
  EXPECT_EQ(JobsOf(JobType::kRetention)[0].status, JobStatus::kCompleted)
      << JobsOf(JobType::kRetention)[0].message;
  EXPECT_EQ(database_.store->properties().deleted_range_places, 0) << "nothing was deleted";
  ASSERT_TRUE(database_.store->FlushMemtables().ok());
  EXPECT_EQ(CountKeys(storage::Family::kChanges), 1) << "the third insert is two days old";
  EXPECT_EQ(CountRows(messages, "ann"), 2);
  EXPECT_EQ(CountRows(messages, "ann", true), 2) << "the tombstone is eight days old";
  EXPECT_GT(tables::ReadFloor(*database_.store, messages->id)->value, 0);
}

TEST_F(MaintenanceTest, TombstonesWaitForAFlushThatMayHaveReadTheirRows) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  Insert(messages, "ann", 1);
  Insert(messages, "ann", 2);
  DeleteFirst(messages, "ann");
  purge_limit_ = Seq{group_->published_seq().value - 1};
  Pass(61 * kSecondUs);
  Pass(8 * kDayUs);
  EXPECT_EQ(CountRows(messages, "ann", true), 2);
  purge_limit_ = group_->published_seq();
  Pass(1 * kDayUs);
  EXPECT_EQ(CountRows(messages, "ann", true), 1);
}

TEST_F(MaintenanceTest, APurgeLooksAgainWhenAFlushHasEndedBehindItsView) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  Insert(messages, "ann", 1);
  DeleteFirst(messages, "ann");
  Pass(61 * kSecondUs);
  behind_view_ = [&] {
    std::string key;
    EncodeKey(Datum::BigInt(1), &key);
    cold_rows_->Flush(*group_, messages, storage::Scope::OfUser("ann"), {key},
                      tables::FakeColdRows::Eviction::kPending);
  };
  Pass(8 * kDayUs);
  EXPECT_FALSE(behind_view_);
  EXPECT_EQ(CountKeys(storage::Family::kRows), 1) << "a segment has something of its key by now";
}

TEST_F(MaintenanceTest, WhatWasWrittenJustBeforeARestartIsStampedAfterIt) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  Insert(messages, "ann", 1);
  const Seq written = group_->published_seq();
  MakeMaintenance({});  // as a restart does, before a minute is over
  Pass(61 * kSecondUs);
  Pass(61 * kSecondUs);
  EXPECT_GE(*tables::SeqAtTime(*database_.store, clock_.NowUs()), written);
  EXPECT_LT(tables::SeqAtTime(*database_.store, clock_.NowUs())->value, INT64_MAX);
}

TEST_F(MaintenanceTest, AChangeLogBeyondItsBytesIsCutAtTheOldEnd) {
  const auto table = MakeTable("notes", catalog::TableType::kUser);
  for (int64_t id = 0; id < 1500; ++id) {
    Insert(table, "ann", id);
    Insert(table, "bob", id);
  }
  ASSERT_TRUE(database_.store->FlushMemtables().ok());
  const int changes = CountKeys(storage::Family::kChanges);
  const int64_t bytes = ChangeLogBytes(*database_.store, table->id);
  ASSERT_GT(bytes, 10'000);
  const Seq newest = group_->published_seq();
  EXPECT_EQ(FloorForBytes(*database_.store, table->id, bytes, newest)->value, 0);

  MaintenanceOptions options;
  options.change_log_bytes_max = bytes / 2;
  MakeMaintenance(options);
  Pass(60 * kSecondUs);
  ASSERT_EQ(JobsOf(JobType::kRetention).size(), 1u);
  EXPECT_EQ(JobsOf(JobType::kRetention)[0].status, JobStatus::kCompleted)
      << JobsOf(JobType::kRetention)[0].message;
  const int left = CountKeys(storage::Family::kChanges);
  EXPECT_LT(left, changes * 3 / 4);
  EXPECT_GT(left, changes / 4);
  const Seq floor = tables::ReadFloor(*database_.store, table->id).value();
  EXPECT_GT(floor.value, 0);
  EXPECT_LT(floor, newest);
  EXPECT_EQ(CountRows(table, "ann"), 1500);
  // Small enough now: nothing more is queued.
  Pass(120 * kSecondUs);
  EXPECT_EQ(JobsOf(JobType::kRetention).size(), 1u);
}

TEST_F(MaintenanceTest, TheCleanupOfADroppedTableLeavesNothingBehind) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  for (int i = 0; i < 10; ++i) Insert(messages, "ann", i);
  DeleteFirst(messages, "ann");
  Pass(61 * kSecondUs);
  Pass(8 * kDayUs);  // retention leaves its records
  ASSERT_GT(tables::ReadFloor(*database_.store, messages->id)->value, 0);
  const auto job = queue_->Prepare(
      JobType::kCleanup,
      "{\"table_id\":\"chat.messages\",\"internal_id\":" + std::to_string(messages->id.value) + "}",
      "drop-chat-messages");
  catalog::RecordWrites records = database_.catalog->DropTable(*messages);
  records.push_back(JobQueue::Write(*job));
  Commit(records, {messages->id});
  queue_->Activate(*job);
  queue_->Tick();
  const auto jobs = JobsOf(JobType::kCleanup);
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].status, JobStatus::kCompleted);
  EXPECT_TRUE(jobs[0].message.starts_with("Cleaned up table chat:messages successfully"))
      << jobs[0].message;
  for (const auto family :
       {storage::Family::kRows, storage::Family::kOrder, storage::Family::kChanges}) {
    EXPECT_EQ(CountKeys(family), 0);
  }
  AwaitNoDeletedRanges();
  EXPECT_EQ(tables::ReadFloor(*database_.store, messages->id)->value, 0);
  const storage::Scope ann = tables::ScopeFor(*messages, "ann");
  EXPECT_EQ(tables::ReadPurgedTombstone(*database_.store, messages->id, ann)->value, 0);
}

TEST_F(MaintenanceTest, RangesThatNobodyTookDownAreWithinTheHour) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  Insert(messages, "ann", 1);
  Commit(database_.catalog->DropTable(*messages), {messages->id});  // and no job follows
  EXPECT_GT(database_.store->properties().deleted_range_places, 0);
  Pass(61 * kSecondUs);  // the first look of the hour
  ASSERT_EQ(JobsOf(JobType::kRetention).size(), 1u);
  AwaitNoDeletedRanges();
  Pass(3600 * kSecondUs);
  ASSERT_EQ(JobsOf(JobType::kRetention).size(), 1u);
  EXPECT_EQ(JobsOf(JobType::kRetention)[0].status, JobStatus::kCompleted);
}

TEST_F(MaintenanceTest, CleanupRefusesATableThatLives) {
  const auto messages = MakeTable("messages", catalog::TableType::kUser);
  ASSERT_TRUE(queue_
                  ->Submit(JobType::kCleanup,
                           "{\"internal_id\":" + std::to_string(messages->id.value) + "}", "")
                  .ok());
  queue_->Tick();
  EXPECT_EQ(JobsOf(JobType::kCleanup)[0].status, JobStatus::kFailed);
}

TEST_F(MaintenanceTest, FinishedJobsGoAfterAWeek) {
  const auto typing = MakeTable("typing", catalog::TableType::kStream);
  Insert(typing, "ann", 1);
  Pass(61 * kSecondUs);
  ASSERT_EQ(JobsOf(JobType::kStreamEviction).size(), 1u);
  Pass(8 * kDayUs);
  EXPECT_TRUE(JobsOf(JobType::kStreamEviction).empty());
  ASSERT_EQ(JobsOf(JobType::kJobCleanup).size(), 1u);
  EXPECT_EQ(JobsOf(JobType::kJobCleanup)[0].message, "Removed 1 finished job(s)");
}

}  // namespace
}  // namespace kalam::jobs
