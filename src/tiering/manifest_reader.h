// Reading manifest.json back: whether the copy is sound, and what it says of the files beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "objects/object_storage.h"

namespace kalam::tiering {

/// A file that a manifest lists.
struct ListedSegment {
  std::string file_name;  // batch-{N}.parquet
  uint64_t batch = 0;
  int64_t row_count = 0, size_bytes = 0;
  std::string checksum;  // xxh3-128 of the whole file, 16 bytes

  bool operator==(const ListedSegment&) const = default;
};

/// What a sound manifest.json says.
struct ManifestCopy {
  std::string table_name;              // `ns.table`
  std::optional<std::string> user_id;  // absent in the folders of SHARED tables and of many users
  uint64_t version = 0;
  uint64_t last_batch = 0;  // no file with a greater number was there when it was written
  std::vector<ListedSegment> segments;

  const ListedSegment* Find(uint64_t batch) const;
};

/// The text with its checksum as the last field: `,"checksum":"xxh3-128:<32 hex digits>"}` in the
/// place of the last `}`; it is that of the text before. `json` must not be empty.
std::string SealManifest(std::string json);

/// Errors: Corruption (what is wrong with the text, without its path).
Result<ManifestCopy> ParseManifest(std::string_view text);

/// The manifest.json of a folder. Errors: NotFound, Corruption (both without its path), StorageIo.
Result<ManifestCopy> ReadManifestFile(objects::ObjectStorage& storage, const std::string& folder);

}  // namespace kalam::tiering
