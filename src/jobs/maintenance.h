// The jobs that keep a server tidy: what each does, and when one is due.
#pragma once

#include <cstdint>
#include <functional>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "jobs/job_queue.h"
#include "replication/group.h"
#include "storage/store.h"
#include "tables/retention.h"
#include "tables/stream_buffers.h"
#include "tables/table_reader.h"

namespace kalam::jobs {

struct MaintenanceOptions {
  int64_t change_retention_seconds =
      7 * 86'400;                    // how long a client may be away and still resume from the log
  int64_t change_log_bytes_max = 0;  // of one table; beyond it the oldest go earlier; 0: no bound
  int64_t job_retention_seconds = 7 * 86'400;  // finished jobs stay in system.jobs
  int64_t user_grace_seconds = 30 * 86'400;  // between DROP USER and the removal of the user's rows
  int64_t stream_eviction_interval_seconds = 60;
  int64_t sweep_interval_seconds = 3600;  // retention, user and job cleanup look for work
};

/// The newest tombstone of a table that may be purged now, asked behind the view of the purge.
using PurgeLimit = std::function<Seq(TableId)>;
/// Deletes the files of the dropped table that a cleanup job names.
using CleanUpFiles = std::function<Status(const JobRecord&, const JobCancelled&)>;

/// Executes cleanup, stream_eviction, retention, user_cleanup and job_cleanup jobs and queues them
/// when there is work. Thread-safety: Tick is called by one thread at a time; executors run on the
/// thread of JobQueue::Tick.
class Maintenance {
 public:
  struct Dependencies {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    tables::TableReader& reader;
    const Clock& clock;
    JobQueue& queue;
    /// What compaction asks; null when the store was opened without it (then change records stay
    /// for good).
    tables::ChangeRetention* change_retention = nullptr;
    PurgeLimit purge_limit = {};       // empty: none
    CleanUpFiles clean_up_files = {};  // empty: tables have no files
  };
  /// Registers its executors with the queue; both it and the dependencies must outlive the queue's
  /// last Tick.
  Maintenance(Dependencies dependencies, const MaintenanceOptions& options);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  /// Queues what is due. Looks at nothing but the clock most of the time. Errors are logged and
  /// tried again.
  void Tick();

 private:
  void StampSeq(int64_t now_us);
  void QueueByteRetention(int64_t now_us);
  void QueueStreamEvictions(int64_t now_us);
  void Sweep(int64_t now_us);

  Result<JobOutcome> Cleanup(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> EvictStream(const JobRecord& job, const JobCancelled& cancelled);
  Result<int64_t> TrimBuffers(const catalog::TableDefinition& table, const JobCancelled& cancelled);
  Result<JobOutcome> Retain(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> CleanUpUser(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> CleanUpJobs(const JobRecord& job, const JobCancelled& cancelled);

  /// Where the change log of the table shall begin.
  Result<Seq> FloorOf(TableId table, Seq by_age);
  /// Whether segments of the table have come or gone since the view.
  Result<bool> HasOtherSegmentsSince(const catalog::TablePtr& table,
                                     const replication::View& view) const;
  Result<int64_t> PurgeTombstones(const catalog::TablePtr& table, int64_t now_us,
                                  const JobCancelled& cancelled);
  Result<int64_t> DeleteRowsOf(const catalog::TablePtr& table, const std::string& user_id,
                               const JobCancelled& cancelled);
  Status Propose(std::shared_ptr<const replication::Command> command);
  Status CommitRecords(catalog::RecordWrites records);

  const Dependencies dependencies_;
  const MaintenanceOptions options_;
  tables::StreamBuffers buffers_;
  const int observer_;  // tells `buffers_` of commits
  int64_t next_stamp_steady_us_ = 0;
  int64_t next_eviction_steady_us_;
  int64_t next_sweep_steady_us_;
  Seq stamped_;  // newest `_seq` that a stamp holds
};

}  // namespace kalam::jobs
