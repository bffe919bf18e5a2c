// Cold rows over the segments that kSegments names, read from object storages with a small cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_account.h"
#include "base/metrics.h"
#include "objects/object_storage.h"
#include "segments/cold_rows.h"
#include "segments/segment_record.h"

namespace kalam::segments {

/// The storage of that id. Called on every read of a file, from any thread.
using StorageLookup =
    std::function<Result<std::shared_ptr<objects::ObjectStorage>>(const std::string& storage_id)>;

struct SegmentStoreOptions {
  /// Bound of what is kept decoded: column chunks, parsed footers, lists of segments.
  int64_t cache_bytes = 2 << 20;
  MemoryAccount* account = nullptr;  // children "cache" and "scans"; may be null
  Metrics* metrics = nullptr;        // may be null
};

/// A walk over all rows of chosen segments, for compaction: in the order of segment keys, the
/// newest version of each key, tombstones included.
class SegmentMerge : public ColdScan {
 public:
  /// Of the current row; valid until Next.
  virtual const storage::Scope& scope() const = 0;
};

/// Thread-safety: all methods may be called from any thread. Scans must end before the store.
class SegmentStore : public ColdRows {
 public:
  /// Makes MayHaveSegments true for the table. Whoever commits a table's first segment calls it
  /// before proposing.
  virtual void NoteTable(TableId table) = 0;

  /// The newest versions in `records`, all of one table; compaction's input.
  virtual Result<std::unique_ptr<SegmentMerge>> OpenMerge(const catalog::TablePtr& table,
                                                          const std::vector<SegmentRecord>& records,
                                                          const storage::SnapshotPtr& snapshot) = 0;

  /// Keeps a segment's file from being deleted (IsPinned) while the handle lives. Scans pin what
  /// they read.
  virtual std::shared_ptr<const void> Pin(const SegmentRecord& record) = 0;
  virtual bool IsPinned(TableId table, uint64_t segment_id) const = 0;

  /// Reads the whole file and compares it with the record. Errors: Corruption (the segment is
  /// fenced from then on), StorageIo.
  virtual Status Verify(const SegmentRecord& record) = 0;
  /// Corruption when the segment was fenced, ok otherwise.
  virtual Status CheckFence(TableId table, uint64_t segment_id) const = 0;

  /// Gives the cache back; called by memory shedding.
  virtual void ReleaseMemory() = 0;
};

/// Reads from `store` which tables have segments. Errors: StorageIo, Corruption.
Result<std::unique_ptr<SegmentStore>> OpenSegmentStore(storage::Store& store,
                                                       StorageLookup storage_of,
                                                       const SegmentStoreOptions& options);

}  // namespace kalam::segments
