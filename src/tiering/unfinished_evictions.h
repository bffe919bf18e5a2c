// Which tables have segments whose hot copies are not all forgotten, or parts of segments that
// never came to be, and nobody at work on that.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "storage/store.h"

namespace kalam::tiering {

/// A flush that failed, was cancelled or met rows that changed all the time leaves its mark on
/// segments (SegmentRecord::evicting, PreparedSegment), also beyond the end of the process.
/// Remembers the tables that may have such segments; looks at no others. Thread-safety: all methods
/// may be called from any thread.
class UnfinishedEvictions {
 public:
  /// `store` must outlive it.
  explicit UnfinishedEvictions(storage::Store& store) : store_(store) {}

  /// Work on the table has ended, whatever became of it.
  void Note(TableId table);
  /// The tables with such segments; each is named once until it is noted again. The first call
  /// looks at all tables with segments. Errors: StorageIo, Corruption.
  Result<std::vector<TableId>> Take();

 private:
  storage::Store& store_;
  std::mutex mutex_;  // guards the rest
  bool listed_ = false;
  std::set<uint32_t> suspected_;
};

}  // namespace kalam::tiering
