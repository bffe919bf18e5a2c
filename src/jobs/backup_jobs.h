// The jobs that copy the database elsewhere and bring it back.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "backup/backup.h"
#include "backup/namespace_restore.h"
#include "backup/segment_checks.h"
#include "base/clock.h"
#include "jobs/job_queue.h"
#include "objects/storage_set.h"
#include "storage/store.h"
#include "tiering/tiering.h"

namespace kalam::jobs {

/// Where a backup lies: a folder of this machine, or one in a storage of system.storages.
struct BackupPlace {
  std::string storage_id;  // empty: `path` is absolute
  std::string path;
};

/// Executes backup and restore jobs. Thread-safety: all methods may be called from any thread;
/// executors run on the threads of the queue.
class BackupJobs {
 public:
  struct Dependencies {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    objects::StorageSet& storages;
    /// Held by whoever changes definitions.
    std::mutex& ddl_mutex;
    /// Makes a restored namespace appear in the place of the one that has its name, for the user.
    std::function<Status(backup::PreparedNamespace, const std::string& user_id)> swap_namespace;
    const Clock& clock;
    JobQueue& queue;
    std::string data_directory;
    backup::FailPoint fail_point;
    /// Is told of the tables of a restored namespace; null without a cold tier.
    tiering::Tiering* tiering = nullptr;
  };
  /// Registers its executors with the queue; the dependencies must outlive the queue's last Tick.
  explicit BackupJobs(Dependencies dependencies);

  /// `namespace_id` empty: the whole database. `user_id`: who asks for it.
  Result<JobRecord> Queue(JobType type, const std::string& namespace_id, const BackupPlace& place,
                          const std::string& user_id);

 private:
  Result<JobOutcome> Backup(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> Restore(const JobRecord& job, const JobCancelled& cancelled);
  Result<JobOutcome> RestoreNamespace(const JobRecord& job, objects::ObjectStorage& source,
                                      const std::string& prefix, const backup::Work& work);
  Result<std::vector<backup::LateFile>> GatherAll(const std::string& work_folder,
                                                  backup::SegmentChecks* checks);
  Result<std::vector<backup::LateFile>> GatherNamespace(const std::string& namespace_id,
                                                        const std::string& work_folder,
                                                        const backup::Work& work,
                                                        backup::SegmentChecks* checks);
  void TakeIn(const std::vector<TableId>& tables);
  Status PlaceObjects(const std::string& staging, const backup::Work& work);
  backup::Work WorkOf(const JobRecord& job, const JobCancelled& cancelled);

  const Dependencies dependencies_;
};

}  // namespace kalam::jobs
