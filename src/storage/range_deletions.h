// Where deletions of ranges lie, in files and in memory: what they hide is not safe from every
// reader.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/store.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class EventListener;
class WalFilter;
}  // namespace rocksdb

namespace kalam::storage {

/// Follows the table files and memtables of the families whose ranges are deleted while their
/// tables live. When an iterator of RocksDB before 8.5.2 meets a key that a range hides, it seeks
/// on in the older files and forgets that a newer one could not be read: the rows of that file are
/// missing without an error (facebook/rocksdb pull request 11786). For readers of memory only this
/// is not a broken disk but every block that is not cached, so they must not walk over such ranges.
/// One in a memtable hides nothing of newer files, but makes iterators pass over them all the same.
/// Thread-safety: any thread.
class RangeDeletions : public std::enable_shared_from_this<RangeDeletions> {
 public:
  /// Bits by Family.
  using Families = uint32_t;
  static Families BitOf(Family family) { return 1U << static_cast<uint32_t>(family); }

  /// To be told of by the database, from its opening on.
  std::shared_ptr<rocksdb::EventListener> MakeListener();
  /// Looks at the files that are there already. Errors: StorageIo, Corruption.
  Status Load(rocksdb::DB& database, const std::vector<rocksdb::ColumnFamilyHandle*>& families);
  /// Notes which families have deletions in the logs that an opening of the database reads. Give
  /// it to the database, and what it notes to EndWrite.
  std::unique_ptr<rocksdb::WalFilter> MakeLogReader(Families* found);

  /// Whether there may be such deletions in a family. To be asked before and after an iterator is
  /// made: files that come later are not its own, and what its memtable held may be gone by then.
  bool HasAny(Family family) const {
    const auto index = static_cast<size_t>(family);
    return in_memtable_[index].load(std::memory_order_acquire) ||
           counts_[index].load(std::memory_order_acquire) > 0;
  }

  /// Around every write that deletes ranges. `last_sequence`: of the database, afterwards.
  void BeginWrite(Families families);
  void EndWrite(Families families, uint64_t last_sequence);
  /// The sequence up to which the memtables of a family may hold such deletions; 0 when they do
  /// not.
  uint64_t in_memtable_up_to(Family family) const;
  /// The memtables of a family were written out up to there.
  void WrittenOut(Family family, uint64_t sequence);

  void Add(std::string_view family_name, const std::string& path);
  void Remove(const std::string& path);

  /// The families whose ranges are deleted while their tables live. Those of tables that are
  /// dropped hide nothing between the bounds of another table's readers.
  static constexpr std::array kFollowed = {Family::kRows, Family::kOrder, Family::kChanges};
  static constexpr bool IsFollowed(Family family) {
    return std::find(kFollowed.begin(), kFollowed.end(), family) != kFollowed.end();
  }
  static std::optional<Family> FollowedFamily(std::string_view name);

 private:
  struct Memtable {
    int writes_under_way = 0;
    uint64_t up_to = 0;
  };
  void RefreshFlag(size_t index);  // mutex held

  mutable std::mutex mutex_;
  std::map<std::string, Family> files_;           // by name within the directory; guarded by mutex_
  std::array<Memtable, kFamilyCount> memtables_;  // guarded by mutex_
  std::array<std::atomic<bool>, kFamilyCount> in_memtable_{};
  std::array<std::atomic<int>, kFamilyCount> counts_{};
};

}  // namespace kalam::storage
