// Compaction: merging segments of one place by key.
#pragma once

#include <string>
#include <vector>

#include "tiering/flush.h"

namespace kalam::tiering {

struct CompactionChoice {
  CompactionScope scope = CompactionScope::kAll;
  size_t small_segments_max = 8;
};

/// Groups of segments of one place, each to be merged into new ones. `segments` in any order.
/// `droppable`: the newest tombstone that may go.
std::vector<std::vector<segments::SegmentRecord>> ChooseMerges(
    std::vector<segments::SegmentRecord> segments, const CompactionChoice& choice, Seq droppable);
/// The same for all places of a table. `segments` as ListSegments gives them.
std::vector<std::vector<segments::SegmentRecord>> ChooseMergesOfTable(
    const std::vector<segments::SegmentRecord>& segments, const CompactionChoice& choice,
    Seq droppable);

/// Whether the automatic choice would find something in the table. Errors: StorageIo, Corruption.
Result<bool> WantsCompaction(storage::Store& store, TableId table, size_t small_segments_max);

/// Merges what `choice` names; one commit a group. Tombstones at or below `tombstones_up_to` go
/// where no segment outside of the group may hold an older version of their key.
Result<CompactionOutcome> CompactTable(const TieringServices& services, const WorkedTable& worked,
                                       const CompactionChoice& choice, Seq tombstones_up_to);

}  // namespace kalam::tiering
