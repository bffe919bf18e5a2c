// The records of one namespace: where they lie in a store, and a store of their own for a backup.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backup/backup.h"
#include "catalog/catalog.h"
#include "storage/store.h"

namespace kalam::backup {

/// A store for one pass over a backup: its caches are small, and charged to `memory` (may be null).
/// Errors: as Store::Open.
Result<std::unique_ptr<storage::Store>> OpenSmallStore(const std::string& folder,
                                                       MemoryAccount* memory);

/// A range of keys that begin with `prefix` and a table's id.
struct RecordSpace {
  storage::Family family;
  std::string_view prefix;
};
/// Rows, order, changes and segments: what nobody looks at before a definition names the table.
inline constexpr RecordSpace kRowSpaces[] = {{storage::Family::kRows, ""},
                                             {storage::Family::kOrder, ""},
                                             {storage::Family::kChanges, ""},
                                             {storage::Family::kSegments, ""}};
/// What belongs to tables beside their rows.
inline constexpr RecordSpace kSideSpaces[] = {
    {storage::Family::kSystem, "file/entry/"},      {storage::Family::kSystem, "file/reference/"},
    {storage::Family::kSystem, "file/folder/"},     {storage::Family::kSystem, "file/followed/"},
    {storage::Family::kSystem, "vector/index/"},    {storage::Family::kSystem, "retention/floor/"},
    {storage::Family::kSystem, "retention/purged/"}};

/// Every record of the table in a space; `rest` is the key behind the table's id. Stops at the
/// first error.
Status ForEachRecord(
    storage::Store& store, const storage::SnapshotPtr& snapshot, const RecordSpace& space,
    TableId table,
    const std::function<Status(std::string_view rest, std::string_view value)>& visit);
std::string KeyIn(const RecordSpace& space, TableId table, std::string_view rest);

/// What a namespace consists of.
struct NamespaceDefinitions {
  catalog::NamespaceDefinition definition;
  std::vector<std::vector<catalog::TablePtr>> tables;  // the versions of each, oldest first
  std::vector<catalog::ViewDefinition> views;

  std::vector<TableId> TableIds() const;
};
/// Errors: NotFound.
Result<NamespaceDefinitions> ReadDefinitions(catalog::Catalog& catalog,
                                             const std::string& namespace_id);

/// Makes a store in `folder` that holds the namespace, as `snapshot` shows it, and nothing else.
/// `definitions` must be of the same moment. Errors: StorageIo, Cancelled.
Status WriteNamespaceStore(storage::Store& store, const storage::SnapshotPtr& snapshot,
                           const catalog::Catalog& catalog, const NamespaceDefinitions& definitions,
                           const std::string& folder, const Work& work);

/// An object that a record names: a segment, or a file of a FILE column.
struct NamedObject {
  std::string storage_id, path;
  bool operator<(const NamedObject& other) const {
    return storage_id != other.storage_id ? storage_id < other.storage_id : path < other.path;
  }
};
/// Errors: StorageIo, Corruption.
Result<std::vector<NamedObject>> ListNamedObjects(storage::Store& store,
                                                  const storage::SnapshotPtr& snapshot,
                                                  const std::vector<TableId>& tables);

/// Where an object lies in a backup: `storage/..` of the storage `local`, `objects/<id>/..` of
/// others.
std::string PathInBackup(const NamedObject& object);

}  // namespace kalam::backup
