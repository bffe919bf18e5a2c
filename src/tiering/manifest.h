// manifest.json: a copy of the records of one folder, for tools that read the files without us.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/schema.h"
#include "objects/object_storage.h"
#include "segments/segment_record.h"
#include "tiering/open_tiering.h"

namespace kalam::tiering {

/// Its name in the folder of the segments that it lists.
inline constexpr std::string_view kManifestFile = "manifest.json";

/// The manifest of one folder, as it lies or will lie beside the segments.
struct Manifest {
  segments::FolderRecord folder;
  std::string json;
  std::string etag;  // hash of the text
};

/// Compact JSON, fields in the order that docs/operations.md lists them; without its checksum.
std::string ManifestJson(const catalog::TableDefinition& table,
                         const segments::FolderRecord& folder,
                         const std::vector<segments::SegmentRecord>& segments,
                         const FolderContents& contents);

/// The manifest of a place; nullopt when it never had a segment. Errors: StorageIo, Corruption.
Result<std::optional<Manifest>> ReadManifest(const TieringServices& services,
                                             const catalog::TableDefinition& table,
                                             const segments::SegmentPlace& place);

/// Replaces the manifest.json of a place by what the records say now; removes it when no segment
/// is left. `memory`: charged with the text; may be null.
Status WriteManifest(const TieringServices& services, const catalog::TableDefinition& table,
                     const segments::SegmentPlace& place, objects::ObjectStorage& storage,
                     MemoryAccount* memory = nullptr);

/// What is wrong with the manifest.json of a place ("is missing", "does not match its checksum",
/// ...); empty when it says of the segments what WriteManifest would write. Files and snapshots may
/// have come since. Errors: StorageIo, Corruption (of the records).
Result<std::string> FindManifestProblem(const TieringServices& services,
                                        const catalog::TableDefinition& table,
                                        const segments::SegmentPlace& place,
                                        objects::ObjectStorage& storage);

/// `ns:table:scope`; the scope is `shared`, a user id, or `_many`.
std::string ManifestCacheKey(const catalog::TableDefinition& table,
                             const segments::SegmentPlace& place);
std::string ManifestScope(const segments::SegmentPlace& place);

}  // namespace kalam::tiering
