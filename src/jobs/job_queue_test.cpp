// The job queue over a real store and group: life of a job, retries, kills, restarts.
#include "jobs/job_queue.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "replication/group_test_bench.h"

namespace kalam::jobs {
namespace {

constexpr int64_t kStartUs = 1'760'000'000'000'000;

class JobQueueTest : public ::testing::Test {
 protected:
  JobQueueTest() : clock_(kStartUs) { Open(); }
  ~JobQueueTest() override { Close(); }

  void Open() {
    group_ = replication::OpenTestGroup(database_, clock_);
    queue_ = JobQueue::Open(*database_.store, *group_, clock_,
                            {.max_retries = 2, .retry_backoff_ms = 1000})
                 .value();
  }
  void Close() {
    queue_.reset();
    if (group_) group_->Close();
    group_.reset();
  }
  void Restart() {
    Close();
    database_.Close();
    database_.Open();
    Open();
  }

  JobRecord Find(const std::string& job_id) {
    const auto jobs = queue_->List().value();
    for (const JobRecord& job : jobs) {
      if (job.job_id == job_id) return job;
    }
    ADD_FAILURE() << "no job " << job_id;
    return {};
  }

  replication::TestDatabase database_;
  ManualClock clock_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<JobQueue> queue_;
};

JobOutcome Done(std::string message) { return {false, std::move(message)}; }

TEST_F(JobQueueTest, RunsAJobOnTickAndRemembersItsMessage) {
  queue_->SetExecutor(JobType::kCleanup,
                      [](const JobRecord& job, const JobCancelled&) -> Result<JobOutcome> {
                        return Done("cleaned " + job.parameters_json);
                      });
  const JobRecord job = queue_->Submit(JobType::kCleanup, "{\"a\":1}", "drop-x").value();
  EXPECT_EQ(job.job_id.size(), 15u);
  EXPECT_TRUE(job.job_id.starts_with("CL-"));
  EXPECT_EQ(Find(job.job_id).status, JobStatus::kQueued);
  EXPECT_EQ(queue_->counts().queued, 1);
  clock_.AdvanceUs(5);
  queue_->Tick();
  const JobRecord done = Find(job.job_id);
  EXPECT_EQ(done.status, JobStatus::kCompleted);
  EXPECT_EQ(done.message, "cleaned {\"a\":1}");
  EXPECT_EQ(done.started_at_us, kStartUs + 5);
  EXPECT_EQ(done.finished_at_us, kStartUs + 5);
  EXPECT_EQ(queue_->counts().total, 1);
  EXPECT_EQ(queue_->counts().queued, 0);
}

TEST_F(JobQueueTest, WhatJobsHoldIsChargedByTheirType) {
  MemoryAccount held("jobs", nullptr);
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_retries = 0, .account = &held})
               .value();
  MemoryAccount& flushes = held.Child("flush");
  EXPECT_EQ(queue_->account(JobType::kFlush), &flushes);
  int64_t while_running = 0;
  std::function<Result<JobOutcome>(const JobRecord&)> end;
  queue_->SetExecutor(JobType::kFlush,
                      [&](const JobRecord& job, const JobCancelled&) -> Result<JobOutcome> {
                        const MemoryCharge buffer(*queue_->account(job.type), 1 << 20);
                        while_running = flushes.used_bytes();
                        return end(job);
                      });
  const std::pair<const char*, std::function<Result<JobOutcome>(const JobRecord&)>> ends[] = {
      {"done", [](const JobRecord&) -> Result<JobOutcome> { return Done(""); }},
      {"failed",
       [](const JobRecord&) -> Result<JobOutcome> { return Status(ErrorKind::Execution, "no"); }},
      {"killed", [&](const JobRecord& job) -> Result<JobOutcome> {
         EXPECT_TRUE(queue_->Kill(job.job_id).ok());
         return Status(ErrorKind::Cancelled, "stopped");
       }}};
  for (const auto& [name, way] : ends) {
    end = way;
    while_running = 0;
    ASSERT_TRUE(queue_->Submit(JobType::kFlush, "{}", name).ok());
    EXPECT_GT(held.used_bytes(), 0) << "a job that waits";
    EXPECT_EQ(flushes.used_bytes(), 0);
    queue_->Tick();
    EXPECT_GT(while_running, 1 << 20) << "with its thread; " << name;
    EXPECT_EQ(held.used_bytes(), 0) << name;
  }
  const auto waiting = queue_->Submit(JobType::kFlush, "{}", "waiting");
  ASSERT_TRUE(waiting.ok() && queue_->Kill(waiting->job_id).ok());
  EXPECT_EQ(held.used_bytes(), 0);
  queue_.reset();
}

