// What lies in a folder beside its segments, for manifest.json: the index of segments knows nothing
// of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "catalog/schema.h"
#include "segments/segment_record.h"

namespace kalam::tiering {

struct FolderContents {
  /// The files of FILE columns lie in folders of their own, of which one is being filled.
  struct FilesFolder {
    int64_t number = 0;  // 1 of `f0001`
    int64_t count = 0;   // files that were put into that one
  };
  struct VectorIndex {
    std::string column, metric;
    uint32_t dimension = 0;
    std::string snapshot_path;  // in the storage; empty: no snapshot was written yet
    uint64_t snapshot_version = 0;
    Seq last_applied;           // what the snapshot covers
    int64_t updated_at_us = 0;  // of the snapshot, else of the index
  };
  std::optional<FilesFolder> files;  // absent: no file was ever stored
  std::vector<VectorIndex> vector_indexes;
};

/// Tells of the folder of a place; costs a lookup or two. Any thread. Errors: StorageIo,
/// Corruption.
using FindContents = std::function<Result<FolderContents>(const catalog::TableDefinition& table,
                                                          const segments::SegmentPlace& place)>;

}  // namespace kalam::tiering
