// Several segments walked as one, in the order of keys.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "segments/segment_cursor.h"
#include "segments/segment_store.h"

namespace kalam::segments {

/// Opens a walk over `records`, all of one table, whose keys reach into `range`. Segments are
/// opened when the walk comes to their keys.
std::unique_ptr<SegmentMerge> MakeMergeScan(SegmentReader& reader, catalog::TablePtr table,
                                            std::vector<SegmentRecord> records,
                                            SegmentKeyRange range, storage::SnapshotPtr snapshot);

}  // namespace kalam::segments
