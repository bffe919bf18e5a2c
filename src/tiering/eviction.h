// Removing the hot copies of rows that a segment holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "replication/group.h"
#include "segments/segment_record.h"
#include "segments/segment_store.h"
#include "storage/store.h"
#include "tiering/row_feed.h"

namespace kalam::tiering {

struct EvictionServices {
  storage::Store& store;
  catalog::Catalog& catalog;
  replication::ReplicationGroup& group;
  /// Grows whenever somebody else's changes are committed: the eviction makes way for them.
  const std::atomic<uint64_t>& writes;
};

struct EvictionOutcome {
  int64_t row_count = 0;
  /// False when rows that were written all the time kept their hot copies; a later pass over the
  /// same segment removes them.
  bool complete = true;
};

/// Whose rows a segment of many scopes holds, as far as its flush knows.
struct EvictedScopes {
  const ScopeSet& listed;    // no others; empty: those of all
  const ScopeSet& left_out;  // but not of these
};

/// Forgets, in small commands, the hot versions with keys from `segment.min_key` to its `max_key`
/// whose `_seq` is at most `up_to`, of those scopes. To be used by the flush that wrote the
/// segment: everything in that range that its view showed and that has not changed since is in the
/// segment. A version that changes meanwhile stays. Errors: those of a proposal; Cancelled.
Result<EvictionOutcome> EvictWritten(const EvictionServices& services,
                                     const segments::SegmentRecord& segment, Seq up_to,
                                     const EvictedScopes& scopes,
                                     const std::function<bool()>& cancelled);

/// The same for a segment of which nothing but its record is known, after a crash: reads the
/// segment and forgets the hot versions that it holds.
Result<EvictionOutcome> EvictHeld(const EvictionServices& services,
                                  segments::SegmentStore& segments, const catalog::TablePtr& table,
                                  const segments::SegmentRecord& segment,
                                  const std::function<bool()>& cancelled);

}  // namespace kalam::tiering
