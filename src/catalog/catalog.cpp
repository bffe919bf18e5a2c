// The catalog: names in memory, definitions on demand, writes as records.
#include "catalog/catalog.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "base/log.h"
#include "catalog/definition_cache.h"
#include "catalog/record_codec.h"
#include "types/key_codec.h"

namespace kalam::catalog {
namespace {

// User records kept for the look that every request takes; beyond it all are forgotten and read
// again.
constexpr size_t kUsersCachedMax = 1024;
// What a table costs in the maps of names beside its texts: two nodes and a head.
constexpr int64_t kHeadBytes = 200;

std::string NameKey(std::string_view ns, std::string_view name) {
  std::string key(ns);
  key.push_back('\0');
  key.append(name);
  return key;
}

storage::ScanRange PrefixRange(std::string_view prefix) {
  return {std::string(prefix), PrefixEnd(prefix)};
}

RecordWrite Put(std::string key, std::string value) {
  return {storage::Family::kCatalog, std::move(key), std::move(value)};
}
RecordWrite Delete(std::string key) {
  return {storage::Family::kCatalog, std::move(key), std::nullopt};
}
std::string Prefixed(std::string_view prefix, std::string_view name) {
  return std::string(prefix).append(name);
}

}  // namespace

struct Catalog::Rep {
  Rep(storage::Store& s, MemoryAccount& a, size_t definitions_max)
      : store(s), account(a), definitions(definitions_max, a) {}
  ~Rep() { account.Release(charged_bytes); }

  struct Head {
    std::string name_key;  // NameKey; the namespace ends at the NUL
    TableType type = TableType::kShared;
    uint32_t schema_version = 0;
  };

  storage::Store& store;
  MemoryAccount& account;
  mutable DefinitionCache definitions;

  mutable std::shared_mutex mutex;  // guards everything below
  std::map<std::string, NamespaceDefinition, std::less<>> namespaces;
  std::map<std::string, TableId, std::less<>> ids_by_name;
  std::unordered_map<TableId, Head> heads;
  std::map<std::string, ViewDefinition, std::less<>> views;
  std::map<std::string, TablePtr, std::less<>> system_by_name;
  std::unordered_map<TableId, TablePtr> system_by_id;
  mutable std::unordered_map<std::string, UserRecord> users;
  // Grows with every committed user record: a reader that met it meanwhile must not keep what it
  // read.
  uint64_t users_generation = 0;
  uint64_t version = 1;
  uint32_t next_table_id = 1;
  int64_t charged_bytes = 0;

  template <typename Visit>
  Status ForEach(std::string_view prefix, Visit visit) const {
    auto iterator = store.NewIterator(storage::Family::kCatalog, PrefixRange(prefix));
    for (iterator->Seek(prefix); iterator->Valid(); iterator->Next()) {
      KALAM_RETURN_IF_ERROR(visit(iterator->key(), iterator->value()));
    }
    return iterator->status();
  }

  void PutHead(TableId id, const TableHead& head) {
    DropHead(id);
    Head kept{NameKey(head.namespace_id, head.name), head.type, head.schema_version};
    const int64_t bytes = kHeadBytes + 2 * static_cast<int64_t>(kept.name_key.size());
    account.Charge(bytes);
    charged_bytes += bytes;
    ids_by_name[kept.name_key] = id;
    heads[id] = std::move(kept);
    next_table_id = std::max(next_table_id, id.value + 1);
  }

  void DropHead(TableId id) {
    auto found = heads.find(id);
    if (found == heads.end()) return;
    const int64_t bytes = kHeadBytes + 2 * static_cast<int64_t>(found->second.name_key.size());
    account.Release(bytes);
    charged_bytes -= bytes;
    auto named = ids_by_name.find(found->second.name_key);
    if (named != ids_by_name.end() && named->second == id) ids_by_name.erase(named);
    heads.erase(found);
  }

