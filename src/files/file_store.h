// The files behind FILE columns: stored with their statement, found for download, gone when no row
// refers to them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/id_generators.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "files/file_entry.h"
#include "files/file_limits.h"
#include "files/staging.h"
#include "objects/object_storage.h"
#include "replication/group.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::files {

class FileStore;

/// Where a statement's files belong.
struct FileScope {
  catalog::TablePtr table;  // USER or SHARED
  storage::Scope scope;
};

/// Files that lie in the storage for a statement which has not ended yet. When it goes, those that
/// no committed row refers to are removed. Any thread.
class Upload {
 public:
  Upload(FileStore& store, std::vector<int64_t> ids) : store_(store), ids_(std::move(ids)) {}
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  ~Upload();

  /// The cell of a FILE column, by placeholder.
  std::map<std::string, FileReference, std::less<>> references;

 private:
  FileStore& store_;
  const std::vector<int64_t> ids_;
};

/// How full the folders of a scope are.
struct FolderCount {
  int64_t folder_number = 0;  // of `f0001`; 0: no file was ever stored
  int64_t file_count = 0;     // in that folder
};

/// The protocol: (1) a command records the file as pending, (2) the file is put into the storage,
/// (3) the statement's own command refers to it, which ends the pending state
/// (tables/file_records.h). A crash before (3) leaves a pending record without a request: the next
/// start removes the file. Releasing works the other way round: the row's command leaves a record,
/// the file goes a little later if still no row refers to it. So nothing is ever deleted that a
/// committed row names, and nothing stays that none does. Thread-safety: all methods may be called
/// from any thread; those that return a Status block.
class FileStore {
 public:
  struct Services {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    const Clock& clock;
    Metrics& metrics;
    /// An open storage by id; NotFound when there is none.
    std::function<Result<std::shared_ptr<objects::ObjectStorage>>(std::string_view storage_id)>
        find_storage;
  };
  /// Removes what an earlier run left in the staging folder. Errors: StorageIo.
  static Result<std::unique_ptr<FileStore>> Open(Services services, FileLimits limits);
  /// For Open alone.
  FileStore(Services services, FileLimits limits);
  ~FileStore();

  const FileLimits& limits() const { return limits_; }
  std::unique_ptr<StagingArea> OpenStaging(std::string_view user_id) const {
    return std::make_unique<StagingArea>(limits_, user_id);
  }

  /// Puts staged files into the table's storage. Errors: NotFound (no such storage), StorageIo.
  Result<std::unique_ptr<Upload>> Store(const FileScope& target,
                                        const std::vector<const StagedFile*>& files);

  /// A file that some row of the scope refers to. `name`: its stored name or its id alone. Errors:
  /// StorageIo, Corruption.
  Result<std::optional<FileEntry>> Find(const FileScope& target, std::string_view sub,
                                        std::string_view name);
  /// Bytes of a file that was found. Errors: FileNotFound (it went meanwhile), StorageIo.
  Result<std::string> Read(const FileEntry& entry, int64_t offset, int64_t length);
  /// All files of one scope that rows refer to, by id; stops when `visit` returns false.
  Status List(const FileScope& target, const std::function<bool(const FileEntry&)>& visit);
  /// The folder of the scope that is being filled.
  Result<FolderCount> Folder(TableId table, const storage::Scope& scope);

  /// Removes files that nobody refers to any more; about once a second, on a worker. Returns at
  /// once when nothing is due.
  void Tick();
  /// Ends the rounds of Tick; waits for the one under way.
  void Close();

 private:
  friend class Upload;
  struct Folders;
  void Settle(const std::vector<int64_t>& ids);
  Result<FolderCount> NextFolder(const std::string& scope_prefix);
  void LeaveFolder(const std::string& scope_prefix);
  Status Commit(catalog::RecordWrites records);
  bool HasReference(std::string_view scope_prefix, int64_t id);

  // file_cleanup.cpp
  void OnCommitted(const replication::CommittedBatch& batch);
  Status RemoveUnreferenced();
  Status FindLeftovers();
  Status FindTables(std::set<TableId>* tables);
  Status RemoveSettled();
  Status RemoveReleased();
  Status FollowTables();
  Status ForgetTable(TableId table);
  Status ReleaseDroppedColumns(const catalog::TableDefinition& table);
  Status RemoveFile(std::string_view scope_prefix, int64_t id, catalog::RecordWrites* records);

  const Services services_;
  const FileLimits limits_;
  SnowflakeGenerator ids_;
  Counter& uploaded_;
  Counter& removed_;
  int observer_ = 0;

  std::mutex mutex_;
  /// Counts of scopes whose records are on their way to the store. Guarded by mutex_.
  struct OpenFolder {
    FolderCount count;
    int users = 0;
  };
  std::map<std::string, OpenFolder> open_folders_;  // guarded by mutex_
  std::set<int64_t> active_;                        // guarded by mutex_: ids of running statements
  std::vector<int64_t> settled_;                    // guarded by mutex_: their statements ended
  std::set<TableId> changed_tables_;                // guarded by mutex_: dropped
  std::atomic<bool> catalog_changed_{true};         // tables may have been altered
  std::atomic<bool> due_{true};                     // Tick has something to look at
  std::atomic<bool> released_{true};                // there may be release records

  std::mutex tick_mutex_;
  bool leftovers_found_ = false;  // guarded by tick_mutex_
  bool closed_ = false;           // guarded by tick_mutex_
  int64_t next_released_us_ = 0;  // guarded by tick_mutex_: when the next release is old enough
  int64_t retry_steady_us_ = 0;   // guarded by tick_mutex_: after a storage did not answer
};

}  // namespace kalam::files
