// Forgetting at once what the segments of a scope hold: ranges between the rows that changed since.
#pragma once

#include <vector>

#include "segments/segment_record.h"
#include "tiering/eviction.h"

namespace kalam::tiering {

/// Forgets the hot versions up to `up_to` of all rows of a scope, and clears the segments' marks,
/// in one command that deletes ranges. `segments` are those of one scope that a flush has just
/// written, so that every version up to `up_to` that is still hot is in one of them. Others' writes
/// wait for about as long as two commits take. `before_commit` is called right before. False when
/// too many rows changed since for ranges to be cheap; nothing was forgotten then. Errors: those of
/// a proposal.
Result<bool> ForgetScope(const EvictionServices& services,
                         const std::vector<segments::SegmentRecord>& segments, Seq up_to,
                         const std::function<void()>& before_commit);

}  // namespace kalam::tiering
