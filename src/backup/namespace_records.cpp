// Reading and copying the records of a namespace.
#include "backup/namespace_records.h"

#include <set>

#include "base/optional_charge.h"
#include "files/file_entry.h"
#include "segments/segment_record.h"
#include "tables/file_records.h"
#include "types/key_codec.h"

namespace kalam::backup {
namespace {

using storage::Family;

constexpr size_t kBatchBytes = 1 << 20;

void Apply(const catalog::RecordWrites& writes, storage::WriteBatch* batch) {
  for (const catalog::RecordWrite& write : writes) {
    if (write.value) batch->Put(write.family, write.key, *write.value);
  }
}

}  // namespace

Result<std::unique_ptr<storage::Store>> OpenSmallStore(const std::string& folder,
                                                       MemoryAccount* memory) {
  storage::StoreOptions options;
  options.path = folder;
  options.block_cache_bytes = 1 << 20;
  options.write_buffer_total_bytes = 2 << 20;
  options.max_open_files = 64;
  options.max_background_jobs = 1;
  options.account = memory;
  return storage::Store::Open(options);
}

std::string KeyIn(const RecordSpace& space, TableId table, std::string_view rest) {
  std::string key(space.prefix);
  EncodeBigEndian32(table.value, &key);
  return key.append(rest);
}

Status ForEachRecord(
    storage::Store& store, const storage::SnapshotPtr& snapshot, const RecordSpace& space,
    TableId table,
    const std::function<Status(std::string_view rest, std::string_view value)>& visit) {
  const std::string prefix = KeyIn(space, table, "");
  const auto records = store.NewIterator(space.family, {prefix, PrefixEnd(prefix)}, snapshot);
  for (records->SeekToFirst(); records->Valid(); records->Next()) {
    KALAM_RETURN_IF_ERROR(visit(records->key().substr(prefix.size()), records->value()));
  }
  return records->status();
}

std::vector<TableId> NamespaceDefinitions::TableIds() const {
  std::vector<TableId> ids;
  for (const auto& versions : tables) ids.push_back(versions.back()->id);
  return ids;
}

Result<NamespaceDefinitions> ReadDefinitions(catalog::Catalog& catalog,
                                             const std::string& namespace_id) {
  NamespaceDefinitions found;
  KALAM_ASSIGN_OR_RETURN(auto definition, catalog.FindNamespace(namespace_id));
  if (!definition) {
    return Status(ErrorKind::NotFound, "Namespace '" + namespace_id + "' not found");
  }
  found.definition = *std::move(definition);
  KALAM_ASSIGN_OR_RETURN(const auto tables, catalog.ListTables(namespace_id));
  for (const catalog::TablePtr& table : tables) {
    KALAM_ASSIGN_OR_RETURN(auto versions, catalog.ListVersions(table->id));
    if (versions.empty()) versions.push_back(table);
    found.tables.push_back(std::move(versions));
  }
  for (catalog::ViewDefinition& view : catalog.ListViews()) {
    if (view.namespace_id == namespace_id) found.views.push_back(std::move(view));
  }
  return found;
}

Status WriteNamespaceStore(storage::Store& store, const storage::SnapshotPtr& snapshot,
                           const catalog::Catalog& catalog, const NamespaceDefinitions& definitions,
                           const std::string& folder, const Work& work) {
  KALAM_ASSIGN_OR_RETURN(const auto target, OpenSmallStore(folder, work.memory));
  const MemoryCharge held = ChargeIfAny(work.memory, kBatchBytes);
  storage::WriteBatch batch;
  const auto write = [&]() -> Status {
    if (work.is_cancelled()) return Status(ErrorKind::Cancelled, "The backup was cancelled");
    const Status written = target->Write(std::move(batch), storage::Durability::kOs);
    batch = storage::WriteBatch();
    return written;
  };
  Apply(catalog.PutNamespace(definitions.definition), &batch);
  for (const auto& versions : definitions.tables) {
    for (const catalog::TablePtr& version : versions) Apply(catalog.PutTable(*version), &batch);
  }
  for (const catalog::ViewDefinition& view : definitions.views) {
    Apply(catalog.PutView(view), &batch);
  }
  const auto copy = [&](const RecordSpace& space, TableId table) {
    return ForEachRecord(store, snapshot, space, table,
                         [&](std::string_view rest, std::string_view value) -> Status {
                           batch.Put(space.family, KeyIn(space, table, rest), value);
                           return batch.byte_size() < kBatchBytes ? Status::Ok() : write();
                         });
  };
  for (const TableId table : definitions.TableIds()) {
    for (const RecordSpace& space : kRowSpaces) KALAM_RETURN_IF_ERROR(copy(space, table));
    for (const RecordSpace& space : kSideSpaces) KALAM_RETURN_IF_ERROR(copy(space, table));
  }
  KALAM_RETURN_IF_ERROR(write());
  return target->FlushMemtables();
}

Result<std::vector<NamedObject>> ListNamedObjects(storage::Store& store,
                                                  const storage::SnapshotPtr& snapshot,
                                                  const std::vector<TableId>& tables) {
  std::set<NamedObject> found;
  for (const TableId table : tables) {
    KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(store, table, snapshot));
    for (const segments::SegmentRecord& segment : segments) {
      found.insert({segment.storage_id, segment.path});
    }
    KALAM_RETURN_IF_ERROR(
        ForEachRecord(store, snapshot, {Family::kSystem, tables::kFileEntryPrefix}, table,
                      [&](std::string_view, std::string_view value) -> Status {
                        KALAM_ASSIGN_OR_RETURN(const auto entry, files::DecodeFileEntry(value));
                        found.insert({entry.storage_id, entry.path});
                        return {};
                      }));
  }
  return std::vector<NamedObject>(found.begin(), found.end());
}

std::string PathInBackup(const NamedObject& object) {
  return object.storage_id == "local" ? "storage/" + object.path
                                      : "objects/" + object.storage_id + "/" + object.path;
}

}  // namespace kalam::backup
