// Writing one segment: rows of a feed into a Parquet file, the file into its storage, and its
// records into the change that will be committed.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "analytics/engine.h"
#include "catalog/schema.h"
#include "objects/object_storage.h"
#include "segments/segment_builder.h"
#include "tiering/row_feed.h"
#include "tiering/tiering.h"

namespace kalam::tiering {

struct SegmentTarget {
  catalog::TablePtr table;
  segments::SegmentPlace place;
  std::string storage_id;
  std::string folder;
  objects::ObjectStorage* storage = nullptr;
  std::string local_path;  // of the file while it is written
  int64_t row_count_max = segments::kSegmentRowsMax;
  int64_t byte_count_max = 256 << 20;  // of the rows as they were stored
  int64_t engine_bytes = 16 << 20;     // what the writer of the file may hold
  MemoryAccount* memory = nullptr;     // charged with what is held meanwhile; may be null
  std::function<bool()> cancelled;     // polled; may be empty
  /// Commits what SegmentChange::Prepare gives, before the file is put. Empty: all of a segment's
  /// index goes with the change.
  std::function<Status(catalog::RecordWrites)> prepare;
  FailPoint fail_point;
  std::string job;  // begins the names of fail points: "flush", "compact"
};

/// Walks a feed with some rows of look-ahead, so that a segment can end before the row that does
/// not belong to it, and so that the width of rows is known before the first is written. Holds
/// copies of the first rows alone.
class FeedCursor {
 public:
  /// `memory`: charged with the copies; may be null.
  explicit FeedCursor(RowFeed& feed, MemoryAccount* memory = nullptr);
  /// To be called once, before anything else.
  Status Start();
  bool at_end() const { return at_end_; }
  const RowFeed& row() const { return ahead_.empty() ? feed_ : *ahead_.front(); }
  Status Move();
  /// As RowFeed::Renew.
  Status Renew(const storage::SnapshotPtr& snapshot);

  /// Bytes of the rows that were met so far, those ahead among them: keys and what is stored.
  int64_t row_bytes() const { return row_bytes_; }
  /// Their average; 0 when there are none.
  int64_t row_bytes_average() const { return row_count_ == 0 ? 0 : row_bytes_ / row_count_; }

 private:
  /// Takes the next row of the feed into account.
  Status Advance();

  RowFeed& feed_;
  std::deque<std::unique_ptr<RowFeed>> ahead_;  // copies of rows; the current one first
  MemoryCharge ahead_charge_;
  bool feed_at_end_ = false;  // the feed stands behind its last row
  bool at_end_ = false;
  int64_t row_count_ = 0;
  int64_t row_bytes_ = 0;
};

/// Writes the next rows of the feed, at most `row_count_max` and those of the place's scope only,
/// puts the file into the storage and adds the segment to `change` (marked as evicting if
/// `evicting`; prepared if the target says how). The cursor must be on a row that belongs to the
/// place; it is left behind the last row written. Nothing is left in `local_path`. Errors: those of
/// Engine::WriteParquet and of the storage; then a file without a record may lie in the storage,
/// which the next one of the place replaces.
Status WriteSegment(analytics::Engine& engine, const SegmentTarget& target, FeedCursor& cursor,
                    bool evicting, int64_t now_us, segments::SegmentChange* change);

}  // namespace kalam::tiering
