// Taking a backup: the content is gathered first, which is quick, then copied, and listed last.
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <set>

#include "backup/backup.h"
#include "backup/backup_listing.h"
#include "backup/fetch_file.h"
#include "backup/local_files.h"
#include "base/optional_charge.h"
#include "objects/object_path.h"

namespace kalam::backup {
namespace {

constexpr size_t kChecksumDigits = 12;  // of a second file of the same path
constexpr std::string_view kWorkPrefix = "backup-";

/// The listing of the backup that is there; an empty one when there is none or it is damaged.
Result<BackupListing> EarlierListing(objects::ObjectStorage& target, const std::string& prefix) {
  auto text = target.Read(prefix + std::string(kListingName), 0, -1);
  if (text.status().Is(ErrorKind::NotFound)) return BackupListing{};
  KALAM_RETURN_IF_ERROR(text.status());
  auto listing = DecodeListing(*text);
  return listing.ok() ? *std::move(listing) : BackupListing{};
}

/// A place for backups is empty, has a backup, or one that was begun: files of others would be
/// removed with those that no listing names. True when it was empty, and is marked as begun now.
Result<bool> TakePlace(objects::ObjectStorage& target, const std::string& prefix) {
  for (const std::string_view name : {kListingName, kBegunName}) {
    const auto there = target.Stat(prefix + std::string(name));
    if (there.ok()) return false;
    if (!there.status().Is(ErrorKind::NotFound)) return there.status();
  }
  std::string other;
  for (const std::string_view folder : kBackupFolders) {
    KALAM_RETURN_IF_ERROR(
        target.List(prefix + std::string(folder), [&](const objects::ObjectEntry& entry) {
          other = entry.path;
          return false;
        }));
  }
  if (!other.empty()) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("there is no backup in this place, but other files ('{}'); choose "
                              "an empty one",
                              other));
  }
  KALAM_RETURN_IF_ERROR(target.Put(prefix + std::string(kBegunName), ""));
  return true;
}

class Copier {
 public:
  Copier(objects::ObjectStorage& target, std::string prefix, const BackupListing& earlier,
         const BackupOptions& options)
      : target_(target),
        prefix_(std::move(prefix)),
        options_(options),
        memory_(options.work.memory),
        // The files of the listing by path, and the names that they have in the place.
        charge_(
            ChargeIfAny(memory_, 2 * MemoryOf(earlier) + static_cast<int64_t>(kFilePieceBytes))) {
    for (const BackupFile& file : earlier.files) {
      by_path_.emplace(file.path, file);
      stored_.insert(file.stored);
    }
  }

  Result<BackupFile> Copy(const std::string& local_file, const std::string& path,
                          BackupResult* result) {
    if (options_.check) KALAM_RETURN_IF_ERROR(options_.check(path, local_file));
    BackupFile file{.path = path, .stored = path, .sha256 = "", .size_bytes = 0};
    std::error_code error;
    file.size_bytes = static_cast<int64_t>(std::filesystem::file_size(local_file, error));
    ++result->file_count;
    result->bytes += file.size_bytes;
    const auto known = by_path_.find(path);
    if (known != by_path_.end()) {
      KALAM_ASSIGN_OR_RETURN(file.sha256, FileSha256(local_file));
      const auto there = target_.Stat(prefix_ + known->second.stored);
      if (known->second.sha256 == file.sha256 && there.ok() &&
          there->size_bytes == file.size_bytes) {
        file.stored = known->second.stored;
        ++result->reused_file_count;
        return file;
      }
      // Nothing that the earlier listing names is overwritten.
      file.stored += "." + file.sha256.substr(0, kChecksumDigits);
    } else if (stored_.count(file.stored) > 0) {
      KALAM_ASSIGN_OR_RETURN(file.sha256, FileSha256(local_file));
      file.stored += "." + file.sha256.substr(0, kChecksumDigits);
    }
    put_.push_back(prefix_ + file.stored);
    KALAM_ASSIGN_OR_RETURN(file.sha256, Put(local_file, put_.back()));
    return file;
  }

