// Counting in the store what is hot: of a table, of one scope, and which scopes have many rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::tiering {

struct HotRows {
  int64_t row_count = 0;
  Seq oldest;  // the oldest change among those that were looked at; 0 when there are no rows
};

/// The rows of a table, tombstones among them: counted while they are few, else estimated from the
/// size of the first. `iterator` is on the first of them, if there is one. Errors: StorageIo,
/// Corruption.
Result<HotRows> EstimateHotRows(const storage::Store& store, TableId table,
                                storage::Iterator& iterator);

/// The rows of a scope, tombstones among them; stops at `count_max`. Errors: StorageIo.
Result<uint32_t> CountHotRows(storage::Store& store, TableId table, const storage::Scope& scope,
                              uint32_t count_max);

struct LargeScopesBounds {
  uint32_t row_count_min = 1;       // of a scope that counts as large
  size_t scopes_max = 1;            // large ones beyond it are taken for others
  size_t user_id_bytes_max = 1;     // of the large ones together, about
  int64_t other_row_count_max = 0;  // the search ends there; 0: no bound
  int64_t looked_at_max = 1 << 20;  // rows; the search ends there
};

struct LargeScopes {
  std::vector<storage::Scope> scopes;
  int64_t other_row_count = 0;  // of those that are not in `scopes`, as far as was looked
  uint32_t other_largest = 0;   // rows of the largest of them, at most `row_count_min`
  bool complete = true;         // all of the table was looked at
};

/// Walks over a table's hot rows, those of large scopes only until they prove large. Errors:
/// StorageIo, Corruption.
Result<LargeScopes> FindLargeScopes(storage::Store& store, TableId table,
                                    const LargeScopesBounds& bounds);

}  // namespace kalam::tiering
