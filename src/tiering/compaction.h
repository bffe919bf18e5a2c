// Compaction: merging segments of one place by key.
#pragma once

#include <string>
#include <vector>

#include "tiering/flush.h"

namespace kalam::tiering {

/// Which segments a compaction merges.
struct CompactionChoice {
  /// All groups of segments whose keys overlap or which are small, as STORAGE COMPACT asks; else
  /// the small ones of places that have `small_segments_max` of them.
  bool all = true;
  size_t small_segments_max = 8;
};

/// Groups of segments of one place, each to be merged into new ones. `segments` in any order.
/// `may_drop`: whether the segment alone is worth writing again, because of its tombstones.
std::vector<std::vector<segments::SegmentRecord>> ChooseMerges(
    std::vector<segments::SegmentRecord> segments, const CompactionChoice& choice, Seq droppable);

/// Whether the automatic choice would find something in the table. Errors: StorageIo, Corruption.
Result<bool> WantsCompaction(storage::Store& store, TableId table, size_t small_segments_max);

/// Merges what `choice` names; one commit a group. Tombstones at or below `tombstones_up_to` go
/// where no segment outside of the group may hold their key.
Result<CompactionOutcome> CompactTable(const TieringServices& services, const WorkedTable& worked,
                                       const CompactionChoice& choice, Seq tombstones_up_to);

}  // namespace kalam::tiering