  Status Load();
  Result<TablePtr> FetchVersion(TableId id, uint32_t schema_version) const;
  Result<TablePtr> FetchCurrent(TableId id) const;
  bool Apply(const RecordWrite& write);
  void ApplyUser(const RecordWrite& write);
};

Status Catalog::Rep::Load() {
  KALAM_RETURN_IF_ERROR(ForEach(kNamespacePrefix, [&](std::string_view, std::string_view value) {
    auto definition = DecodeNamespace(value);
    if (!definition.ok()) return definition.status();
    std::string id = definition->id;
    namespaces.emplace(std::move(id), *std::move(definition));
    return Status::Ok();
  }));
  // Versions lie between the heads, one seek apart from the next head.
  auto iterator = store.NewIterator(storage::Family::kCatalog, PrefixRange(kTablePrefix));
  iterator->Seek(kTablePrefix);
  while (iterator->Valid()) {
    TableId id;
    if (!ParseTableHeadKey(iterator->key(), &id)) {
      iterator->Next();
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(TableHead head, DecodeTableHead(iterator->value()));
    PutHead(id, head);
    iterator->Seek(TableHeadKey({id.value + 1}));
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  KALAM_RETURN_IF_ERROR(ForEach(kViewPrefix, [&](std::string_view, std::string_view value) {
    auto view = DecodeView(value);
    if (!view.ok()) return view.status();
    std::string key = NameKey(view->namespace_id, view->name);
    views.emplace(std::move(key), *std::move(view));
    return Status::Ok();
  }));
  KALAM_ASSIGN_OR_RETURN(auto counter, store.Get(storage::Family::kCatalog, kNextTableIdKey));
  if (counter && counter->size() == 4) {
    next_table_id = std::max(next_table_id, DecodeBigEndian32(counter->data()));
  }
  return Status::Ok();
}

Result<TablePtr> Catalog::Rep::FetchVersion(TableId id, uint32_t schema_version) const {
  if (TablePtr cached = definitions.Find(id, schema_version)) return cached;
  KALAM_ASSIGN_OR_RETURN(auto bytes,
                         store.Get(storage::Family::kCatalog, TableVersionKey(id, schema_version)));
  if (!bytes) return TablePtr();
  KALAM_ASSIGN_OR_RETURN(TableDefinition definition, DecodeTable(*bytes));
  return definitions.Insert(std::move(definition));
}

Result<TablePtr> Catalog::Rep::FetchCurrent(TableId id) const {
  uint32_t schema_version = 0;
  {
    std::shared_lock lock(mutex);
    auto found = heads.find(id);
    if (found == heads.end()) return TablePtr();
    schema_version = found->second.schema_version;
  }
  KALAM_ASSIGN_OR_RETURN(TablePtr table, FetchVersion(id, schema_version));
  if (table) return table;
  // The version is gone: either the table was dropped meanwhile, or its record is missing.
  std::shared_lock lock(mutex);
  if (heads.find(id) == heads.end()) return TablePtr();
  return Status(ErrorKind::Corruption, "the definition of table " + std::to_string(id.value) +
                                           " is missing in the catalog");
}

Catalog::Catalog(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::Open(storage::Store& store, MemoryAccount& account,
                                               size_t definitions_max) {
  auto rep = std::make_unique<Rep>(store, account, definitions_max);
  KALAM_RETURN_IF_ERROR(rep->Load());
  return std::make_unique<Catalog>(std::move(rep));
}

bool Catalog::NamespaceExists(std::string_view ns) const {
  std::shared_lock lock(rep_->mutex);
  return rep_->namespaces.find(ns) != rep_->namespaces.end();
}

Result<std::optional<NamespaceDefinition>> Catalog::FindNamespace(std::string_view ns) const {
  std::shared_lock lock(rep_->mutex);
  auto found = rep_->namespaces.find(ns);
  if (found == rep_->namespaces.end()) return std::optional<NamespaceDefinition>();
  return std::optional<NamespaceDefinition>(found->second);
}

std::vector<NamespaceDefinition> Catalog::ListNamespaces() const {
  std::shared_lock lock(rep_->mutex);
  std::vector<NamespaceDefinition> list;
  for (const auto& [id, definition] : rep_->namespaces) list.push_back(definition);
  return list;
}

Result<TablePtr> Catalog::FindTable(std::string_view ns, std::string_view name) const {
  TableId id;
  {
    const std::string key = NameKey(ns, name);
    std::shared_lock lock(rep_->mutex);
    auto found = rep_->ids_by_name.find(key);
    if (found == rep_->ids_by_name.end()) {
      auto system = rep_->system_by_name.find(key);
      return system == rep_->system_by_name.end() ? TablePtr() : system->second;
    }
    id = found->second;
  }
  return rep_->FetchCurrent(id);
}

Result<TablePtr> Catalog::FindTable(TableId id) const {
  if (id.value >= kFirstSystemTableId) {
    std::shared_lock lock(rep_->mutex);
    auto found = rep_->system_by_id.find(id);
    return found == rep_->system_by_id.end() ? TablePtr() : found->second;
  }
  return rep_->FetchCurrent(id);
}

Result<std::vector<TablePtr>> Catalog::ListTables(std::string_view ns) const {
  std::vector<TableId> ids;
  {
    std::shared_lock lock(rep_->mutex);
    const std::string first = ns.empty() ? std::string() : NameKey(ns, "");
    for (auto it = rep_->ids_by_name.lower_bound(first); it != rep_->ids_by_name.end(); ++it) {
      if (!it->first.starts_with(first)) break;
      ids.push_back(it->second);
    }
  }
  std::vector<TablePtr> tables;
  tables.reserve(ids.size());
  for (TableId id : ids) {
    KALAM_ASSIGN_OR_RETURN(TablePtr table, rep_->FetchCurrent(id));
    if (table) tables.push_back(std::move(table));
  }
  return tables;
}

std::vector<TableId> Catalog::ListStreamTables() const {
  std::shared_lock lock(rep_->mutex);
  std::vector<TableId> ids;
  for (const auto& [id, head] : rep_->heads) {
    if (head.type == TableType::kStream) ids.push_back(id);
  }
  return ids;
}

Result<std::vector<TablePtr>> Catalog::ListVersions(TableId id) const {
  uint32_t newest = CurrentSchemaVersion(id);
  std::vector<TablePtr> versions;
  for (uint32_t version = 1; version <= newest; ++version) {
    KALAM_ASSIGN_OR_RETURN(TablePtr table, rep_->FetchVersion(id, version));
    if (table) versions.push_back(std::move(table));
  }
  return versions;
}

Result<std::optional<ViewDefinition>> Catalog::FindView(std::string_view ns,
                                                        std::string_view name) const {
  std::shared_lock lock(rep_->mutex);
  auto found = rep_->views.find(NameKey(ns, name));
  if (found == rep_->views.end()) return std::optional<ViewDefinition>();
  return std::optional<ViewDefinition>(found->second);
}

std::vector<ViewDefinition> Catalog::ListViews() const {
  std::shared_lock lock(rep_->mutex);
  std::vector<ViewDefinition> list;
  for (const auto& [key, view] : rep_->views) list.push_back(view);
  return list;
}

Result<std::optional<UserRecord>> Catalog::FindUser(std::string_view user_id) const {
  const std::string id(user_id);
  uint64_t generation = 0;
  {
    std::shared_lock lock(rep_->mutex);
    auto found = rep_->users.find(id);
    if (found != rep_->users.end()) return std::optional<UserRecord>(found->second);
    generation = rep_->users_generation;
  }
  KALAM_ASSIGN_OR_RETURN(auto bytes,
                         rep_->store.Get(storage::Family::kCatalog, Prefixed(kUserPrefix, id)));
  if (!bytes) return std::optional<UserRecord>();
  KALAM_ASSIGN_OR_RETURN(UserRecord user, DecodeUser(*bytes));
  std::unique_lock lock(rep_->mutex);
  if (rep_->users_generation == generation) {
    if (rep_->users.size() >= kUsersCachedMax) rep_->users.clear();
    rep_->users.emplace(id, user);
  }
  return std::optional<UserRecord>(std::move(user));
}

Result<std::vector<UserRecord>> Catalog::ListUsers() const {
  std::vector<UserRecord> list;
  KALAM_RETURN_IF_ERROR(rep_->ForEach(kUserPrefix, [&](std::string_view, std::string_view value) {
    auto user = DecodeUser(value);
    if (!user.ok()) return user.status();
    list.push_back(*std::move(user));
    return Status::Ok();
  }));
  return list;
}

Result<std::vector<StorageRecord>> Catalog::ListStorages() const {
  std::vector<StorageRecord> list;
  KALAM_RETURN_IF_ERROR(
      rep_->ForEach(kStoragePrefix, [&](std::string_view, std::string_view value) {
        auto storage = DecodeStorage(value);
        if (!storage.ok()) return storage.status();
        list.push_back(*std::move(storage));
        return Status::Ok();
      }));
  return list;
}

Result<std::optional<StorageRecord>> Catalog::FindStorage(std::string_view storage_id) const {
  KALAM_ASSIGN_OR_RETURN(
      auto bytes, rep_->store.Get(storage::Family::kCatalog, Prefixed(kStoragePrefix, storage_id)));
  if (!bytes) return std::optional<StorageRecord>();
  KALAM_ASSIGN_OR_RETURN(StorageRecord storage, DecodeStorage(*bytes));
  return std::optional<StorageRecord>(std::move(storage));
}

size_t Catalog::table_count() const {
  std::shared_lock lock(rep_->mutex);
  return rep_->heads.size();
}

size_t Catalog::namespace_count() const {
  std::shared_lock lock(rep_->mutex);
  return rep_->namespaces.size();
}

uint64_t Catalog::version() const {
  std::shared_lock lock(rep_->mutex);
  return rep_->version;
}

uint32_t Catalog::CurrentSchemaVersion(TableId id) const {
  std::shared_lock lock(rep_->mutex);
  auto found = rep_->heads.find(id);
  return found == rep_->heads.end() ? 0 : found->second.schema_version;
}

void Catalog::ForgetCachedDefinitions() { rep_->definitions.Clear(); }

RegistryStats Catalog::registry_stats() const { return rep_->definitions.stats(); }

TableId Catalog::AllocateTableId() {
  std::unique_lock lock(rep_->mutex);
  return {rep_->next_table_id++};
}

RecordWrites Catalog::PutNamespace(const NamespaceDefinition& definition) const {
  return {Put(Prefixed(kNamespacePrefix, definition.id), EncodeNamespace(definition))};
}

RecordWrites Catalog::DropNamespace(std::string_view ns) const {
  return {Delete(Prefixed(kNamespacePrefix, ns))};
}

RecordWrites Catalog::PutTable(const TableDefinition& definition) const {
  const TableHead head{definition.type, definition.schema_version, definition.namespace_id,
                       definition.name};
  RecordWrites writes;
  writes.push_back(
      Put(TableVersionKey(definition.id, definition.schema_version), EncodeTable(definition)));
  writes.push_back(Put(TableHeadKey(definition.id), EncodeTableHead(head)));
  uint32_t next_table_id = 0;
  {
    std::shared_lock lock(rep_->mutex);
    next_table_id = std::max(rep_->next_table_id, definition.id.value + 1);
  }
  std::string counter;
  EncodeBigEndian32(next_table_id, &counter);
  writes.push_back(Put(std::string(kNextTableIdKey), std::move(counter)));
  return writes;
}

RecordWrites Catalog::DropTable(const TableDefinition& definition) const {
  RecordWrites writes;
  writes.push_back(Delete(TableHeadKey(definition.id)));
  for (uint32_t version = 1; version <= definition.schema_version; ++version) {
    writes.push_back(Delete(TableVersionKey(definition.id, version)));
  }
  return writes;
}

RecordWrites Catalog::PutView(const ViewDefinition& definition) const {
  return {Put(ViewKey(definition.namespace_id, definition.name), EncodeView(definition))};
}

RecordWrites Catalog::DropView(std::string_view ns, std::string_view name) const {
  return {Delete(ViewKey(ns, name))};
}

RecordWrites Catalog::PutUser(const UserRecord& user) const {
  return {Put(Prefixed(kUserPrefix, user.user_id), EncodeUser(user))};
}

RecordWrites Catalog::DropUser(std::string_view user_id) const {
  return {Delete(Prefixed(kUserPrefix, user_id))};
}

RecordWrites Catalog::PutStorage(const StorageRecord& storage) const {
  return {Put(Prefixed(kStoragePrefix, storage.storage_id), EncodeStorage(storage))};
}

RecordWrites Catalog::DropStorage(std::string_view storage_id) const {
  return {Delete(Prefixed(kStoragePrefix, storage_id))};
}

void Catalog::OnCommitted(const RecordWrites& writes) {
  std::unique_lock lock(rep_->mutex);
  bool changed = false;
  for (const RecordWrite& write : writes) {
    if (write.family == storage::Family::kCatalog) changed |= rep_->Apply(write);
  }
  if (changed) ++rep_->version;
}

void Catalog::Rep::ApplyUser(const RecordWrite& write) {
  ++users_generation;
  users.erase(write.key.substr(kUserPrefix.size()));
}

/// True when names, tables or views changed. A record that cannot be decoded is our own bug: it is
/// logged and left out, the next start reads it again.
bool Catalog::Rep::Apply(const RecordWrite& write) {
  const std::string_view key = write.key;
  if (key.starts_with(kUserPrefix)) {
    ApplyUser(write);
    return false;
  }
  if (key.starts_with(kTablePrefix)) {
    TableId id;
    if (!ParseTableHeadKey(key, &id)) return false;  // a version: read when it is asked for
    if (!write.value) {
      auto found = heads.find(id);
      if (found != heads.end()) definitions.Forget(id, found->second.schema_version);
      DropHead(id);
      return true;
    }
    auto head = DecodeTableHead(*write.value);
    if (head.ok()) PutHead(id, *head);
    if (!head.ok()) Log(LogLevel::kError, "catalog", head.status().ToString());
    return true;
  }
  if (key.starts_with(kNamespacePrefix)) {
    const std::string id(key.substr(kNamespacePrefix.size()));
    if (!write.value) {
      namespaces.erase(id);
      return true;
    }
    auto definition = DecodeNamespace(*write.value);
    if (definition.ok()) namespaces.insert_or_assign(id, *std::move(definition));
    return true;
  }
  if (key.starts_with(kViewPrefix)) {
    const std::string name_key(key.substr(kViewPrefix.size()));
    if (!write.value) {
      views.erase(name_key);
      return true;
    }
    auto view = DecodeView(*write.value);
    if (view.ok()) views.insert_or_assign(name_key, *std::move(view));
    return true;
  }
  return false;
}

void Catalog::RegisterSystemTable(TablePtr definition) {
  std::unique_lock lock(rep_->mutex);
  rep_->system_by_id[definition->id] = definition;
  rep_->system_by_name[NameKey(definition->namespace_id, definition->name)] = definition;
  ++rep_->version;
}

}  // namespace kalam::catalog
