// MAX_BUFFER of STREAM tables: each user keeps the newest rows, and the older ones go without
// anybody looking for them.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "replication/command.h"
#include "storage/store.h"

namespace kalam::tables {

/// The `_seq` at or below which rows of a scope are beyond its newest `rows_max` that live at
/// `now_us`; 0 when there are no more than these. Walks over at most `rows_max` records, backwards.
/// Errors: StorageIo, Corruption.
Result<Seq> NewestBeyondBuffer(storage::Store& store, std::string_view scope_prefix,
                               uint32_t rows_max, int64_t now_us,
                               const storage::SnapshotPtr& snapshot = nullptr);

/// Deletes what NewestBeyondBuffer finds, one by one: a range would be in the way of readers until
/// it has met its rows (storage/range_deletions.h). Returns how many rows. Safe beside writers.
Result<int64_t> TrimStream(storage::Store& store, std::string_view scope_prefix, uint32_t rows_max,
                           int64_t now_us);

/// Counts what is written to scopes of STREAM tables with MAX_BUFFER, and so knows which of them
/// hold more than that: a scope that was written for the first time since the start, and one that
/// got an eighth of its buffer since it was trimmed. Readers do not see what is beyond the buffer
/// in the meantime. Thread-safety: any thread. Memory: some 100 bytes a scope, of at most
/// kScopesMax.
class StreamBuffers {
 public:
  static constexpr size_t kScopesMax = 65'536;

  /// To be called with every committed batch.
  void OnCommitted(const replication::CommittedBatch& batch);

  std::vector<TableId> TablesWithDue() const;
  /// The prefixes of the scopes of a table that are to be trimmed; they count from 0 again.
  std::vector<std::string> TakeDue(TableId table);

 private:
  struct Written {
    uint32_t row_count = 0;  // since it was trimmed
    bool is_due = false;
  };
  using Scopes = std::unordered_map<std::string, Written>;  // by prefix
  void Add(const replication::RowMutation& row);
  void ForgetIdle();

  mutable std::mutex mutex_;
  std::map<uint32_t, Scopes> tables_;  // guarded by mutex_
  size_t scope_count_ = 0;             // guarded by mutex_
  std::map<uint32_t, size_t> due_;     // scopes of each table; guarded by mutex_
};

}  // namespace kalam::tables
