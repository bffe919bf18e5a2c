// How many rows of each table are hot, kept up to date by the commits themselves, and which tables
// are due for a flush, or which of their users.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/memory_account.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "replication/command.h"
#include "storage/store.h"
#include "tiering/scope_counts.h"

namespace kalam::tiering {

/// What tables do that name no FLUSH_POLICY. Zero means never.
struct FlushDefaults {
  uint32_t row_limit = 100'000;
  uint32_t interval_seconds = 0;
  /// Of USER tables, whose row limits are those of one user: hot rows at which all of the table is
  /// due. A row limit that is not below it is that of the table.
  uint32_t table_row_limit = 100'000;
};

/// Something to flush.
struct DueFlush {
  TableId table;
  std::vector<storage::Scope> scopes;  // users that are due; empty: all of the table
  bool operator==(const DueFlush&) const = default;
};

/// A table has as many hot rows as keys in kRows, tombstones among them. Counts are kept in memory
/// alone: commits add to them, flushes take away, and the first look after a start counts what is
/// there. They are never too low, but for tables so large that they are estimated at the start, and
/// what is said to be due by users, or by a USER table's bound, has been counted in the store.
/// Memory: nothing by user but what ScopeCounts holds, and the users that wait for the next look.
/// Thread-safety: all methods may be called from any thread; OnCommitted never blocks on anything
/// but a short lock, and allocates only for tables it did not know and for users that may be due.
class HotRowCounts {
 public:
  /// `store`, `catalog` and `clock` must outlive it. `account` may be null.
  HotRowCounts(storage::Store& store, const catalog::Catalog& catalog, const Clock& clock,
               const FlushDefaults& defaults, MemoryAccount* account = nullptr);
  ~HotRowCounts();

  /// Finds what the store holds already; once, before the first TakeDue. Costs a seek a table that
  /// has hot rows, whatever else there is. Intervals go on from the oldest change that it meets.
  /// Rows committed while it runs may be left out. Errors: StorageIo, Corruption.
  Status Load();
  /// The same for one table, whose rows came into the store without commits.
  Status CountAnew(TableId table);
  /// To be registered as an observer of the group.
  void OnCommitted(const replication::CommittedBatch& batch);

  /// What is to be flushed now by the policies. Named once until it is flushed, has failed or is
  /// written again. Tables for which `is_busy` holds (may be empty) are put off to the next call.
  /// Looks at nothing but tables that were written since the last call and intervals that have
  /// passed; of those whose users have a row limit it counts rows in the store: of users who may be
  /// due, and of all users (at most about the table's bound) after a start, after a failure, at the
  /// table's bound, and when more users may be due than are remembered.
  std::vector<DueFlush> TakeDue(const std::function<bool(TableId)>& is_busy = {});

  /// A flush of `scopes` (empty: of all) begins, which takes the hot rows with a `_seq` up to
  /// `up_to`. To be called when these are published. One flush of a table at a time.
  void FlushBegins(TableId table, const std::vector<storage::Scope>& scopes, Seq up_to);
  /// It has moved so many rows; nullopt: it failed, and some may have been moved.
  void FlushEnded(TableId table, std::optional<int64_t> row_count);
  /// A flush that was due failed for good, or was not even begun: due again after a pause.
  void FlushFailed(TableId table);

  int64_t row_count(TableId table) const;
  /// Tables with hot rows, most rows first.
  std::vector<std::pair<TableId, int64_t>> Largest(size_t count_max) const;

 private:
  struct FlushUnderWay;
  struct Policy {
    int64_t row_limit = 0;          // of the table; 0: none
    uint32_t scope_row_limit = 0;   // of each scope, below that of the table; 0: none
    uint32_t interval_seconds = 0;  // 0: none
  };
  struct Entry {
    int64_t row_count = 0;
    int64_t hot_since_us = 0;          // steady time at which the first of them came
    int64_t paused_until_us = 0;       // after a failure
    int64_t deadline_us = 0;           // the one in deadlines_; 0: none
    bool touched = false;              // is in touched_
    bool wants_walk = false;           // nobody knows which scopes have reached their limit
    uint32_t scope_row_limit = 0;      // scopes_ follows the table; 0: it does not
    std::vector<storage::Scope> told;  // scopes that may have reached it
    std::unique_ptr<FlushUnderWay> flush;
  };
  /// What a look at a table finds out before it asks the store.
  struct Questions {
    bool is_due = false;  // all of the table, without a question
    bool walks = false;   // all scopes are to be counted, else those in `scopes`
    std::vector<std::pair<storage::Scope, uint32_t>> scopes;  // and what is counted of each
    int64_t row_count = 0;                                    // counted of the table
    Policy policy;
  };

  struct Run;
  Entry* Find(TableId table);
  bool Counts(const replication::CommittedChange& change, Entry* entry);
  void EndRun(const Run& run, int64_t now_us);
  void AddToScope(TableId table, const storage::Scope& scope, uint32_t row_count, Entry* entry);
  void Add(TableId table, Entry* entry, int64_t row_count, int64_t now_us);
  void Touch(TableId table, Entry* entry);
  void Forget(TableId table);
  void Follow(TableId table, uint32_t scope_row_limit, Entry* entry);
  void Remember(const storage::Scope& scope, Entry* entry);
  std::vector<storage::Scope> TakeTold(Entry* entry);
  void SetDeadline(TableId table, Entry* entry, int64_t deadline_us);
  std::vector<TableId> TakeTouched();
  void PutOff(TableId table);
  std::optional<Policy> PolicyOf(TableId table) const;
  std::optional<Questions> LookAt(TableId table, int64_t now_us);
  Result<std::vector<storage::Scope>> AnswerByWalk(TableId table, const Questions& questions,
                                                   bool* is_due);
  Result<std::vector<storage::Scope>> AnswerByCounts(TableId table, const Questions& questions);
  Status Count(TableId table, storage::Iterator& iterator);

  storage::Store& store_;
  const catalog::Catalog& catalog_;
  const Clock& clock_;
  const FlushDefaults defaults_;
  mutable std::mutex mutex_;  // guards the rest
  std::unordered_map<uint32_t, Entry> entries_;
  std::vector<TableId> touched_;
  std::set<std::pair<int64_t, uint32_t>> deadlines_;  // steady time, table
  ScopeCounts scopes_;
  MemoryCharge told_charge_;  // of `told` in all entries
  size_t told_bytes_ = 0;
};

}  // namespace kalam::tiering
