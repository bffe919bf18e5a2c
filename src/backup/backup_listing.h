// backup.json: what a backup consists of.
//
//   {"format":1,"backup_id":"..","namespace_id":"","created_at_ms":..,"files":[
//     {"path":"rocksdb/000012.sst","stored":"rocksdb/000012.sst","size":4096,"sha256":".."}, ...]}
//
// `path` is the place in the data directory, `stored` the one in the backup. Format numbers are
// never reused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::backup {

inline constexpr int kBackupFormat = 1;
inline constexpr std::string_view kListingName = "backup.json";
/// Empty; marks a place in which the first backup was begun and is not listed yet.
inline constexpr std::string_view kBegunName = "backup.begun";
/// What a backup's files lie in, as in the data directory.
inline constexpr std::string_view kBackupFolders[] = {"rocksdb/", "storage/", "objects/"};

struct BackupFile {
  std::string path, stored, sha256;
  int64_t size_bytes = 0;
  int64_t modified_at_us = 0;  // of objects of other storages, which never change in place
};

struct BackupListing {
  std::string backup_id;
  std::string namespace_id;  // empty: of the whole database
  int64_t created_at_ms = 0;
  std::vector<BackupFile> files;
};

/// What they hold.
int64_t MemoryOf(const BackupFile& file);
int64_t MemoryOf(const BackupListing& listing);
std::string EncodeListing(const BackupListing& listing);
/// Errors: Corruption (not such a file, or paths that leave the data directory), NotAvailable (a
/// newer format).
Result<BackupListing> DecodeListing(std::string_view text);

}  // namespace kalam::backup
