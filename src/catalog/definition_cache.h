// A bounded LRU of table definitions that share equal column vectors and layouts.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "catalog/schema.h"

namespace kalam::catalog {

/// Definitions by (table, schema version). Evicted ones live on while somebody holds their pointer.
/// Thread-safety: all methods may be called from any thread.
class DefinitionCache {
 public:
  /// `definitions_max` at least 1.
  DefinitionCache(size_t definitions_max, MemoryAccount& account);
  ~DefinitionCache();

  /// nullptr when it is not cached; counts a hit or a miss.
  TablePtr Find(TableId id, uint32_t schema_version);
  /// Takes the definition in, with columns and layouts replaced by shared ones, and returns the
  /// published form.
  TablePtr Insert(TableDefinition definition);
  /// Forgets all versions of a table up to `schema_version`.
  void Forget(TableId id, uint32_t schema_version);
  /// Forgets everything; whoever holds a definition keeps it.
  void Clear();
  RegistryStats stats() const;

 private:
  using Columns = std::shared_ptr<const std::vector<ColumnDefinition>>;
  using Layouts = std::shared_ptr<const std::vector<RowLayout>>;
  struct Entry {
    uint64_t key;
    TablePtr table;
    int64_t bytes;
  };

  static uint64_t KeyOf(TableId id, uint32_t schema_version) {
    return (static_cast<uint64_t>(id.value) << 32) | schema_version;
  }
  void Erase(std::list<Entry>::iterator entry);
  void DropDeadShapes();

  const size_t definitions_max_;
  MemoryAccount& account_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // guarded by mutex_; newest first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> by_key_;
  // By a hash of the content; weak, so that a shape goes with its last table.
  std::unordered_multimap<size_t, std::weak_ptr<const std::vector<ColumnDefinition>>> columns_;
  std::unordered_multimap<size_t, std::weak_ptr<const std::vector<RowLayout>>> layouts_;
  int64_t hits_ = 0;
  int64_t misses_ = 0;
};

}  // namespace kalam::catalog
