// What is kept between reads of segments: one bound over decoded columns, footers and lists.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/memory_account.h"
#include "base/metrics.h"

namespace kalam::segments {

/// Immutable objects by key; the one that was not asked for longest goes first. Thread-safety: all
/// methods may be called from any thread.
class SegmentCache {
 public:
  /// `account` and `metrics` may be null.
  SegmentCache(int64_t bytes_max, MemoryAccount* account, Metrics* metrics);
  ~SegmentCache();
  SegmentCache(const SegmentCache&) = delete;
  SegmentCache& operator=(const SegmentCache&) = delete;

  /// Null when there is no such object. The type must be the one that was put: keys of different
  /// types differ.
  template <typename T>
  std::shared_ptr<const T> Find(const std::string& key) {
    return std::static_pointer_cast<const T>(FindAny(key));
  }
  /// Does nothing when the object alone is over the bound.
  void Put(std::string key, std::shared_ptr<const void> object, size_t bytes);
  /// Forgets everything whose key begins with `prefix`.
  void ErasePrefix(std::string_view prefix);
  void Clear();
  int64_t used_bytes() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const void> object;
    int64_t bytes;
  };
  std::shared_ptr<const void> FindAny(const std::string& key);
  void Erase(std::list<Entry>::iterator entry);

  const int64_t bytes_max_;
  Counter* const hits_;
  Counter* const misses_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // guarded by mutex_, as all below; the front was used last
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;  // views into entries_
  int64_t used_bytes_ = 0;
  MemoryCharge charge_;
};

}  // namespace kalam::segments
