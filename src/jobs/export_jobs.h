// The jobs that give users their own rows as an archive.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "exports/namespace_export.h"
#include "exports/user_export.h"
#include "jobs/job_queue.h"

namespace kalam::jobs {

/// One export as SHOW EXPORT tells of it.
struct ExportRow {
  JobRecord job;
  std::string export_id;
  bool has_archive = false;
};

/// Executes user_export jobs and removes old archives. Thread-safety: Tick is called by one thread
/// at a time, the rest may be called from any thread; executors run on the threads of the queue.
class ExportJobs {
 public:
  struct Dependencies {
    exports::ExportServices services;
    const Clock& clock;
    JobQueue& queue;
    std::string data_directory;
    /// The indexes of a namespace beside its primary keys; empty: there are none.
    std::function<Result<std::vector<exports::ExportedIndex>>(const std::string& namespace_id)>
        indexes = {};
    int64_t retention_seconds = 7 * 86'400;  // archives go as the records of their jobs do
  };
  /// Registers its executor with the queue; the dependencies must outlive the queue's last Tick.
  explicit ExportJobs(Dependencies dependencies);

  /// Errors: IdempotentConflict when an export of the user is queued or runs; NotAvailable when the
  /// engine that writes Parquet is.
  Result<JobRecord> QueueExport(std::string_view user_id);
  /// A namespace, for the user who asks for it. `users`: whose rows, beside those that the server
  /// knows of. Errors: as QueueExport; without rows no engine is needed.
  Result<JobRecord> QueueNamespaceExport(std::string_view user_id, const std::string& namespace_id,
                                         const std::vector<std::string>& users,
                                         bool is_schema_only);
  /// Where the archive of an export job of ours is downloaded: `/v1/exports/{user}/{export id}`.
  static std::string DownloadPath(const JobRecord& job);
  /// The exports of one user, newest first.
  Result<std::vector<ExportRow>> List(std::string_view user_id) const;
  /// Removes old archives now and then; looks at nothing but the clock most of the time.
  void Tick();

 private:
  Result<JobOutcome> Export(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> ExportNamespace(const JobRecord& job, const JobCancelled& cancelled);

  const Dependencies dependencies_;
  int64_t next_sweep_steady_us_ = 0;
};

}  // namespace kalam::jobs
