// Taking a backup, and bringing one back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_account.h"
#include "base/status.h"
#include "objects/object_storage.h"

namespace kalam::backup {

/// Called with the name of a step that was just done; a test ends the process there. May be empty.
using FailPoint = std::function<void(std::string_view)>;

/// What a backup or a restore is told while it works, and tells. All may be empty.
struct Work {
  std::function<bool()> cancelled;          // polled
  std::function<void(std::string)> report;  // progress, for people
  FailPoint fail_point;
  MemoryAccount* memory = nullptr;  // charged with small stores and what is copied; may be null

  bool is_cancelled() const { return cancelled && cancelled(); }
  void Report(std::string message) const {
    if (report) report(std::move(message));
  }
  void Reached(std::string_view step) const {
    if (fail_point) fail_point(step);
  }
};

/// An object of another storage, which is fetched when its turn comes.
struct LateFile {
  std::string path;  // in the backup
  std::shared_ptr<objects::ObjectStorage> storage;
  std::string object_path;
};

struct BackupOptions {
  std::string data_directory;
  std::string backup_id;     // names the work folder below tmp
  std::string namespace_id;  // empty: all of them
  int64_t now_ms = 0;
  /// Makes the content: the folders `rocksdb` and `storage` in the work folder that it is given;
  /// and tells what is too large to be gathered.
  std::function<Result<std::vector<LateFile>>(const std::string& work)> gather;
  /// Looks at every file before it is copied, given its path in the backup: an error ends the
  /// backup. May be empty.
  std::function<Status(const std::string& path, const std::string& file)> check;
  Work work;
};

struct BackupResult {
  int64_t file_count = 0, bytes = 0;
  int64_t reused_file_count = 0;  // of an earlier backup in the same place
};

/// Puts what `gather` makes to `prefix` of `target` ("" or with a `/` at its end), using files of
/// an earlier backup there again. Errors: StorageIo, Cancelled, those of `check`; then the earlier
/// backup is as it was.
Result<BackupResult> TakeBackup(objects::ObjectStorage& target, const std::string& prefix,
                                const BackupOptions& options);

/// Makes `folder` hold links to the files of the storage `local`, as they are now.
Status LinkLocalStorage(const std::string& data_directory, const std::string& folder);

/// Removes the work folders of backups that a crash has cut off.
Status RemoveWorkFolders(const std::string& data_directory);

/// Is given the fetched files before the restore counts as staged: brings objects of other storages
/// to their places. May be empty.
using PlaceObjects = std::function<Status(const std::string& staging)>;

/// Fetches a backup beside the running database and checks it; the next start activates it. Errors:
/// NotFound (no backup there), Corruption (a file does not match its checksum, named), NotAvailable
/// (a newer format), InvalidOperation (of one namespace), StorageIo, Cancelled; then nothing is
/// staged.
Result<BackupResult> StageRestore(objects::ObjectStorage& source, const std::string& prefix,
                                  const std::string& data_directory,
                                  const PlaceObjects& place_objects, const Work& work);

struct Activation {
  bool restored = false;  // by this start, or by one before it that never came to FinishActivation
  std::string message;    // what happened; empty when there was nothing to do
};
/// Before the store is opened: puts a staged backup in the place of the data, or nothing of it. A
/// staged backup that turns out to be damaged is left aside as `restore/refused`, and the server
/// starts with the data it had. Errors: StorageIo (start again when the disk works; the swap goes
/// on where it was).
Result<Activation> ActivateRestore(const std::string& data_directory, const FailPoint& fail_point);
/// Once what the restored database still held of its former life is settled.
Status FinishActivation(const std::string& data_directory);

}  // namespace kalam::backup