TEST_F(JobQueueTest, OneActiveJobHasAKey) {
  queue_->SetExecutor(
      JobType::kCleanup,
      [](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> { return Done(""); });
  ASSERT_TRUE(queue_->Submit(JobType::kCleanup, "{}", "k").ok());
  const auto second = queue_->Submit(JobType::kCleanup, "{}", "k");
  EXPECT_TRUE(second.status().Is(ErrorKind::IdempotentConflict));
  EXPECT_EQ(second.status().ToString(),
            "Idempotent conflict: Job with idempotency key 'k' is already running or queued");
  queue_->Tick();
  EXPECT_TRUE(queue_->Submit(JobType::kCleanup, "{}", "k").ok()) << "the first one is finished";
}

TEST_F(JobQueueTest, RetriesWhatMayPassWithGrowingPausesAndThenFails) {
  int runs = 0;
  queue_->SetExecutor(JobType::kRetention,
                      [&](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> {
                        ++runs;
                        return Status(ErrorKind::Busy, "later");
                      });
  const std::string id = queue_->Submit(JobType::kRetention, "{}", "").value().job_id;
  queue_->Tick();
  EXPECT_EQ(Find(id).status, JobStatus::kRetrying);
  EXPECT_EQ(Find(id).exception_trace, "later");
  queue_->Tick();
  EXPECT_EQ(runs, 1) << "the pause is not over";
  clock_.AdvanceUs(1'000'000);
  queue_->Tick();
  EXPECT_EQ(runs, 2);
  clock_.AdvanceUs(1'999'999);
  queue_->Tick();
  EXPECT_EQ(runs, 2) << "the second pause is two seconds";
  clock_.AdvanceUs(1);
  queue_->Tick();
  EXPECT_EQ(Find(id).status, JobStatus::kFailed);
  EXPECT_EQ(Find(id).message, "Max retries exceeded");
  EXPECT_EQ(Find(id).retry_count, 2);
  EXPECT_EQ(queue_->counts().failed, 1);
}

TEST_F(JobQueueTest, ACleanupIsTriedUntilItsStorageIsBack) {
  int runs = 0;
  queue_->SetExecutor(JobType::kCleanup,
                      [&](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> {
                        if (++runs <= 40) return Status(ErrorKind::StorageIo, "no answer");
                        return Done("cleaned up");
                      });
  const std::string id = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  queue_->Tick();
  for (int round = 1; round <= 40; ++round) {
    EXPECT_EQ(Find(id).status, JobStatus::kRetrying) << round;
    clock_.AdvanceUs(int64_t{600} * 1'000'000);  // no pause is longer
    queue_->Tick();
    EXPECT_EQ(runs, round + 1);
  }
  EXPECT_EQ(Find(id).status, JobStatus::kCompleted);
  EXPECT_EQ(Find(id).retry_count, 40);
}

TEST_F(JobQueueTest, AnErrorThatStaysFailsAtOnce) {
  queue_->SetExecutor(JobType::kRetention,
                      [](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> {
                        return Status(ErrorKind::InvalidOperation, "never");
                      });
  const std::string id = queue_->Submit(JobType::kRetention, "{}", "").value().job_id;
  const std::string unknown = queue_->Submit(JobType::kBackup, "{}", "").value().job_id;
  queue_->Tick();
  EXPECT_EQ(Find(id).status, JobStatus::kFailed);
  EXPECT_EQ(Find(id).message, "Invalid operation: never");
  EXPECT_EQ(Find(unknown).status, JobStatus::kFailed) << "nothing can run it";
}

TEST_F(JobQueueTest, AKilledJobNeverRunsAndARunningOneIsTold) {
  bool told = false;
  queue_->SetExecutor(
      JobType::kCleanup,
      [&](const JobRecord& job, const JobCancelled& cancelled) -> Result<JobOutcome> {
        EXPECT_FALSE(cancelled());
        EXPECT_TRUE(queue_->Kill(job.job_id).ok());
        told = cancelled();
        return Done("finished all the same");
      });
  const std::string waiting = queue_->Submit(JobType::kRetention, "{}", "").value().job_id;
  ASSERT_TRUE(queue_->Kill(waiting).ok());
  const std::string running = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  queue_->Tick();
  EXPECT_TRUE(told);
  for (const std::string& id : {waiting, running}) {
    EXPECT_EQ(Find(id).status, JobStatus::kCancelled);
    EXPECT_EQ(Find(id).message, "cancelled");
    EXPECT_TRUE(queue_->Kill(id).Is(ErrorKind::InvalidOperation));
  }
  EXPECT_TRUE(queue_->Kill("CL-000000000000").Is(ErrorKind::NotFound));
}

TEST_F(JobQueueTest, AJobThatIsKilledWhileItStartsStaysKilled) {
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_concurrent = 2}).value();
  queue_->SetExecutor(
      JobType::kFlush,
      [](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> { return Done("done"); });
  std::map<std::string, JobStatus> expected;
  for (int i = 0; i < 200; ++i) {
    const std::string id = queue_->Submit(JobType::kFlush, "{}", "").value().job_id;
    expected[id] = queue_->Kill(id).ok() ? JobStatus::kCancelled : JobStatus::kCompleted;
  }
  queue_->Close();  // every thread is at its end
  const std::vector<JobRecord> jobs = queue_->List().value();
  EXPECT_EQ(jobs.size(), expected.size());
  for (const JobRecord& job : jobs) EXPECT_EQ(job.status, expected[job.job_id]) << job.job_id;
}

TEST_F(JobQueueTest, AJobCutOffByACrashRunsAgainAfterTheRestart) {
  // The record of a running job, as a process that died in the middle leaves it.
  JobRecord job = queue_->Prepare(JobType::kCleanup, "{}", "k").value();
  job.status = JobStatus::kRunning;
  auto command = std::make_shared<replication::Command>();
  command->records = {JobQueue::Write(job)};
  ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  Restart();
  EXPECT_EQ(Find(job.job_id).status, JobStatus::kQueued);
  EXPECT_EQ(Find(job.job_id).message, "Node restarted");
  EXPECT_TRUE(queue_->HasActive("k"));
  queue_->SetExecutor(
      JobType::kCleanup,
      [](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> { return Done("at last"); });
  queue_->Tick();
  EXPECT_EQ(Find(job.job_id).status, JobStatus::kCompleted);
}

TEST_F(JobQueueTest, OldFinishedJobsAreRemovedAndActiveOnesStay) {
  queue_->SetExecutor(
      JobType::kCleanup,
      [](const JobRecord&, const JobCancelled&) -> Result<JobOutcome> { return Done(""); });
  ASSERT_TRUE(queue_->Submit(JobType::kCleanup, "{}", "").ok());
  queue_->Tick();
  const std::string active = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  EXPECT_FALSE(*queue_->HasFinishedBefore(kStartUs));
  EXPECT_TRUE(*queue_->HasFinishedBefore(kStartUs + 1));
  EXPECT_EQ(*queue_->RemoveFinished(kStartUs), 0);
  EXPECT_EQ(*queue_->RemoveFinished(kStartUs + 1), 1);
  ASSERT_EQ(queue_->List()->size(), 1u);
  EXPECT_EQ(queue_->List()->front().job_id, active);
  EXPECT_EQ(queue_->counts().total, 1);
}

/// Jobs that stay in their executor until they are let go.
class HeldJobs {
 public:
  JobExecutor Executor() {
    return [this](const JobRecord& job, const JobCancelled& cancelled) -> Result<JobOutcome> {
      std::unique_lock lock(mutex_);
      inside_.insert(job.job_id);
      changed_.notify_all();
      changed_.wait(lock, [&] { return open_ || cancelled(); });
      inside_.erase(job.job_id);
      changed_.notify_all();
      if (!open_) return Status(ErrorKind::Cancelled, "stopped");
      return Done("done");
    };
  }
  void WaitInside(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_.size() == count; });
  }
  size_t inside() {
    std::lock_guard lock(mutex_);
    return inside_.size();
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  /// Lets the executors look again whether they are cancelled.
  void Wake() {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> inside_;
  bool open_ = false;
};

TEST_F(JobQueueTest, FlushesRunBesideEachOtherUpToTheLimitAndTellTheirProgress) {
  HeldJobs held;
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_concurrent = 2}).value();
  queue_->SetExecutor(JobType::kFlush, held.Executor());
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i)
    ids.push_back(queue_->Submit(JobType::kFlush, "{}", "k" + std::to_string(i)).value().job_id);
  held.WaitInside(2);
  EXPECT_EQ(queue_->counts().running, 2);
  EXPECT_EQ(queue_->counts().queued, 1);
  queue_->Report(ids[0], "half way");
  EXPECT_EQ(Find(ids[0]).message, "half way");
  ASSERT_TRUE(queue_->Kill(ids[0]).ok());
  held.Wake();
  // Its place goes to the third.
  while (Find(ids[2]).status != JobStatus::kRunning) std::this_thread::yield();
  held.Open();
  while (queue_->counts().running > 0) std::this_thread::yield();
  EXPECT_EQ(Find(ids[0]).status, JobStatus::kCancelled);
  EXPECT_EQ(Find(ids[1]).status, JobStatus::kCompleted);
  EXPECT_EQ(Find(ids[2]).status, JobStatus::kCompleted);
  queue_->Close();  // its threads look at what was held
}

TEST_F(JobQueueTest, JobsOfOtherTypesTakeTurns) {
  HeldJobs held;
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_concurrent = 4}).value();
  queue_->SetExecutor(JobType::kCleanup, held.Executor());
  queue_->SetExecutor(JobType::kRetention, held.Executor());
  const std::string first = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  held.WaitInside(1);
  clock_.AdvanceUs(1);
  const std::string second = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  ASSERT_TRUE(queue_->Submit(JobType::kRetention, "{}", "").ok());
  held.WaitInside(2);
  EXPECT_EQ(Find(second).status, JobStatus::kQueued);
  held.Open();
  // One look at both: a job that starts between two looks would be in neither.
  const auto active = [](const JobCounts& counts) { return counts.running + counts.queued; };
  while (active(queue_->counts()) > 0) {
    queue_->Tick();
    std::this_thread::yield();
  }
  EXPECT_EQ(Find(second).status, JobStatus::kCompleted);
  queue_->Close();  // its threads look at what was held
}

