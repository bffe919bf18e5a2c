// Cold rows in the order of their `_seq`, although segments are sorted by key.
#pragma once

#include <memory>

#include "segments/segment_lookup.h"

namespace kalam::segments {

/// Opens a walk over the newest cold versions of a scope within `range`.
std::unique_ptr<ColdScan> MakeSeqScan(SegmentReader& reader, catalog::TablePtr table,
                                      const storage::Scope& scope, ScopeSegments segments,
                                      const ColdSeqRange& range, storage::SnapshotPtr snapshot);

}  // namespace kalam::segments
