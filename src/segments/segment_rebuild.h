// Index records out of the files alone: when files were restored, or records were lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/schema.h"
#include "objects/object_storage.h"
#include "segments/segment_builder.h"

namespace kalam::segments {

struct FoundBatch {
  uint64_t batch = 0;
  std::string path;
  int64_t size_bytes = 0;
};

/// N of `batch-{N}.parquet`; nullopt for other names.
std::optional<uint64_t> BatchOfFileName(std::string_view file_name);

/// The files `{folder}/batch-{N}.parquet`, by N. Errors: StorageIo.
Result<std::vector<FoundBatch>> FindBatches(objects::ObjectStorage& storage,
                                            const std::string& folder);

/// The table that a file says it belongs to: `ns.table`, or its id. Errors: NotFound (no such
/// file), StorageIo, Corruption.
Result<std::string> TableOfFile(objects::ObjectStorage& storage, const std::string& path);

/// Reads one file whole and makes the records that its flush made: keys, counts, bounds, checksums,
/// Bloom filter; its schema version comes from the file's own metadata. To be committed by
/// SegmentChange::Adopt. `expected_checksum`: of the whole file, 16 bytes; empty when nobody knows
/// it. Errors: Corruption (damaged, another file than expected, not sorted, of another table, or of
/// another place), StorageIo. `memory`: charged with what is held meanwhile; may be null.
Result<BuiltSegment> RebuildSegment(objects::ObjectStorage& storage, const std::string& path,
                                    const catalog::TablePtr& table, const SegmentPlace& place,
                                    std::string_view expected_checksum = {},
                                    MemoryAccount* memory = nullptr);

}  // namespace kalam::segments