/// Types of jobs that read files, and of those that delete some.
class FilesTest : public JobQueueTest,
                  public ::testing::WithParamInterface<std::pair<JobType, JobType>> {};

TEST_P(FilesTest, NoneIsDeletedWhileABackupOrAnExportRuns) {
  const auto [reads, deletes] = GetParam();
  HeldJobs held;
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_concurrent = 4}).value();
  queue_->SetExecutor(reads, held.Executor());
  queue_->SetExecutor(deletes, held.Executor());
  ASSERT_TRUE(queue_->Submit(reads, "{}", "").ok());
  held.WaitInside(1);
  clock_.AdvanceUs(1);
  const std::string deletion = queue_->Submit(deletes, "{}", "").value().job_id;
  EXPECT_EQ(Find(deletion).status, JobStatus::kQueued);
  held.Open();
  const auto active = [](const JobCounts& counts) { return counts.running + counts.queued; };
  while (active(queue_->counts()) > 0) {
    queue_->Tick();
    std::this_thread::yield();
  }
  EXPECT_EQ(Find(deletion).status, JobStatus::kCompleted);
  queue_->Close();  // its threads look at what was held
}

INSTANTIATE_TEST_SUITE_P(Types, FilesTest,
                         ::testing::Values(std::pair(JobType::kBackup, JobType::kCleanup),
                                           std::pair(JobType::kRestore, JobType::kManifestEviction),
                                           std::pair(JobType::kUserExport, JobType::kCleanup),
                                           std::pair(JobType::kUserExport,
                                                     JobType::kManifestEviction)));

