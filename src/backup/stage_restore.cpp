// Staging: a backup is fetched beside the running database and checked file by file.
#include <fmt/format.h>

#include "backup/backup.h"
#include "backup/backup_listing.h"
#include "backup/fetch_file.h"
#include "backup/local_files.h"
#include "backup/restore_folders.h"
#include "base/optional_charge.h"

namespace kalam::backup {
namespace {

Result<BackupResult> FetchAll(objects::ObjectStorage& source, const std::string& prefix,
                              const RestoreFolders& folders, const PlaceObjects& place_objects,
                              const Work& work) {
  auto text = source.Read(prefix + std::string(kListingName), 0, -1);
  if (text.status().Is(ErrorKind::NotFound)) {
    return Status(ErrorKind::NotFound, "there is no backup (no backup.json)");
  }
  KALAM_RETURN_IF_ERROR(text.status());
  KALAM_ASSIGN_OR_RETURN(const BackupListing listing, DecodeListing(*text));
  if (!listing.namespace_id.empty()) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("this is a backup of the namespace '{}' alone; use RESTORE DATABASE "
                              "IN {} FROM",
                              listing.namespace_id, listing.namespace_id));
  }
  const MemoryCharge charge =
      ChargeIfAny(work.memory, MemoryOf(listing) + static_cast<int64_t>(text->size()));
  BackupResult result;
  for (const BackupFile& file : listing.files) {
    KALAM_RETURN_IF_ERROR(FetchFile(source, prefix, file, folders.staging, work));
    ++result.file_count;
    result.bytes += file.size_bytes;
    work.Report(fmt::format("{} of {} files, {} bytes", result.file_count, listing.files.size(),
                            result.bytes));
  }
  KALAM_RETURN_IF_ERROR(MakeFolders(folders.staging + "/storage"));
  if (!Exists(folders.staging + "/rocksdb/CURRENT")) {
    return Status(ErrorKind::Corruption, "the backup holds no database");
  }
  KALAM_RETURN_IF_ERROR(SyncFolders(folders.staging));
  // From here on the next start takes it.
  work.Reached("restore.verified");
  if (place_objects) KALAM_RETURN_IF_ERROR(place_objects(folders.staging));
  KALAM_RETURN_IF_ERROR(WriteDurably(folders.ready, *text));
  work.Reached("restore.staged");
  return result;
}

}  // namespace

Result<BackupResult> StageRestore(objects::ObjectStorage& source, const std::string& prefix,
                                  const std::string& data_directory,
                                  const PlaceObjects& place_objects, const Work& work) {
  const RestoreFolders folders = RestoreFoldersOf(data_directory);
  KALAM_RETURN_IF_ERROR(RemoveAll(folders.ready));
  KALAM_RETURN_IF_ERROR(RemoveAll(folders.staging));
  KALAM_RETURN_IF_ERROR(MakeFolders(folders.staging));
  auto result = FetchAll(source, prefix, folders, place_objects, work);
  if (!result.ok()) (void)RemoveAll(folders.staging);
  return result;
}

}  // namespace kalam::backup
