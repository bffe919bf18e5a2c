// The snapshots of VectorIndexes::Builder: written to the storage of the table, read at the first
// use.
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/id_generators.h"
#include "catalog/storage_folder.h"
#include "objects/object_storage.h"
#include "vectors/index_builder.h"
#include "vectors/vector_snapshot.h"

namespace kalam::vectors {

using storage::Family;

Result<size_t> VectorIndexes::Builder::WriteSnapshots(TableId table,
                                                      const std::function<bool()>& cancelled) {
  size_t written = 0;
  Status status;
  for (const IndexDefinition& definition : Definitions()) {
    if (definition.table != table) continue;
    for (const auto& index : ScopesOf(definition)) {
      if (cancelled && cancelled()) return Status(ErrorKind::Cancelled, "cancelled");
      // One by one, so that what is asked for meanwhile is built in between.
      const std::lock_guard lock(work_mutex_);
      if (stopping_.load()) return Status(ErrorKind::ShuttingDown, "the server is shutting down");
      const uint64_t before = index->snapshot ? index->snapshot->version : 0;
      if (Status built = Build(*index, Reason::kSnapshot); !built.ok()) status = std::move(built);
      const uint64_t after = index->snapshot ? index->snapshot->version : 0;
      written += after > before ? 1 : 0;
    }
  }
  KALAM_RETURN_IF_ERROR(std::move(status));
  return written;
}

std::string VectorIndexes::Builder::ScratchName() const {
  std::error_code ignored;  // writing tells
  std::filesystem::create_directories(limits.scratch_folder, ignored);
  return limits.scratch_folder + "/vectors-" + RandomHex(12);
}

Status VectorIndexes::Builder::LoadSnapshot(ScopeIndex& index, const catalog::TableDefinition&,
                                            size_t dimension) {
  const std::string key = std::string(kSnapshotPrefix) +
                          ColumnKey(index.definition.table, index.definition.column_id) +
                          index.user_id;
  KALAM_ASSIGN_OR_RETURN(const auto value, services.store.Get(Family::kSystem, key));
  if (!value) return {};
  KALAM_ASSIGN_OR_RETURN(SnapshotRecord record, DecodeSnapshotRecord(*value));
  KALAM_ASSIGN_OR_RETURN(const auto storage, services.find_storage(record.storage_id));
  index.snapshot = record;
  KALAM_ASSIGN_OR_RETURN(LoadedSnapshot loaded, ReadSnapshot(*storage, record.path, ScratchName(),
                                                             dimension, index.definition.metric));
  const std::lock_guard lock(index.mutex);
  index.graph = std::move(loaded.graph);
  index.applied = loaded.head.last_applied;
  return {};
}

Status VectorIndexes::Builder::SaveSnapshot(ScopeIndex& index,
                                            const catalog::TableDefinition& table,
                                            const std::string& column) {
  const std::string& storage_id = table.options.storage_id;
  KALAM_ASSIGN_OR_RETURN(const auto storage_record, services.catalog.FindStorage(storage_id));
  if (!storage_record) return Status(ErrorKind::NotFound, "Storage '" + storage_id + "' not found");
  KALAM_ASSIGN_OR_RETURN(const auto storage, services.find_storage(storage_id));
  SnapshotRecord record;
  record.version = index.snapshot ? index.snapshot->version + 1 : 1;
  record.storage_id = storage_id;
  record.path = catalog::ScopeFolder(*storage_record, table, index.user_id) + "/vec-" + column +
                "-snapshot-" + std::to_string(record.version) + ".vix";
  record.written_at_us = services.clock.NowUs();
  {
    const std::shared_lock lock(index.mutex);
    record.last_applied = index.applied;
    KALAM_RETURN_IF_ERROR(WriteSnapshot({.table = table.QualifiedName(),
                                         .column = column,
                                         .generated_at_us = record.written_at_us,
                                         .last_applied = index.applied},
                                        *index.graph, ScratchName(), *storage, record.path));
  }
  const std::string key = std::string(kSnapshotPrefix) +
                          ColumnKey(index.definition.table, index.definition.column_id) +
                          index.user_id;
  KALAM_RETURN_IF_ERROR(Commit({{Family::kSystem, key, EncodeSnapshotRecord(record)}}));
  const std::optional<SnapshotRecord> old = std::exchange(index.snapshot, record);
  index.changes_since_snapshot = 0;
  index.snapshot_damaged = false;
  saved_.insert(index.definition.table.value);
  if (!old) return {};
  KALAM_ASSIGN_OR_RETURN(const auto old_storage, services.find_storage(old->storage_id));
  return old_storage->Delete(old->path);
}

Status VectorIndexes::Builder::RemoveSnapshot(const std::string& key, std::string_view value) {
  KALAM_ASSIGN_OR_RETURN(const SnapshotRecord record, DecodeSnapshotRecord(value));
  if (const auto storage = services.find_storage(record.storage_id); storage.ok()) {
    KALAM_RETURN_IF_ERROR((*storage)->Delete(record.path));
  } else if (!storage.status().Is(ErrorKind::NotFound)) {
    return storage.status();
  }
  return Commit({{Family::kSystem, key, std::nullopt}});
}

}  // namespace kalam::vectors
