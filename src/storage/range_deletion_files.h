// Which table files hold deletions of ranges: what they hide is not safe from every reader.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/store.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class EventListener;
}  // namespace rocksdb

namespace kalam::storage {

/// Follows the table files of the families whose ranges are deleted while their tables live. When
/// an iterator of RocksDB before 8.5.2 meets a key that a range hides, it seeks on in the older
/// files and forgets that a newer one could not be read: the rows of that file are missing without
/// an error (facebook/rocksdb pull request 11786). For readers of memory only this is not a broken
/// disk but every block that is not cached, so they must not walk over such files.
/// Thread-safety: any thread.
class RangeDeletionFiles : public std::enable_shared_from_this<RangeDeletionFiles> {
 public:
  /// To be told of by the database, from its opening on.
  std::shared_ptr<rocksdb::EventListener> MakeListener();
  /// Looks at the files that are there already. Errors: StorageIo, Corruption.
  Status Load(rocksdb::DB& database, const std::vector<rocksdb::ColumnFamilyHandle*>& families);
  /// Whether files of a family may hold such deletions. An iterator that was made before the
  /// question was asked reads no others.
  bool HasAny(Family family) const {
    return counts_[static_cast<size_t>(family)].load(std::memory_order_acquire) > 0;
  }

  void Add(std::string_view family_name, const std::string& path);
  void Remove(const std::string& path);

 private:
  std::mutex mutex_;
  std::map<std::string, Family> files_;  // by name within the directory; guarded by mutex_
  std::array<std::atomic<int>, kFamilyCount> counts_{};
};

}  // namespace kalam::storage
