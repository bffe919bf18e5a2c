// The segments that one read of a table may need, and finding one key in them.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "segments/cold_rows.h"
#include "segments/segment_file.h"

namespace kalam::segments {

using SegmentList = std::shared_ptr<const std::vector<SegmentRecord>>;

/// What a snapshot has for one scope: its own segments, and all of many scopes.
struct ScopeSegments {
  uint64_t version = 0;  // 0: no segment ever
  SegmentList own, many;

  /// Calls `visit(record)` for each whose keys reach into `lower` (inside) to `upper` (not inside;
  /// empty: no bound).
  template <typename Visit>
  void ForEachIn(std::string_view lower, std::string_view upper, Visit visit) const {
    for (const SegmentList& list : {own, many}) {
      if (list == nullptr) continue;
      for (const SegmentRecord& record : *list) {
        if (record.max_key >= lower && (upper.empty() || record.min_key < upper)) visit(record);
      }
    }
  }
};

/// Reads the lists of a scope on a snapshot, through the cache. Errors: StorageIo, Corruption.
Result<ScopeSegments> FindScopeSegments(storage::Store& store, SegmentCache& cache, TableId table,
                                        const storage::Scope& scope,
                                        const storage::SnapshotPtr& snapshot);

/// Whether there is a version of `segment_key` with a `_seq` above `above`. Asks ranges, Bloom
/// filters and first keys of row groups before it reads anything of a file, and keeps what it
/// reads: for many keys, one after another.
Result<bool> HasNewer(SegmentReader& reader, const catalog::TablePtr& table,
                      const ScopeSegments& segments, std::string_view segment_key, Seq above,
                      const storage::SnapshotPtr& snapshot);

/// Finds the newest version of one row, tombstones included; nullopt when no segment has the key.
/// Asks as HasNewer. For a snapshot that reads memory only it takes of open files what the system
/// has in memory (NotInMemory otherwise).
Result<std::optional<RowCells>> FindNewest(SegmentReader& reader, const catalog::TablePtr& table,
                                           const ScopeSegments& segments,
                                           std::string_view segment_key, const CellChoice& choice,
                                           const storage::SnapshotPtr& snapshot);

}  // namespace kalam::segments
