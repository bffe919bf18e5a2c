// One file of a backup, fetched and checked.
#pragma once

#include <string>

#include "backup/backup.h"
#include "backup/backup_listing.h"

namespace kalam::backup {

/// Brings the file to `folder`/`file.path` and fsyncs it. Errors: Corruption (it is missing, or
/// does not match its checksum: named), StorageIo, Cancelled.
Status FetchFile(objects::ObjectStorage& source, const std::string& prefix, const BackupFile& file,
                 const std::string& folder, const Work& work);

/// Brings an object to a local file, piece by piece; `memory` (may be null) is charged with them.
/// Errors: as ObjectStorage::Read; StorageIo.
Status FetchObject(objects::ObjectStorage& storage, const std::string& path,
                   const std::string& local_file, MemoryAccount* memory);

/// Puts a local file to `path`, where nothing or the same bytes may lie. Errors: InvalidOperation
/// (other bytes: named), those of the storage.
Status PlaceObject(objects::ObjectStorage& storage, const std::string& local_file,
                   const std::string& path, MemoryAccount* memory);

}  // namespace kalam::backup
