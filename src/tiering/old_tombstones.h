// Which tables have so many old tombstones in their segments that a compaction is worth its work.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "segments/segment_record.h"
#include "storage/store.h"

namespace kalam::tiering {

/// The newest tombstone of a table that may go: the one that its retention allows.
using DroppableTombstones = std::function<Result<Seq>(const catalog::TableDefinition&)>;

/// Whether an eighth of the rows are tombstones of segments in which all are at or below
/// `droppable`. Most hide a row: then a quarter of what is read is dead.
bool HasManyOldTombstones(const std::vector<segments::SegmentRecord>& segments, Seq droppable);

/// Remembers the tables whose segments may hold many tombstones; those that hold few are forgotten
/// until their segments change. Thread-safety: all methods may be called from any thread.
class OldTombstones {
 public:
  /// Both must outlive it.
  OldTombstones(storage::Store& store, const catalog::Catalog& catalog)
      : store_(store), catalog_(catalog) {}

  /// The segments of the table have changed.
  void Note(TableId table);
  /// As Tiering::TakeWithOldTombstones. The first call looks at all tables with segments.
  Result<std::vector<TableId>> TakeDue(const DroppableTombstones& up_to);

 private:
  enum class Verdict : uint8_t { kFew, kYoung, kDue };
  Result<Verdict> Look(TableId table, const DroppableTombstones& up_to) const;

  storage::Store& store_;
  const catalog::Catalog& catalog_;
  std::mutex mutex_;  // guards the rest
  bool listed_ = false;
  std::set<uint32_t> watched_;
};

}  // namespace kalam::tiering
