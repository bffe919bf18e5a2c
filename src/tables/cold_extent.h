// How much of a scope lies in segments and where it can be cut, told by the segments' records
// alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tables/table_reader.h"

namespace kalam::segments {
struct SegmentRecord;
}

namespace kalam::tables {

struct ColdExtent {
  int64_t segment_count = 0;
  /// Rows that are there for certain, older versions of a key and what the store hides among them.
  /// What a segment of many scopes may hold of this one beside them is not known without reading
  /// it.
  int64_t row_count = 0;
  /// Segments of many scopes that may hold some more.
  int64_t shared_segment_count = 0;
  /// Encoded primary keys that cut the certain rows into runs of about `rows_per_cut`, ascending.
  std::vector<std::string> cuts;
};
/// `rows_per_cut` 0: no cuts. All zeros when the table has no segments. Errors: StorageIo,
/// Corruption.
Result<ColdExtent> MeasureCold(const TableReader& reader, const ReadScope& scope,
                               int64_t rows_per_cut = 0);

/// Rows in the segments that are this scope's alone, older versions of a key among them. What lies
/// in segments of many scopes is little by design. Cheap enough for every statement that scans.
Result<int64_t> CountOwnColdRows(const TableReader& reader, const ReadScope& scope);

/// How many of a scope's segments, and of their row groups, one of the reads has to look into, by
/// their ranges of keys and `_seq`; Bloom filters leave out more.
struct ColdPruning {
  int64_t segment_count = 0;
  int64_t considered_count = 0;
  int64_t row_group_count = 0;
  int64_t considered_row_group_count = 0;
  /// `considered=1, pruned=2; row groups: considered=1, pruned=40`.
  std::string ToString() const;
};
/// What else leaves row groups out: true when a row group of a segment may hold a row.
using MayHoldRows =
    std::function<Result<bool>(const segments::SegmentRecord& segment, size_t row_group)>;
/// Reads the row groups of all segments: for EXPLAIN. Errors: StorageIo, Corruption, those of
/// `may_hold_rows`, which is asked of row groups within the ranges.
Result<ColdPruning> PruneCold(const TableReader& reader, const ReadScope& scope,
                              std::span<const ScanOptions> reads,
                              const MayHoldRows& may_hold_rows = {});

}  // namespace kalam::tables
