// Looking for old tombstones in the records of segments.
#include "tiering/old_tombstones.h"

#include <algorithm>
#include <utility>

#include "tiering/compaction.h"

namespace kalam::tiering {
namespace {

// One tombstone among so many rows makes a compaction worth its work.
constexpr int64_t kRowsOfTombstone = 8;

}  // namespace

bool HasManyOldTombstones(const std::vector<segments::SegmentRecord>& segments, Seq droppable) {
  int64_t rows = 0, old_tombstones = 0;
  for (const segments::SegmentRecord& segment : segments) {
    rows += segment.row_count;
    if (segment.max_seq <= droppable) old_tombstones += segment.tombstone_count;
  }
  return old_tombstones > 0 && old_tombstones >= rows / kRowsOfTombstone;
}

void OldTombstones::Note(TableId table) {
  const std::lock_guard lock(mutex_);
  watched_.insert(table.value);
}

Result<OldTombstones::Verdict> OldTombstones::Look(TableId id,
                                                   const DroppableTombstones& up_to) const {
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, catalog_.FindTable(id));
  if (table == nullptr) return Verdict::kFew;
  KALAM_ASSIGN_OR_RETURN(const auto all, segments::ListSegments(store_, id));
  const auto finds = [&all](Seq droppable) {
    return !ChooseMergesOfTable(all, {.scope = CompactionScope::kOldTombstones}, droppable).empty();
  };
  if (!finds(Seq{INT64_MAX})) return Verdict::kFew;
  KALAM_ASSIGN_OR_RETURN(const Seq droppable, up_to(*table));
  return finds(droppable) ? Verdict::kDue : Verdict::kYoung;
}

Result<std::vector<TableId>> OldTombstones::TakeDue(const DroppableTombstones& up_to) {
  std::set<uint32_t> looked_at;
  {
    const std::lock_guard lock(mutex_);
    if (!listed_) {
      KALAM_ASSIGN_OR_RETURN(const auto tables, segments::ListTablesWithSegments(store_));
      for (const TableId table : tables) watched_.insert(table.value);
      listed_ = true;
    }
    looked_at = watched_;
    watched_.clear();
  }
  std::vector<TableId> due;
  Status status;
  for (const uint32_t id : looked_at) {
    const Result<Verdict> verdict = Look(TableId{id}, up_to);
    if (!verdict.ok()) status = verdict.status();
    if (verdict.ok() && *verdict == Verdict::kDue) due.push_back(TableId{id});
    if (!verdict.ok() || *verdict == Verdict::kYoung) Note(TableId{id});
  }
  // A table that cannot be looked at holds up no other one.
  if (due.empty() && !status.ok()) return status;
  return due;
}

}  // namespace kalam::tiering
