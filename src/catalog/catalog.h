// The catalog: namespaces, tables with all their versions, views, users and storages, over the
// kCatalog family.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/memory_account.h"
#include "base/status.h"
#include "catalog/schema.h"
#include "catalog/users.h"
#include "storage/store.h"

namespace kalam::catalog {

/// One write of a catalog or system record; part of a Command, so that it is ordered and durable
/// like any row.
struct RecordWrite {
  storage::Family family = storage::Family::kCatalog;
  std::string key;
  std::optional<std::string> value;  // nullopt deletes
};
using RecordWrites = std::vector<RecordWrite>;

/// A record of system.storages.
struct StorageRecord {
  std::string storage_id, storage_name, description, storage_type = "filesystem", base_directory;
  std::string credentials_json, config_json, shared_tables_template, user_tables_template;
  int64_t created_at_us = 0, updated_at_us = 0;
};

/// Counters of the schema registry, for system.stats.
struct RegistryStats {
  int64_t definitions_cached = 0;
  int64_t shapes_shared = 0;
  int64_t hits = 0;
  int64_t misses = 0;
};

/// Reads are served from memory (names) and a bounded, deduplicated LRU of definitions; writes are
/// prepared here as RecordWrites, proposed by the caller, and take effect when the committer calls
/// `OnCommitted`. Thread-safety: all methods may be called from any thread.
class Catalog {
  struct Rep;

 public:
  /// For Open alone: nobody else can make a Rep.
  explicit Catalog(std::unique_ptr<Rep> rep);
  /// Loads names from `store`. `definitions_max` bounds the LRU of definitions.
  static Result<std::unique_ptr<Catalog>> Open(storage::Store& store, MemoryAccount& account,
                                               size_t definitions_max);
  ~Catalog();

  // Reads. Names must be folded. Definitions of the system tables are registered at start
  // (RegisterSystemTable).
  bool NamespaceExists(std::string_view ns) const;
  Result<std::optional<NamespaceDefinition>> FindNamespace(std::string_view ns) const;
  std::vector<NamespaceDefinition> ListNamespaces() const;
  /// nullptr when there is no such table. Errors: Corruption (that table only).
  Result<TablePtr> FindTable(std::string_view ns, std::string_view name) const;
  Result<TablePtr> FindTable(TableId id) const;
  /// All tables of `ns` (all namespaces when empty), without the system tables; by (namespace,
  /// name).
  Result<std::vector<TablePtr>> ListTables(std::string_view ns) const;
  /// Ids of all STREAM tables, from memory alone.
  std::vector<TableId> ListStreamTables() const;
  /// Every version, oldest first.
  Result<std::vector<TablePtr>> ListVersions(TableId id) const;
  Result<std::optional<ViewDefinition>> FindView(std::string_view ns, std::string_view name) const;
  std::vector<ViewDefinition> ListViews() const;
  Result<std::optional<UserRecord>> FindUser(std::string_view user_id) const;
  Result<std::vector<UserRecord>> ListUsers() const;
  Result<std::vector<StorageRecord>> ListStorages() const;
  Result<std::optional<StorageRecord>> FindStorage(std::string_view storage_id) const;
  size_t table_count() const;
  size_t namespace_count() const;
  /// Grows by one with every committed change of names, tables or views; plan caches compare it.
  uint64_t version() const;
  /// The current schema version of a live table, 0 when it is dropped. Never does I/O (append
  /// checks it, R14).
  uint32_t CurrentSchemaVersion(TableId id) const;
  RegistryStats registry_stats() const;
  /// Empties the cache of definitions; memory is short.
  void ForgetCachedDefinitions();

  // Preparing writes. They check nothing but their own shape: the caller holds the DDL lock and has
  // checked existence.
  TableId AllocateTableId();
  RecordWrites PutNamespace(const NamespaceDefinition& definition) const;
  RecordWrites DropNamespace(std::string_view ns) const;
  /// A new table or a new version of one (older versions stay for SHOW/HISTORY and for old rows).
  RecordWrites PutTable(const TableDefinition& definition) const;
  RecordWrites DropTable(const TableDefinition& definition) const;
  RecordWrites PutView(const ViewDefinition& definition) const;
  RecordWrites DropView(std::string_view ns, std::string_view name) const;
  RecordWrites PutUser(const UserRecord& user) const;
  /// Forgets a user for good (after the grace period of DROP USER, which itself only sets
  /// `deleted_at_us`).
  RecordWrites DropUser(std::string_view user_id) const;
  RecordWrites PutStorage(const StorageRecord& storage) const;
  RecordWrites DropStorage(std::string_view storage_id) const;

  /// Called by the committer after the batch is durable and before anybody is told; never fails,
  /// never blocks on I/O.
  void OnCommitted(const RecordWrites& writes);

  /// Makes a system table or view known: type kSystem, ids from kFirstSystemTableId on, not
  /// persisted.
  void RegisterSystemTable(TablePtr definition);

 private:
  std::unique_ptr<Rep> rep_;
};

inline constexpr uint32_t kFirstSystemTableId = 0xF0000000;

}  // namespace kalam::catalog
