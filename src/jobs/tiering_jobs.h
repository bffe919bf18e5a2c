// The jobs of the cold tier: flush, compact and the deletion of replaced files, and when each is
// due.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "jobs/job_queue.h"
#include "storage/store.h"
#include "tiering/tiering.h"

namespace kalam::jobs {

struct TieringJobsOptions {
  int64_t check_interval_seconds =
      10;  // between looks at the flush policies; 0: no automatic flush
  int64_t sweep_interval_seconds = 60;        // between looks for replaced files
  int64_t tombstone_interval_seconds = 3600;  // between looks for old tombstones
  int64_t eviction_interval_seconds = 60;     // between looks for evictions to finish
};

/// Thread-safety: Tick is called by one thread at a time, the rest may be called from any thread;
/// executors run on the threads of the queue.
class TieringJobs {
 public:
  struct Dependencies {
    storage::Store& store;
    catalog::Catalog& catalog;
    tiering::Tiering& tiering;
    const Clock& clock;
    JobQueue& queue;
  };
  /// Registers its executors with the queue; the dependencies must outlive the queue's last Tick.
  /// Where the tier cannot write, the log says so once, and nothing that writes is scheduled.
  TieringJobs(Dependencies dependencies, const TieringJobsOptions& options);

  /// Calls `flushed` after every flush that moved rows, on the queue's thread. Before the first
  /// Tick.
  void SetFlushed(std::function<void(const catalog::TableDefinition&)> flushed) {
    flushed_ = std::move(flushed);
  }

  /// Queues what is due. Looks at nothing but the clock most of the time. Errors are logged and
  /// tried again.
  void Tick();

  /// Queues a flush of the table, of which it is known that it has hot rows. Errors:
  /// IdempotentConflict when one of all its rows is queued or runs already; those of
  /// Tiering::CheckCanWrite, as of QueueCompaction.
  Result<JobRecord> QueueFlush(const catalog::TableDefinition& table);
  Result<JobRecord> QueueCompaction(const catalog::TableDefinition& table);
  /// A job of the type of compactions, so that both of a table take turns.
  Result<JobRecord> QueueRebuild(const catalog::TableDefinition& table);

  /// Queues flushes of the tables with the most hot rows, those with fewer than `row_count_min`
  /// left out; returns how many. For whoever watches over memory.
  size_t FlushLargest(size_t count_max, int64_t row_count_min);

  /// For the executor of cleanup jobs: deletes the files of a dropped table. `parameters_json` are
  /// those of the job. Ok when the job knows of no files.
  Status CleanUpDropped(const JobRecord& job, const JobCancelled& cancelled);

 private:
  Result<JobOutcome> Flush(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> FinishEvictions(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> Compact(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> Rebuild(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> DeleteRetired(const JobRecord& job, const JobCancelled& cancelled);
  void QueueDueFlushes();
  void QueueRetiredDeletion();
  void QueueTombstoneCompactions();
  void QueueEvictions();
  Status LoadCounts();
  Result<Seq> DroppableTombstones(const catalog::TableDefinition& table) const;
  bool HasActiveFlush(const catalog::TableDefinition& table) const;
  bool HasActiveFlushOfUsers(const catalog::TableDefinition& table) const;
  bool HasScheduled(const catalog::TableDefinition& table, std::string_view of) const;
  Result<JobRecord> Submit(JobType type, const catalog::TableDefinition& table, std::string key,
                           const std::vector<storage::Scope>& scopes = {});

  const Dependencies dependencies_;
  const TieringJobsOptions options_;
  std::function<void(const catalog::TableDefinition&)> flushed_;
  std::mutex load_mutex_;
  bool loaded_ =
      false;  // guarded by load_mutex_: the hot rows that were there at start are counted
  int64_t next_tombstones_steady_us_;
  int64_t next_check_steady_us_ = 0;
  int64_t next_sweep_steady_us_ = 0;
  int64_t next_evictions_steady_us_ = 0;
};

}  // namespace kalam::jobs