TEST_F(JobQueueTest, ABackupIsNotRunAgainOutOfItsOwnCopy) {
  const std::string backup = queue_->Submit(JobType::kBackup, "{}", "").value().job_id;
  const std::string cleanup = queue_->Submit(JobType::kCleanup, "{}", "").value().job_id;
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.was_restored = true}).value();
  EXPECT_EQ(Find(backup).status, JobStatus::kCancelled);
  EXPECT_EQ(Find(cleanup).status, JobStatus::kQueued);
  EXPECT_EQ(queue_->counts().queued, 1);
}

TEST_F(JobQueueTest, ClosingStopsWhatRunsAndTheNextStartGoesOnWithIt) {
  queue_ = JobQueue::Open(*database_.store, *group_, clock_, {.max_concurrent = 2}).value();
  std::promise<void> started;
  queue_->SetExecutor(JobType::kFlush,
                      [&](const JobRecord&, const JobCancelled& cancelled) -> Result<JobOutcome> {
                        started.set_value();
                        while (!cancelled()) std::this_thread::yield();
                        return Status(ErrorKind::Cancelled, "stopped");
                      });
  const std::string id = queue_->Submit(JobType::kFlush, "{}", "k").value().job_id;
  started.get_future().wait();
  queue_->Close();
  EXPECT_EQ(Find(id).status, JobStatus::kQueued);
}

TEST_F(JobQueueTest, RecordsSurviveTheCodecAndDamageIsAnError) {
  JobRecord job = queue_->Prepare(JobType::kUserCleanup, "{}", "k").value();
  job.exception_trace = "t";
  job.finished_at_us = 3;
  const std::string bytes = EncodeJob(job);
  const JobRecord back = DecodeJob(bytes).value();
  EXPECT_EQ(back.job_id, job.job_id);
  EXPECT_EQ(back.finished_at_us, 3);
  EXPECT_EQ(back.started_at_us, std::nullopt);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeJob(bytes.substr(0, length)).ok()) << length;
  }
}

}  // namespace
}  // namespace kalam::jobs
