// The swap at start, in steps that each can be done again after a crash:
//   1. `ready.json` is there: check every staged file. Damaged: rename it to `refused.json`, done.
//   2. Empty `previous`, rename `ready.json` to `swapping.json`. From here on there is no way back.
//   3. For rocksdb and storage: while the staged part is there, move the part in place to
//      `previous` (unless that happened already), then move the staged part to its place.
//   4. Rename `swapping.json` to `activated.json`, which stays until the jobs that the backup found
//      running are settled.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "backup/backup.h"
#include "backup/backup_listing.h"
#include "backup/local_files.h"
#include "backup/restore_folders.h"

namespace kalam::backup {
namespace {

Status CheckStaged(const RestoreFolders& folders) {
  KALAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(folders.ready));
  KALAM_ASSIGN_OR_RETURN(const BackupListing listing, DecodeListing(text));
  for (const BackupFile& file : listing.files) {
    if (file.path.starts_with("objects/")) continue;  // they are in their storages by now
    const auto checksum = FileSha256(folders.staging + "/" + file.path);
    if (!checksum.ok() || *checksum != file.sha256) {
      return Status(ErrorKind::Corruption,
                    fmt::format("'{}' does not match its checksum", file.path));
    }
  }
  return {};
}

Status MovePart(const RestoreFolders& folders, const std::string& data_directory,
                const std::string& part, const FailPoint& reached) {
  const std::string staged = folders.staging + "/" + part;
  const std::string place = data_directory + "/" + part;
  const std::string aside = folders.previous + "/" + part;
  if (!Exists(staged)) return {};  // moved before a crash
  if (Exists(place)) {
    if (Exists(aside)) {
      return Status(ErrorKind::StorageIo,
                    fmt::format("a restore found both {} and {}; move one away", place, aside));
    }
    KALAM_RETURN_IF_ERROR(Rename(place, aside));
  }
  reached("restore.moved_aside");
  KALAM_RETURN_IF_ERROR(Rename(staged, place));
  reached("restore.moved_in");
  return {};
}

/// Nobody may have the database open that is about to be moved away. The lock goes with the handle.
Result<std::shared_ptr<const void>> LockDatabase(const std::string& data_directory) {
  const std::string file = data_directory + "/rocksdb/LOCK";
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::shared_ptr<const void>();  // there never was one
  const std::shared_ptr<const void> handle(nullptr, [fd](const void*) { close(fd); });
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd, F_SETLK, &lock) == 0) return handle;
  return Status(ErrorKind::StorageIo,
                fmt::format("a restore cannot be activated: the data directory '{}' is in use by "
                            "another process; stop it first",
                            data_directory));
}

}  // namespace

Result<Activation> ActivateRestore(const std::string& data_directory, const FailPoint& fail_point) {
  const RestoreFolders folders = RestoreFoldersOf(data_directory);
  const auto reached = [&](std::string_view step) {
    if (fail_point) fail_point(step);
  };
  if (!Exists(folders.swapping)) {
    if (!Exists(folders.ready)) return Activation{.restored = Exists(folders.activated)};
  }
  KALAM_ASSIGN_OR_RETURN(const auto lock, LockDatabase(data_directory));
  if (!Exists(folders.swapping)) {
    if (const Status staged = CheckStaged(folders); !staged.ok()) {
      KALAM_RETURN_IF_ERROR(Rename(folders.ready, folders.refused));
      KALAM_RETURN_IF_ERROR(RemoveAll(folders.staging));
      return Activation{.restored = false,
                        .message = fmt::format("the staged backup is damaged and was not restored; "
                                               "the data is as it was: {}",
                                               staged.message())};
    }
    KALAM_RETURN_IF_ERROR(RemoveAll(folders.previous));
    KALAM_RETURN_IF_ERROR(MakeFolders(folders.previous));
    KALAM_RETURN_IF_ERROR(SyncFolder(data_directory + "/restore"));
    KALAM_RETURN_IF_ERROR(Rename(folders.ready, folders.swapping));
    reached("restore.swapping");
  }
  KALAM_RETURN_IF_ERROR(MovePart(folders, data_directory, "storage", reached));
  KALAM_RETURN_IF_ERROR(MovePart(folders, data_directory, "rocksdb", reached));
  KALAM_RETURN_IF_ERROR(RemoveAll(folders.staging));
  KALAM_RETURN_IF_ERROR(Rename(folders.swapping, folders.activated));
  reached("restore.activated");
  return Activation{
      .restored = true,
      .message = fmt::format("a backup was restored; what was there before lies in {}, remove it "
                             "when you are content",
                             folders.previous)};
}

Status FinishActivation(const std::string& data_directory) {
  return RemoveAll(RestoreFoldersOf(data_directory).activated);
}

}  // namespace kalam::backup
