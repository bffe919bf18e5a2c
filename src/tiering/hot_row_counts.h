// How many rows of each table are hot, kept up to date by the commits themselves, and which tables
// are due for a flush.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "replication/command.h"
#include "storage/store.h"

namespace kalam::tiering {

/// What tables do that name no FLUSH_POLICY. Zero means never.
struct FlushDefaults {
  uint32_t row_limit = 100'000;
  uint32_t interval_seconds = 0;
};

/// A table has as many hot rows as keys in kRows, tombstones among them. Counts are kept in memory
/// alone: commits add to them, flushes take away, and the first look after a start counts what is
/// there. They steer work and are no truth: purged tombstones leave them a little high until the
/// next flush. Thread-safety: all methods may be called from any thread; OnCommitted never blocks
/// on anything but a short lock.
class HotRowCounts {
 public:
  /// `store`, `catalog` and `clock` must outlive it.
  HotRowCounts(storage::Store& store, const catalog::Catalog& catalog, const Clock& clock,
               const FlushDefaults& defaults);

  /// Finds what the store holds already; once, before the first TakeDue. Costs a seek a table that
  /// has hot rows, whatever else there is. Rows committed while it runs may be left out.
  /// Errors: StorageIo, Corruption.
  Status Load();
  /// The same for one table, whose rows came into the store without commits.
  Status CountAnew(TableId table);
  /// To be registered as an observer of the group.
  void OnCommitted(const replication::CommittedBatch& batch);

  /// The tables whose policy says that they are to be flushed now. A table is named once until it
  /// is flushed, has failed or is written again. Looks at nothing but tables that were written
  /// since the last call and intervals that have passed.
  std::vector<TableId> TakeDue();

  /// A flush moved `row_count` rows; `left` tells whether any hot row is left.
  void Flushed(TableId table, int64_t row_count, bool left);
  /// A flush failed for good: the table is due again after a pause.
  void FlushFailed(TableId table);

  int64_t row_count(TableId table) const;
  /// Tables with hot rows, most rows first.
  std::vector<std::pair<TableId, int64_t>> Largest(size_t count_max) const;

 private:
  struct Entry {
    int64_t row_count = 0;
    int64_t hot_since_us = 0;       // steady time at which the first of them came
    int64_t paused_until_us = 0;    // after a failure
    int64_t deadline_us = 0;        // the one in deadlines_; 0: none
    bool touched = false;           // is in touched_
    uint64_t policy_version = 0;    // of the catalog, when the policy was looked up
    uint32_t row_limit = 0;         // 0: none
    uint32_t interval_seconds = 0;  // 0: none
  };

  void Add(TableId table, int64_t row_count, int64_t now_us);
  void Touch(TableId table, Entry* entry);
  bool IsDue(TableId table, Entry* entry, int64_t now_us);
  void SetDeadline(TableId table, Entry* entry, int64_t deadline_us);
  void Forget(TableId table);
  bool LookUpPolicy(TableId table, Entry* entry) const;
  Status Count(TableId table, storage::Iterator& iterator);
  Result<int64_t> RowsOf(TableId table, storage::Iterator& iterator) const;

  storage::Store& store_;
  const catalog::Catalog& catalog_;
  const Clock& clock_;
  const FlushDefaults defaults_;
  mutable std::mutex mutex_;  // guards the rest
  std::unordered_map<uint32_t, Entry> entries_;
  std::vector<TableId> touched_;
  std::set<std::pair<int64_t, uint32_t>> deadlines_;  // steady time, table
};

}  // namespace kalam::tiering
