// The work behind VectorIndexes: what is known, and the building and following in the background.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vectors/scope_index.h"
#include "vectors/vector_indexes.h"

namespace kalam::vectors {

/// Thread-safety: any thread; Work runs once at a time.
class VectorIndexes::Builder {
 public:
  Builder(Services services, IndexLimits limits);
  ~Builder();
  /// Reads the definitions. Errors: StorageIo, Corruption.
  Status Load();

  std::optional<IndexDefinition> Find(TableId table, uint32_t column_id) const;
  /// The scope's index, made empty when it is new; null when too many scopes are known.
  std::shared_ptr<ScopeIndex> Scope(const IndexDefinition& definition, const std::string& user_id);
  /// Asks the background to bring it up to date.
  void Want(ScopeIndex& index);

  void Tick();
  Status Work();
  std::vector<IndexState> List() const;
  std::vector<IndexDefinition> Definitions() const;
  Result<std::vector<IndexState>> Describe(TableId table, const std::string& user_id) const;
  Result<size_t> WriteSnapshots(TableId table, const std::function<bool()>& cancelled);
  void Close();
  void ForgetUnused();

  const Services services;
  const IndexLimits limits;
  std::function<void(TableId)> snapshot_written;  // set before the first Tick; may be empty

 private:
  using ScopeMap = std::map<std::string, std::shared_ptr<ScopeIndex>>;
  void OnCommitted(const replication::CommittedBatch& batch);
  std::vector<std::shared_ptr<ScopeIndex>> Scopes() const;
  Status ForgetDropped();
  enum class Reason { kWanted, kSnapshot };
  Status WorkLocked();
  Status Build(ScopeIndex& index, Reason reason);
  Status TryBuild(ScopeIndex& index, const catalog::TablePtr& table, size_t column, Reason reason);
  std::vector<std::shared_ptr<ScopeIndex>> ScopesOf(const IndexDefinition& definition);
  void FillState(const std::string& key, IndexState* state) const;
  Status LoadSnapshot(ScopeIndex& index, const catalog::TableDefinition& table, size_t dimension);
  Result<bool> IsLargeEnough(const ScopeIndex& index, const catalog::TablePtr& table);
  /// True when rows may be left.
  Result<bool> ApplyNext(ScopeIndex& index, const catalog::TablePtr& table, size_t column);
  bool ChargeFor(ScopeIndex& index);
  void DropGraph(ScopeIndex& index);
  Status SaveSnapshot(ScopeIndex& index, const catalog::TableDefinition& table,
                      const std::string& column);
  Status RemoveSnapshot(const std::string& key, std::string_view value);
  Status Commit(catalog::RecordWrites records);
  tables::ReadScope ReadScopeOf(const ScopeIndex& index, const catalog::TablePtr& table) const;
  std::string ScratchName() const;

  MemoryAccount& account_;
  int observer_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, IndexDefinition> definitions_;  // guarded by mutex_; by ColumnKey
  ScopeMap scopes_;                                     // guarded by mutex_
  std::atomic<bool> due_{true};
  std::atomic<bool> catalog_changed_{true};
  std::atomic<bool> running_{false};
  std::atomic<bool> stopping_{false};
  std::mutex work_mutex_;
  std::set<uint32_t> saved_;  // guarded by work_mutex_: tables of which a snapshot was written
};

}  // namespace kalam::vectors