  /// An object that is known by its size and time needs not be fetched.
  Result<BackupFile> CopyLate(const LateFile& late, const std::string& local_file,
                              BackupResult* result) {
    KALAM_ASSIGN_OR_RETURN(const objects::ObjectEntry entry, late.storage->Stat(late.object_path));
    const auto known = by_path_.find(late.path);
    if (known != by_path_.end() && known->second.size_bytes == entry.size_bytes &&
        known->second.modified_at_us == entry.modified_at_us &&
        target_.Stat(prefix_ + known->second.stored).ok()) {
      ++result->file_count;
      ++result->reused_file_count;
      result->bytes += entry.size_bytes;
      return known->second;
    }
    KALAM_RETURN_IF_ERROR(FetchObject(*late.storage, late.object_path, local_file, memory_));
    auto file = Copy(local_file, late.path, result);
    (void)RemoveAll(local_file);
    if (file.ok()) file->modified_at_us = entry.modified_at_us;
    return file;
  }

  /// Makes the folders of a target on this machine durable.
  Status Sync() {
    const std::string base = target_.LocalPath(prefix_ + std::string(kListingName));
    if (base.empty()) return {};
    const std::string folder = std::filesystem::path(base).parent_path().string();
    KALAM_RETURN_IF_ERROR(MakeFolders(folder));
    return SyncFolders(folder);
  }

  /// Takes back what was put, so that a full disk has the room again that it had. What a store that
  /// is down keeps goes with the next backup: nobody waits for its silence file by file. False when
  /// something is left.
  bool Undo() {
    for (const std::string& path : put_) {
      if (!target_.Delete(path).ok()) return false;
    }
    return true;
  }

 private:
  Result<std::string> Put(const std::string& local_file, const std::string& path) {
    // PutFile may take over the file itself, and a backup must not share bytes with the database.
    if (const std::string copy = target_.LocalPath(path); !copy.empty()) {
      return CopyFile(local_file, copy);
    }
    KALAM_ASSIGN_OR_RETURN(std::string checksum, FileSha256(local_file));
    KALAM_RETURN_IF_ERROR(target_.PutFile(local_file, path));
    return checksum;
  }

  objects::ObjectStorage& target_;
  const std::string prefix_;
  const BackupOptions& options_;
  MemoryAccount* const memory_;
  const MemoryCharge charge_;  // of the maps below, and of a piece of a file
  std::map<std::string, BackupFile> by_path_;
  std::set<std::string> stored_;
  std::vector<std::string> put_;
};

int64_t MemoryOf(const std::vector<std::string>& paths) {
  size_t bytes = 0;
  for (const std::string& path : paths) bytes += sizeof(path) + path.size();
  return static_cast<int64_t>(bytes);
}

int64_t MemoryOf(const std::vector<LateFile>& files) {
  size_t bytes = 0;
  for (const LateFile& file : files)
    bytes += sizeof(file) + file.path.size() + file.object_path.size();
  return static_cast<int64_t>(bytes);
}

Result<BackupListing> CopyFiles(const BackupOptions& options, const std::string& work,
                                const std::vector<LateFile>& late_files, Copier& copier,
                                BackupResult* result) {
  BackupListing listing{.backup_id = options.backup_id,
                        .namespace_id = options.namespace_id,
                        .created_at_ms = options.now_ms,
                        .files = {}};
  KALAM_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(work));
  const size_t total = files.size() + late_files.size();
  MemoryCharge charge = ChargeIfAny(options.work.memory, MemoryOf(files) + MemoryOf(late_files));
  const auto add = [&](BackupFile file) {
    charge.Resize(charge.bytes() + MemoryOf(file));
    listing.files.push_back(std::move(file));
    options.work.Report(
        fmt::format("{} of {} files, {} bytes", listing.files.size(), total, result->bytes));
    options.work.Reached("backup.copied");
  };
  for (const std::string& path : files) {
    if (options.work.is_cancelled()) {
      return Status(ErrorKind::Cancelled, "The backup was cancelled");
    }
    // RocksDB takes a lock of its own, and its log for people is of no use to the next one.
    if (path == "rocksdb/LOCK" || path == "rocksdb/LOG" || path.starts_with("rocksdb/LOG.old")) {
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(BackupFile file, copier.Copy(work + "/" + path, path, result));
    add(std::move(file));
  }
  for (const LateFile& late : late_files) {
    if (options.work.is_cancelled()) {
      return Status(ErrorKind::Cancelled, "The backup was cancelled");
    }
    KALAM_ASSIGN_OR_RETURN(BackupFile file, copier.CopyLate(late, work + ".object", result));
    add(std::move(file));
  }
  return listing;
}

