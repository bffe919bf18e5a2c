// How the store reads one key and walks over many, so that what cannot be read is never taken for
// what is not there.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "storage/key_spans.h"
#include "storage/store.h"

namespace kalam::storage {

class Snapshot {
 public:
  explicit Snapshot(rocksdb::DB& database) : database_(&database), raw_(database.GetSnapshot()) {}
  /// Shares the view of `base`.
  explicit Snapshot(SnapshotPtr base)
      : database_(base->database_), base_(std::move(base)), raw_(base_->raw_) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    if (base_ == nullptr) database_->ReleaseSnapshot(raw_);
  }
  const rocksdb::Snapshot* raw() const { return raw_; }
  rocksdb::DB& database() const { return *database_; }
  bool only_in_memory() const { return base_ != nullptr; }

 private:
  rocksdb::DB* const database_;
  const SnapshotPtr base_;
  const rocksdb::Snapshot* const raw_;
};

rocksdb::ReadOptions ReadOptionsFor(const SnapshotPtr& snapshot);

/// As DB::Get, but Incomplete for a reader of memory only that a file which is not open could
/// contradict: RocksDB answers with an empty value then.
rocksdb::Status ReadValue(rocksdb::DB& database, const rocksdb::ReadOptions& options,
                          rocksdb::ColumnFamilyHandle* family, std::string_view key,
                          rocksdb::PinnableSlice* value);

/// An iterator over keys of which none is hidden by a deleted range.
std::unique_ptr<Iterator> MakeIterator(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family,
                                       ScanRange range, SnapshotPtr snapshot);
/// One over keys of which those within `hidden` may be: it asks about each of them. For readers of
/// memory only it gives up with NotInMemory when it has to ask about many. Adds the number of keys
/// left out to `hidden_keys`, which must outlive it. `snapshot` must not be null.
std::unique_ptr<Iterator> MakeIteratorBesideHidden(rocksdb::DB& database,
                                                   rocksdb::ColumnFamilyHandle* family,
                                                   ScanRange range, SnapshotPtr snapshot,
                                                   KeySpans hidden,
                                                   std::atomic<uint64_t>* hidden_keys);

}  // namespace kalam::storage
