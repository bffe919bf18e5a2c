// The graph of one column in one scope, and the record of its snapshot.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "vectors/vector_graph.h"
#include "vectors/vector_indexes.h"

namespace kalam::vectors {

inline constexpr std::string_view kIndexPrefix = "vector/index/";
inline constexpr std::string_view kSnapshotPrefix = "vector/snapshot/";

/// [table: 4 bytes BE][column id: 4 bytes BE]
std::string ColumnKey(TableId table, uint32_t column_id);
std::string EncodeDefinition(const IndexDefinition& definition);
/// `key`: a ColumnKey. Errors: Corruption.
Result<IndexDefinition> DecodeDefinition(std::string_view key, std::string_view value);

struct SnapshotRecord {
  uint64_t version = 0;
  std::string storage_id, path;
  Seq last_applied;
  int64_t written_at_us = 0;
};
std::string EncodeSnapshotRecord(const SnapshotRecord& record);
/// Errors: Corruption.
Result<SnapshotRecord> DecodeSnapshotRecord(std::string_view value);

struct ScopeIndex {
  ScopeIndex(const IndexDefinition& index_definition, std::string user)
      : definition(index_definition), user_id(std::move(user)) {}

  const IndexDefinition definition;
  const std::string user_id;  // empty: SHARED
  std::atomic<int64_t> used_at_us{0};
  std::atomic<bool> wanted{false};         // the background shall build it or bring it up to date
  std::atomic<int64_t> rests_until_us{0};  // too small or too large: not tried before

  std::shared_mutex mutex;
  std::unique_ptr<VectorGraph> graph;  // guarded by mutex
  Seq applied;                         // guarded by mutex: rows up to it are in
  bool ready = false;                  // guarded by mutex

  // Of the background alone.
  std::optional<SnapshotRecord> snapshot;
  bool snapshot_tried = false;
  bool snapshot_damaged = false;
  size_t changes_since_snapshot = 0;
  size_t calibrated_count = 0;
  MemoryCharge charge;
};

}  // namespace kalam::vectors
