// The LRU of definitions and the sharing of their shapes.
#include "catalog/definition_cache.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace kalam::catalog {
namespace {

size_t Mix(size_t hash, size_t value) {
  return hash ^ (value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2));
}

size_t HashOf(const std::vector<ColumnDefinition>& columns) {
  size_t hash = columns.size();
  for (const ColumnDefinition& column : columns) {
    hash = Mix(hash, std::hash<std::string>()(column.name));
    hash = Mix(hash, column.column_id * 64 + static_cast<size_t>(column.type.kind));
  }
  return hash;
}

size_t HashOf(const std::vector<RowLayout>& layouts) {
  size_t hash = layouts.size();
  for (const RowLayout& layout : layouts) {
    for (const RowLayout::Cell& cell : layout.cells) {
      hash = Mix(hash, cell.column_id * 64 + static_cast<size_t>(cell.type.kind));
    }
  }
  return hash;
}

/// The live vector equal to `*fresh`, or `fresh` itself, which then is the one that others will
/// share.
template <typename T, typename Map>
std::shared_ptr<const T> Share(std::shared_ptr<const T> fresh, Map* shapes) {
  const size_t hash = HashOf(*fresh);
  auto [begin, end] = shapes->equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (std::shared_ptr<const T> known = it->second.lock(); known && *known == *fresh) return known;
  }
  shapes->emplace(hash, fresh);
  return fresh;
}

int64_t ByteSizeOf(const TableDefinition& definition) {
  size_t bytes = sizeof(TableDefinition) + 128 + definition.namespace_id.capacity() +
                 definition.name.capacity() + definition.options.storage_id.capacity();
  bytes += definition.columns->size() * sizeof(ColumnDefinition);
  for (const RowLayout& layout : *definition.layouts) {
    bytes += sizeof(RowLayout) + layout.cells.size() * sizeof(RowLayout::Cell);
  }
  return static_cast<int64_t>(bytes);
}

template <typename Map>
void EraseExpired(Map* shapes) {
  std::erase_if(*shapes, [](const auto& entry) { return entry.second.expired(); });
}

}  // namespace

DefinitionCache::DefinitionCache(size_t definitions_max, MemoryAccount& account)
    : definitions_max_(std::max<size_t>(definitions_max, 1)), account_(account) {}

DefinitionCache::~DefinitionCache() {
  for (const Entry& entry : entries_) account_.Release(entry.bytes);
}

TablePtr DefinitionCache::Find(TableId id, uint32_t schema_version) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(KeyOf(id, schema_version));
  if (found == by_key_.end()) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->table;
}

TablePtr DefinitionCache::Insert(TableDefinition definition) {
  std::lock_guard lock(mutex_);
  const uint64_t key = KeyOf(definition.id, definition.schema_version);
  if (auto found = by_key_.find(key); found != by_key_.end()) Erase(found->second);
  definition.columns = Share<std::vector<ColumnDefinition>>(definition.columns, &columns_);
  definition.layouts = Share<std::vector<RowLayout>>(definition.layouts, &layouts_);
  const int64_t bytes = ByteSizeOf(definition);
  auto table = std::make_shared<const TableDefinition>(std::move(definition));
  entries_.push_front({key, table, bytes});
  by_key_[key] = entries_.begin();
  account_.Charge(bytes);
  while (entries_.size() > definitions_max_) Erase(std::prev(entries_.end()));
  if (columns_.size() > 2 * definitions_max_ + 16 || layouts_.size() > 2 * definitions_max_ + 16) {
    DropDeadShapes();
  }
  return table;
}

void DefinitionCache::Forget(TableId id, uint32_t schema_version) {
  std::lock_guard lock(mutex_);
  // Tables have few versions in the cache, but any of them may be there.
  for (auto it = entries_.begin(); it != entries_.end();) {
    auto current = it++;
    if (current->table->id == id && current->table->schema_version <= schema_version)
      Erase(current);
  }
  DropDeadShapes();
}

void DefinitionCache::Clear() {
  std::lock_guard lock(mutex_);
  while (!entries_.empty()) Erase(entries_.begin());
  DropDeadShapes();
}

RegistryStats DefinitionCache::stats() const {
  std::lock_guard lock(mutex_);
  std::unordered_set<const void*> distinct;
  for (const Entry& entry : entries_) distinct.insert(entry.table->columns.get());
  return {.definitions_cached = static_cast<int64_t>(entries_.size()),
          .shapes_shared = static_cast<int64_t>(entries_.size() - distinct.size()),
          .hits = hits_,
          .misses = misses_};
}

void DefinitionCache::Erase(std::list<Entry>::iterator entry) {
  account_.Release(entry->bytes);
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

void DefinitionCache::DropDeadShapes() {
  EraseExpired(&columns_);
  EraseExpired(&layouts_);
}

}  // namespace kalam::catalog
