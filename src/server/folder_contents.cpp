// See folder_contents.h.
#include "server/folder_contents.h"

#include <algorithm>

namespace kalam::server {
namespace {

bool HasFiles(const catalog::TableDefinition& table) {
  return std::any_of(table.columns->begin(), table.columns->end(),
                     [](const auto& column) { return column.type.kind == TypeKind::kFile; });
}

}  // namespace

Result<tiering::FolderContents> ContentsOf(files::FileStore& files,
                                           const vectors::VectorIndexes* indexes,
                                           const catalog::TableDefinition& table,
                                           const segments::SegmentPlace& place) {
  tiering::FolderContents contents;
  // Files and snapshots lie in folders of their users, also of those who share segments.
  if (HasFiles(table) && !place.many) {
    KALAM_ASSIGN_OR_RETURN(const files::FolderCount folder, files.Folder(table.id, place.scope));
    if (folder.folder_number > 0)
      contents.files = {.number = folder.folder_number, .count = folder.file_count};
  }
  if (indexes == nullptr) return contents;
  const std::string user = place.many ? std::string() : std::string(place.scope.user_id());
  KALAM_ASSIGN_OR_RETURN(const auto states, indexes->Describe(table.id, user));
  for (const vectors::IndexState& state : states) {
    for (const catalog::ColumnDefinition& column : *table.columns) {
      if (column.column_id != state.definition.column_id) continue;
      contents.vector_indexes.push_back(
          {.column = column.name,
           .metric = std::string(vectors::MetricName(state.definition.metric)),
           .dimension = column.type.dimension,
           .snapshot_path = state.snapshot_path,
           .snapshot_version = state.snapshot_version,
           .last_applied = state.last_applied,
           .updated_at_us =
               state.snapshot_version > 0 ? state.updated_at_us : state.definition.created_at_us});
    }
  }
  return contents;
}

}  // namespace kalam::server
