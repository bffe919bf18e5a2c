// Where deletions of ranges lie, in files and in memory: iterators of RocksDB are not given them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/key_spans.h"
#include "storage/store.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class EventListener;
class TablePropertiesCollectorFactory;
class WalFilter;
struct TableProperties;
}  // namespace rocksdb

namespace kalam::storage {

/// Stretches of keys in which a write deletes ranges, by family.
using DeletedRanges = std::map<Family, KeySpans>;

/// Follows the table files and memtables that hold deletions of ranges. An iterator of RocksDB
/// before 8.5.2 that is given such deletions forgets that a file could not be read: whenever it
/// comes to the next file of a level, and when it meets a key that a range hides and seeks on in
/// older files (facebook/rocksdb pull request 11786). The rows of that file are missing without an
/// error, be it damaged or, for readers of memory only, not cached. So no iterator is given any.
/// One whose bounds share no key with a deleted range needs none; another asks by key, as point
/// reads do, which are not affected (readers_internal.h). Thread-safety: any thread.
class RangeDeletions : public std::enable_shared_from_this<RangeDeletions> {
 public:
  /// To be told of by the database, from its opening on.
  std::shared_ptr<rocksdb::EventListener> MakeListener();
  /// Writes into each file where its deletions lie. For every family.
  static std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> MakeCollectorFactory();
  /// Looks at the files that are there already. Errors: StorageIo, Corruption.
  Status Load(rocksdb::DB& database, const std::vector<rocksdb::ColumnFamilyHandle*>& families);
  /// Notes where there are deletions in the logs that an opening of the database reads. Give
  /// it to the database, and what it notes to EndWrite.
  std::unique_ptr<rocksdb::WalFilter> MakeLogReader(DeletedRanges* found);

  /// The stretches in which keys of `range` may be hidden from readers of any snapshot that was
  /// taken before the call. Ask before the iterator is made: nothing that it will meet is gone by
  /// then.
  KeySpans HiddenIn(Family family, const ScanRange& range) const;
  /// The same of files alone, and of those that are part of the database still.
  KeySpans LeftIn(rocksdb::DB& database, Family family, const ScanRange& range) const;
  /// Changes whenever a deletion of ranges is about to be written.
  uint64_t write_count() const { return write_count_.load(std::memory_order_acquire); }

  /// Around every write that deletes ranges; gives EndWrite's `write`, 0 for no ranges.
  uint64_t BeginWrite(const DeletedRanges& ranges);
  /// `sequence`: that of the write's first operation, or a later one.
  void EndWrite(uint64_t write, uint64_t sequence);
  /// What was written to a family up to there is in files now.
  void WrittenOut(Family family, uint64_t sequence);

  /// `bounds`: of the file's keys, for one that does not say where its deletions lie.
  void AddFile(const std::string& family_name, const std::string& path,
               const rocksdb::TableProperties& properties, const ScanRange& bounds = {});
  void RemoveFile(const std::string& path);

  /// Files and memtables of a family that hold some.
  int count(Family family) const {
    return counts_[static_cast<size_t>(family)].load(std::memory_order_acquire);
  }

 private:
  struct InFile {
    Family family;
    KeySpans spans;
  };
  struct InMemtable {
    uint64_t write = 0;
    Family family;
    KeySpans spans;
    uint64_t sequence = 0;  // 0: not written yet
  };
  void DropWritten(Family family);  // mutex held

  mutable std::mutex mutex_;
  std::map<std::string, InFile> files_;  // by name within the directory; guarded by mutex_
  std::vector<InMemtable> memtables_;    // guarded by mutex_
  std::array<uint64_t, kFamilyCount> written_out_{};  // up to where; guarded by mutex_
  std::array<std::atomic<int>, kFamilyCount> counts_{};
  std::atomic<uint64_t> write_count_{0};
};

}  // namespace kalam::storage
