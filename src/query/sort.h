// Sorting rows in memory, all of them or only the first N, within the statement's memory.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "query/execution.h"
#include "types/value.h"

namespace kalam::query {

struct SortOrder {
  bool descending = false;
  bool nulls_first = false;
};

/// Collects rows, then gives them in order; equal rows keep the order in which they came. Not
/// thread-safe.
class RowSorter {
 public:
  /// `keep`: only the first so many rows are wanted. `memory` must outlive the sorter.
  RowSorter(std::vector<SortOrder> orders, std::optional<size_t> keep, StatementMemory& memory);
  ~RowSorter();
  /// Copies the row. Errors: MemoryExceeded.
  Status Add(std::span<const Datum> keys, std::span<const Datum> cells);
  /// Ends collecting. Errors: Execution (values that have no order).
  Status Finish();
  size_t row_count() const { return rows_.size(); }
  std::span<const Datum> cells(size_t row) const;

 private:
  /// Keys, then cells, then the bytes that they point at, in one allocation.
  struct Row {
    std::unique_ptr<Datum[]> data;
    std::unique_ptr<char[]> bytes;
    size_t cell_count = 0;
    uint64_t ordinal = 0;
    int64_t byte_size = 0;
  };
  bool ComesBefore(const Row& a, const Row& b);
  int CompareKeys(const Datum* a, const Datum* b);

  const std::vector<SortOrder> orders_;
  const std::optional<size_t> keep_;
  StatementMemory& memory_;
  std::vector<Row> rows_;  // while only N are kept: a heap whose top is the last of them
  uint64_t next_ordinal_ = 0;
  Status error_;
};

}  // namespace kalam::query
