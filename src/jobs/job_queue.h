// The queue of jobs: records that survive a restart, run by Tick or on threads of their own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/turn_clock.h"
#include "catalog/catalog.h"
#include "jobs/job.h"
#include "replication/group.h"
#include "storage/store.h"

namespace kalam::jobs {

/// How one run of a job ended.
struct JobOutcome {
  bool skipped = false;  // there was nothing to do, or no longer anything to do it to
  std::string message;
};
/// Polled by long work: true when the job was killed or the server stops.
using JobCancelled = std::function<bool()>;
/// Does the work, on the thread that called Tick or on one of the queue's own. It may run twice
/// (after a crash or a retry) and must bear that. Errors that may pass (Busy, ReadOnly, StorageIo,
/// Conflict, OutcomeUnknown, memory that is short) are retried, in cleanups until they are done;
/// others fail the job.
using JobExecutor = std::function<Result<JobOutcome>(const JobRecord&, const JobCancelled&)>;

struct JobCounts {
  int64_t total = 0;
  int64_t queued = 0;  // new, queued, retrying
  int64_t running = 0;
  int64_t failed = 0;
};

/// Thread-safety: all methods may be called from any thread; those that commit block and want a
/// worker.
class JobQueue {
  struct Rep;

 public:
  /// For Open alone: nobody else can make a Rep.
  explicit JobQueue(std::unique_ptr<Rep> rep);
  struct Options {
    int max_retries = 3;
    int64_t retry_backoff_ms = 1000;  // doubled with every retry, up to ten minutes
    /// Jobs at the same time. 0: Tick runs them itself, one after the other; else each runs on a
    /// thread that is started for it and ends with it.
    int max_concurrent = 0;
    TurnClock* turn_clock = nullptr;  // runs while jobs do; may be null, else outlives the queue
    /// The records come from a backup: jobs that copy the database, or bring it back, are not of
    /// this life any more and end as cancelled.
    bool was_restored = false;
    /// Charged with the jobs that wait; its children, named as the types of jobs, with what those
    /// that run hold outside of other accounts. May be null.
    MemoryAccount* account = nullptr;
  };
  /// Reads the records left by the last run: jobs that were running are queued again ("Node
  /// restarted"). Errors: StorageIo, Corruption.
  static Result<std::unique_ptr<JobQueue>> Open(storage::Store& store,
                                                replication::ReplicationGroup& group,
                                                const Clock& clock, const Options& options);
  ~JobQueue();

  /// What a job of the type charges while it runs: a child of the queue's account, made on first
  /// use; null when the queue has none. All of it must be given back when the executor returns.
  MemoryAccount* account(JobType type) const;

  /// Before the first Tick only. A job whose type has no executor fails.
  void SetExecutor(JobType type, JobExecutor executor);

  /// A new queued job. The caller puts `Write(job)` into its command and calls Activate when that
  /// is committed, so that the job exists exactly if the command took effect. Errors:
  /// IdempotentConflict ("Job with idempotency key 'k' is already running or queued").
  Result<JobRecord> Prepare(JobType type, std::string parameters_json,
                            std::string idempotency_key) const;
  static catalog::RecordWrite Write(const JobRecord& job);
  void Activate(const JobRecord& job);
  /// Prepare, commit and Activate at once.
  Result<JobRecord> Submit(JobType type, std::string parameters_json, std::string idempotency_key);
  bool HasActive(std::string_view idempotency_key) const;

  /// Marks an active job as cancelled; a running one stops at its next poll.
  /// Errors: NotFound (no such job), InvalidOperation (it is finished).
  Status Kill(std::string_view job_id);

  /// What a running job says about its progress; system.jobs shows it as the message. Not durable.
  void Report(std::string_view job_id, std::string message);

  /// Runs or starts every job that is due; jobs of one type run one after the other, but for
  /// flushes and compactions. Returns at once when nothing is due or another Tick is running.
  void Tick();

  /// All jobs, also finished ones, by time of creation; running ones with their progress.
  Result<std::vector<JobRecord>> List() const;
  JobCounts counts() const;
  /// Removes finished jobs that ended before `before_us`; returns how many.
  Result<int64_t> RemoveFinished(int64_t before_us);

  /// Whether RemoveFinished would find something.
  Result<bool> HasFinishedBefore(int64_t before_us) const;

  /// Refuses new work, asks the running jobs to stop and waits for them. Idempotent.
  void Close();

 private:
  std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::jobs