/// What no listing names any more can go: files of the backup before, and of one that was cut off.
void RemoveUnlisted(objects::ObjectStorage& target, const std::string& prefix,
                    const BackupListing& listing) {
  std::set<std::string> needed;
  for (const BackupFile& file : listing.files) needed.insert(prefix + file.stored);
  std::vector<std::string> unlisted;
  for (const std::string_view folder : kBackupFolders) {
    (void)target.List(prefix + std::string(folder), [&](const objects::ObjectEntry& entry) {
      if (needed.count(entry.path) == 0) unlisted.push_back(entry.path);
      return true;
    });
  }
  for (const std::string& path : unlisted) {
    if (!target.Delete(path).ok()) return;
  }
}

/// `left_files`: after an error, whether files of it lie in the place.
Result<BackupResult> CopyInto(objects::ObjectStorage& target, const std::string& prefix,
                              const BackupOptions& options, const std::string& work,
                              bool* left_files) {
  KALAM_ASSIGN_OR_RETURN(const BackupListing earlier, EarlierListing(target, prefix));
  KALAM_ASSIGN_OR_RETURN(const std::vector<LateFile> late_files, options.gather(work));
  options.work.Reached("backup.gathered");
  const MemoryCharge earlier_charge = ChargeIfAny(options.work.memory, MemoryOf(earlier));
  BackupResult result;
  Copier copier(target, prefix, earlier, options);
  const auto copied = [&]() -> Result<BackupListing> {
    KALAM_ASSIGN_OR_RETURN(BackupListing listing,
                           CopyFiles(options, work, late_files, copier, &result));
    KALAM_RETURN_IF_ERROR(copier.Sync());
    options.work.Reached("backup.synced");
    const std::string text = EncodeListing(listing);
    const MemoryCharge text_charge =
        ChargeIfAny(options.work.memory, MemoryOf(listing) + static_cast<int64_t>(text.size()));
    KALAM_RETURN_IF_ERROR(target.Put(prefix + std::string(kListingName), text));
    return listing;
  }();
  if (!copied.ok()) {
    *left_files = !copier.Undo();
    return copied.status();
  }
  options.work.Reached("backup.listed");
  RemoveUnlisted(target, prefix, *copied);
  return result;
}

Result<BackupResult> CopyAll(objects::ObjectStorage& target, const std::string& prefix,
                             const BackupOptions& options, const std::string& work) {
  KALAM_ASSIGN_OR_RETURN(const bool was_empty, TakePlace(target, prefix));
  bool left_files = false;
  auto result = CopyInto(target, prefix, options, work, &left_files);
  // The mark of a place that is not empty stays for the next backup, which would refuse files of
  // others.
  if (result.ok() || (was_empty && !left_files)) {
    (void)target.Delete(prefix + std::string(kBegunName));
  }
  return result;
}

}  // namespace

Result<BackupResult> TakeBackup(objects::ObjectStorage& target, const std::string& prefix,
                                const BackupOptions& options) {
  const std::string work =
      fmt::format("{}/tmp/{}{}", options.data_directory, kWorkPrefix, options.backup_id);
  KALAM_RETURN_IF_ERROR(RemoveAll(work));
  KALAM_RETURN_IF_ERROR(MakeFolders(work));
  auto result = CopyAll(target, prefix, options, work);
  (void)RemoveAll(work + ".object");
  const Status removed = RemoveAll(work);
  if (result.ok()) KALAM_RETURN_IF_ERROR(removed);
  return result;
}

Status LinkLocalStorage(const std::string& data_directory, const std::string& folder) {
  return LinkTree(data_directory + "/storage", folder, objects::kTemporaryPrefix);
}

Status RemoveWorkFolders(const std::string& data_directory) {
  std::error_code error;
  std::vector<std::string> folders;
  for (std::filesystem::directory_iterator entry(data_directory + "/tmp", error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with(kWorkPrefix)) {
      folders.push_back(entry->path().string());
    }
  }
  for (const std::string& folder : folders) KALAM_RETURN_IF_ERROR(RemoveAll(folder));
  return {};
}

}  // namespace kalam::backup
