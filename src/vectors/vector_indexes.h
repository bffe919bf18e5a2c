// The vector indexes of the server: which columns have one, and graphs of the scopes that are asked
// for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "replication/group.h"
#include "tables/table_reader.h"
#include "vectors/vector_graph.h"

namespace kalam::objects {
class ObjectStorage;
}

namespace kalam::vectors {

struct IndexDefinition {
  TableId table;
  uint32_t column_id = 0;
  Metric metric = Metric::kCosine;
  int64_t created_at_us = 0;
  std::string name;  // empty: <table>_<column>_idx
};

struct IndexLimits {
  /// Graphs in memory together; beyond it the least used go, and come back from their snapshots.
  int64_t memory_bytes_max = 256 << 20;
  /// Scopes with fewer vectors are always compared whole: that is as fast, and exact.
  size_t exact_rows_max = 2000;
  /// Where snapshots lie on their way.
  std::string scratch_folder;
};

/// Keys among which the nearest rows are.
struct NearestRows {
  std::vector<std::string> keys;  // encoded, ascending, without repetition
  /// False: a larger `count` may give more.
  bool is_everything = false;
};

struct NearestRequest {
  const tables::ReadScope& scope;
  uint32_t column_id = 0;
  Metric metric = Metric::kCosine;
  std::span<const float> query;
  size_t count = 0;
};

/// What manifests and reports tell of one scope's index.
struct IndexState {
  IndexDefinition definition;
  std::string user_id;  // empty: SHARED
  std::string snapshot_path;
  uint64_t snapshot_version = 0;
  Seq last_applied;
  int64_t updated_at_us = 0;
  size_t vector_count = 0;
  bool is_ready = false;
};

/// A graph holds the vectors of one column in one scope up to a `_seq`; rows above it are given as
/// candidates as they are. So an answer never waits for the graph: it is built, and follows, in the
/// background, from the order of `_seq`s that every reader sees. Whoever asks reads the candidates'
/// rows on his own view, so nothing deleted and nothing of another scope can come through.
///
/// Records in kSystem: vector/index/<table><column id> and vector/snapshot/<table><column
/// id><user>. Thread-safety: all methods may be called from any thread.
class VectorIndexes {
 public:
  class Builder;
  struct Services {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    /// Of hot and cold rows.
    tables::TableReader& reader;
    const Clock& clock;
    MemoryAccount& memory;  // child "vector_indexes"
    Metrics& metrics;
    std::function<Result<std::shared_ptr<objects::ObjectStorage>>(std::string_view storage_id)>
        find_storage;
    /// Runs long work on a thread of its own kind; empty: Tick does it itself.
    std::function<void(std::function<void()>)> run_on_worker;
  };
  static Result<std::unique_ptr<VectorIndexes>> Open(Services services, IndexLimits limits);
  explicit VectorIndexes(std::unique_ptr<Builder> builder);
  ~VectorIndexes();

  std::optional<IndexDefinition> Find(TableId table, uint32_t column_id) const;
  static catalog::RecordWrite Put(const IndexDefinition& definition);
  static catalog::RecordWrite Drop(TableId table, uint32_t column_id);

  /// nullopt: compare all rows (no index of that metric, a small scope, staged rows, or the graph
  /// is not there yet; then it is built). Errors: StorageIo.
  Result<std::optional<NearestRows>> FindNearest(const NearestRequest& request);

  /// Starts background work that is due: building, following, snapshots, forgetting.
  void Tick();
  /// Does all of it now; for tests and for whoever waits for it.
  Status CatchUp();
  std::vector<IndexState> List() const;
  std::vector<IndexDefinition> Definitions() const;
  /// What is known of a table's indexes in one scope, those among them whose graph is not in
  /// memory. Errors: StorageIo.
  Result<std::vector<IndexState>> Describe(TableId table, const std::string& user_id) const;
  /// Brings a table's indexes up to date and writes the snapshots that have changes to them: of a
  /// SHARED table however small, of users whose rows are enough for a graph, or had been. Returns
  /// how many snapshots were written. Errors: MemoryExceeded, StorageIo.
  Result<size_t> WriteSnapshots(TableId table, const std::function<bool()>& cancelled);
  /// Is told of a table when the background has written a snapshot of one of its indexes, on the
  /// thread of the background. Before the first Tick.
  void SetSnapshotWritten(std::function<void(TableId)> snapshot_written);
  /// Drops graphs that nobody has asked for a minute; their snapshots stay. Does nothing while
  /// background work runs. For a server that is short of memory.
  void ForgetUnused();
  /// Ends background work and waits for it.
  void Close();

 private:
  const std::unique_ptr<Builder> builder_;
};

}  // namespace kalam::vectors
