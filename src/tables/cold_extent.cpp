// See cold_extent.h.
#include "tables/cold_extent.h"

#include <algorithm>

#include "segments/segment_record.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using segments::RowGroup;
using segments::SegmentRecord;

Result<std::vector<SegmentRecord>> SegmentsOf(const TableReader& reader, const ReadScope& scope) {
  if (!reader.MayHaveColdRows(*scope.table)) return std::vector<SegmentRecord>();
  return segments::ListSegmentsOfScope(reader.store(), scope.table->id, scope.scope,
                                       scope.view.snapshot);
}

using Runs = std::vector<std::pair<std::string, int64_t>>;  // first primary key, rows

/// Adds the row groups of a segment of many scopes that lie within this one as a whole.
void AddGroups(const std::vector<RowGroup>& groups, const std::string& prefix, ColdExtent* extent,
               Runs* runs) {
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!groups[i].first_key.starts_with(prefix)) continue;
    // Where the next group begins elsewhere, this one may reach there too.
    const bool is_whole = i + 1 < groups.size() && groups[i + 1].first_key.starts_with(prefix);
    if (!is_whole) continue;
    extent->row_count += groups[i].row_count;
    runs->emplace_back(groups[i].first_key.substr(prefix.size()), groups[i].row_count);
  }
}

/// A run of rows by its bounds, both inside.
struct Bounds {
  std::string_view min_key, max_key;
  Seq min_seq, max_seq;
};

/// Whether a read of the scope with this prefix may find something within the bounds.
bool MayHold(const Bounds& bounds, const std::string& prefix, const ScanOptions& read) {
  if (bounds.max_key < prefix + read.key_lower) return false;
  const std::string end = read.key_upper.empty() ? PrefixEnd(prefix) : prefix + read.key_upper;
  if (!end.empty() && bounds.min_key >= end) return false;
  return bounds.max_seq > read.seq_after &&
         (read.seq_up_to.value == 0 || bounds.min_seq <= read.seq_up_to);
}

std::vector<std::string> CutsOf(Runs runs, int64_t rows_per_cut) {
  std::sort(runs.begin(), runs.end());
  std::vector<std::string> cuts;
  int64_t gathered = 0;
  for (auto& [first_pk, row_count] : runs) {
    if (gathered >= rows_per_cut) {
      gathered = 0;
      if (cuts.empty() || cuts.back() < first_pk) cuts.push_back(std::move(first_pk));
    }
    gathered += row_count;
  }
  return cuts;
}

}  // namespace

Result<ColdExtent> MeasureCold(const TableReader& reader, const ReadScope& scope,
                               int64_t rows_per_cut) {
  ColdExtent extent;
  KALAM_ASSIGN_OR_RETURN(const std::vector<SegmentRecord> records, SegmentsOf(reader, scope));
  const std::string prefix = segments::SegmentKeyPrefix(scope.scope);
  Runs runs;
  for (const SegmentRecord& record : records) {
    ++extent.segment_count;
    if (record.place.many) ++extent.shared_segment_count;
    if (!record.place.many) extent.row_count += record.row_count - record.tombstone_count;
    if (!record.place.many && rows_per_cut == 0) continue;
    KALAM_ASSIGN_OR_RETURN(const std::vector<RowGroup> groups,
                           segments::ReadRowGroups(reader.store(), record, scope.view.snapshot));
    if (record.place.many) {
      AddGroups(groups, prefix, &extent, &runs);
      continue;
    }
    for (const RowGroup& group : groups) {
      runs.emplace_back(group.first_key.substr(std::min(prefix.size(), group.first_key.size())),
                        group.row_count);
    }
  }
  if (rows_per_cut > 0) extent.cuts = CutsOf(std::move(runs), rows_per_cut);
  return extent;
}

Result<int64_t> CountOwnColdRows(const TableReader& reader, const ReadScope& scope) {
  int64_t row_count = 0;
  if (!reader.MayHaveColdRows(*scope.table)) return row_count;
  KALAM_ASSIGN_OR_RETURN(
      const std::vector<SegmentRecord> records,
      segments::ListSegments(reader.store(), scope.table->id,
                             segments::SegmentPlace::OfScope(scope.scope), scope.view.snapshot));
  for (const SegmentRecord& record : records)
    row_count += record.row_count - record.tombstone_count;
  return row_count;
}

std::string ColdPruning::ToString() const {
  return "considered=" + std::to_string(considered_count) +
         ", pruned=" + std::to_string(segment_count - considered_count) +
         "; row groups: considered=" + std::to_string(considered_row_group_count) +
         ", pruned=" + std::to_string(row_group_count - considered_row_group_count);
}

Result<ColdPruning> PruneCold(const TableReader& reader, const ReadScope& scope,
                              std::span<const ScanOptions> reads,
                              const MayHoldRows& may_hold_rows) {
  KALAM_ASSIGN_OR_RETURN(const std::vector<SegmentRecord> records, SegmentsOf(reader, scope));
  ColdPruning pruning;
  const std::string prefix = segments::SegmentKeyPrefix(scope.scope);
  const auto is_read = [&](const Bounds& bounds) {
    return std::any_of(reads.begin(), reads.end(),
                       [&](const ScanOptions& read) { return MayHold(bounds, prefix, read); });
  };
  for (const SegmentRecord& record : records) {
    KALAM_ASSIGN_OR_RETURN(const std::vector<RowGroup> groups,
                           segments::ReadRowGroups(reader.store(), record, scope.view.snapshot));
    ++pruning.segment_count;
    pruning.row_group_count += static_cast<int64_t>(groups.size());
    if (!is_read({record.min_key, record.max_key, record.min_seq, record.max_seq})) continue;
    ++pruning.considered_count;
    for (size_t i = 0; i < groups.size(); ++i) {
      // A group ends before the next one begins; the next one's first key is near enough.
      const std::string& end = i + 1 < groups.size() ? groups[i + 1].first_key : record.max_key;
      if (!is_read({groups[i].first_key, end, groups[i].min_seq, groups[i].max_seq})) continue;
      if (may_hold_rows) {
        KALAM_ASSIGN_OR_RETURN(const bool may_hold, may_hold_rows(record, i));
        if (!may_hold) continue;
      }
      ++pruning.considered_row_group_count;
    }
  }
  return pruning;
}

}  // namespace kalam::tables
