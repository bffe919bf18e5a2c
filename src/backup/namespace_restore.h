// Bringing one namespace back into a running database.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "backup/backup.h"
#include "backup/namespace_records.h"
#include "base/clock.h"
#include "replication/group.h"
#include "segments/segment_store.h"

namespace kalam::backup {

struct RestoreServices {
  storage::Store& store;
  catalog::Catalog& catalog;
  replication::ReplicationGroup& group;
  segments::StorageLookup storage_of;
  /// Held by whoever changes definitions.
  std::mutex& ddl_mutex;
  const Clock& clock;
};

/// A namespace whose rows and files are all there, under table ids that nothing names yet. The
/// command that takes `records` makes it appear; it should drop what had the names before.
struct PreparedNamespace {
  std::string namespace_id;
  std::vector<TableId> tables;
  catalog::RecordWrites records;
  Seq newest;  // of its rows and changes; 0 without any
  int64_t file_count = 0;
  bool was_done = false;  // an earlier run of the job came to its end; there is nothing to commit
};

/// Fetches what the namespace needs out of a backup of it, or of everything, into `folder`, and
/// checks it. Errors: as StageRestore; NotFound when the backup does not hold the namespace.
Status FetchNamespace(objects::ObjectStorage& source, const std::string& prefix,
                      const std::string& namespace_id, const std::string& folder, const Work& work);

/// Writes the rows of a fetched namespace under new table ids, and its files beside what is there.
/// A record of the job says what that is until the namespace is committed: UndoRestores takes it
/// back. Errors: NotFound (a storage that the server lacks), InvalidOperation (its clock is behind
/// the backup), StorageIo, Corruption, Cancelled.
Result<PreparedNamespace> PrepareNamespace(const RestoreServices& services,
                                           const std::string& namespace_id,
                                           const std::string& folder, const std::string& job_id,
                                           const Work& work);

/// A fetched object of another storage than `local`.
struct StagedObject {
  catalog::StorageRecord storage_record;  // as the backup has it
  std::string local_file, path;
};
/// Of a fetched backup of the whole database. Errors: StorageIo, Corruption (it lacks a storage).
Result<std::vector<StagedObject>> ListStagedObjects(const std::string& staging,
                                                    MemoryAccount* memory);

/// Takes back what restores have left that were cut off or failed. None may be running.
Status UndoRestores(const RestoreServices& services);

}  // namespace kalam::backup
