// Which users have many hot rows in a table, told by the stream of commits in memory that does not
// grow with their number.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/memory_account.h"
#include "storage/key_layout.h"

namespace kalam::tiering {

/// Counters of those scopes that have most hot rows, over all tables that are followed:
/// Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k
/// Elements in Data Streams", 2005), in sets of sixteen counters. A scope without a counter takes
/// the smallest of its set and begins above what a scope of its table can have without one. Hence
/// no count is too low; it may be too high, which whoever counts in the store sets right with
/// Lower. Memory: 64 KiB while a table is followed, charged to the account, and a few bytes a
/// table. Not thread-safe. Add allocates nothing.
class ScopeCounts {
 public:
  /// `account` may be null.
  explicit ScopeCounts(MemoryAccount* account);

  /// Counts the scopes of a table from now on: none has more than `uncounted_max` rows yet. What
  /// was known of the table is forgotten.
  void Follow(TableId table, uint32_t uncounted_max);
  void Forget(TableId table);

  /// Adds rows of a scope of a followed table. True when its count has reached `limit`, which is
  /// told once until Count, Reset, or until the scope loses its counter.
  bool Add(TableId table, const storage::Scope& scope, uint32_t row_count, uint32_t limit);
  /// The most rows that the scope can have. The next Add beyond a limit tells it again.
  uint32_t Count(TableId table, const storage::Scope& scope);
  /// Takes off what a count in the store has shown to be too much. Nothing happens when the scope
  /// has lost its counter meanwhile.
  void Lower(TableId table, const storage::Scope& scope, uint32_t by);
  /// From now on none of the scope's rows is hot.
  void Reset(TableId table, const storage::Scope& scope);

  /// All scopes of the table are being looked at in the store; what is told meanwhile counts.
  void BeginWalk(TableId table);
  /// None had more than `row_count_max` rows. All that reach a limit are told again.
  void EndWalk(TableId table, uint32_t row_count_max);

 private:
  struct Counter {
    uint64_t key = 0;  // 0: free
    uint32_t table = 0;
    uint32_t count : 31 = 0;
    uint32_t is_told : 1 = 0;
  };
  /// What a scope without a counter may have.
  struct Uncounted {
    uint32_t row_count_max = 0;
    uint32_t since_walk_max = 0;  // of those that lost their counters since BeginWalk
  };

  Counter* Find(TableId table, const storage::Scope& scope);
  void Take(const Counter& counter);

  MemoryAccount* const account_;
  std::vector<Counter> counters_;  // sets, one behind the other; empty while no table is followed
  std::unordered_map<uint32_t, Uncounted> uncounted_;  // of followed tables
  MemoryCharge charge_;
};

}  // namespace kalam::tiering
