// What the .cpp files of this layer share about RocksDB: its options, its errors as Status, the
// order of its families.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "base/page_heap.h"
#include "base/status.h"
#include "storage/event_counts.h"
#include "storage/range_deletions.h"
#include "storage/store.h"

namespace kalam::storage {

/// The names on disk, by Family.
inline constexpr std::array<std::string_view, kFamilyCount> kFamilyNames = {
    "catalog", "system", "rows", "order", "changes", "topics", "segments", "log"};

/// RocksDB numbers families in the order in which they are made; `default`, which is never used,
/// has 0.
inline uint32_t FamilyNumber(Family family) { return static_cast<uint32_t>(family) + 1; }

/// Maps RocksDB's failures: a full disk becomes ReadOnly, other I/O StorageIo, bad bytes
/// Corruption.
Status ToStatus(const rocksdb::Status& status, std::string_view context);

/// Everything that DB::Open is given, and what must outlive the database.
struct Tuning {
  rocksdb::DBOptions options;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;  // `default`, then by Family
  std::shared_ptr<PageHeap> block_pages;  // what blocks are read into, cached or not
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
  std::unique_ptr<rocksdb::Env> env;
  std::shared_ptr<RangeDeletions> range_deletions;
  EventCounts counts;
};
Tuning MakeTuning(const StoreOptions& options);

}  // namespace kalam::storage
