// Looking for the marks of evictions in the records of segments, and for those of segments that
// never came to be.
#include "tiering/unfinished_evictions.h"

#include <algorithm>
#include <utility>

#include "segments/segment_record.h"

namespace kalam::tiering {
namespace {

Result<bool> HasLeftovers(storage::Store& store, TableId table) {
  KALAM_ASSIGN_OR_RETURN(const auto prepared, segments::ListPrepared(store, table));
  if (!prepared.empty()) return true;
  KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(store, table));
  return std::any_of(segments.begin(), segments.end(),
                     [](const segments::SegmentRecord& segment) { return segment.evicting; });
}

}  // namespace

void UnfinishedEvictions::Note(TableId table) {
  const std::lock_guard lock(mutex_);
  suspected_.insert(table.value);
}

Result<std::vector<TableId>> UnfinishedEvictions::Take() {
  std::set<uint32_t> looked_at;
  {
    const std::lock_guard lock(mutex_);
    if (!listed_) {
      KALAM_ASSIGN_OR_RETURN(const auto tables, segments::ListTablesWithSegments(store_));
      for (const TableId table : tables) suspected_.insert(table.value);
      listed_ = true;
    }
    looked_at = std::exchange(suspected_, {});
  }
  std::vector<TableId> unfinished;
  Status status;
  for (const uint32_t id : looked_at) {
    const Result<bool> has_leftovers = HasLeftovers(store_, TableId{id});
    if (!has_leftovers.ok()) {
      status = has_leftovers.status();
      Note(TableId{id});
      continue;
    }
    if (*has_leftovers) unfinished.push_back(TableId{id});
  }
  // A table that cannot be looked at holds up no other one.
  if (unfinished.empty() && !status.ok()) return status;
  return unfinished;
}

}  // namespace kalam::tiering
