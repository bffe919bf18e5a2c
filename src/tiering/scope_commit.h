// The one command that moves a scope: its segments come to be and its hot rows go.
#pragma once

#include <cstdint>
#include <functional>

#include "segments/segment_builder.h"
#include "tiering/eviction.h"

namespace kalam::tiering {

enum class ScopeCommit : uint8_t {
  kByRows,          // done; every row that went was named
  kByRanges,        // done; ranges of rows were deleted
  kTooManyChanges,  // nothing was committed: too much of what the segments hold has changed since
};

/// Commits `change`, whose segments hold every version up to `up_to` that one scope had in the view
/// of the flush that wrote them, and forgets in the same command the hot versions up to `up_to`,
/// with their order entries: whoever reads finds a row hot or cold, never both. Rows that changed
/// since stay, and hide their cold version. Fewer than kForgottenByRangesMin rows are named one by
/// one; of more, the ranges between those that changed are deleted, for which others' writes wait
/// for about as long as two commits take. `before_commit` is called right before each attempt.
/// Errors: those of a proposal; NotFound when the table was dropped.
Result<ScopeCommit> CommitScope(const EvictionServices& services,
                                const segments::SegmentChange& change, Seq up_to,
                                const std::function<void()>& before_commit);

/// Naming fewer rows costs less than what reads pay for a deleted range.
inline constexpr int64_t kForgottenByRangesMin = 1024;
/// Rows that changed since the view, at most; each is another range to delete.
inline constexpr size_t kChangedRowsMax = 1024;

}  // namespace kalam::tiering
