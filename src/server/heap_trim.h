// When the free pages of a busy heap go back to the system.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace kalam::server {

/// Write buffers and messages come and go between what stays, so that a heap under steady load
/// keeps growing into fresh pages while old ones lie free: by half as much again in minutes.
/// Single-threaded.
class HeapTrim {
 public:
  /// So much more than at the best of times is looked into.
  static constexpr int64_t kGrowthBytes = 4 << 20;

  /// Asked now and then with the anonymous memory of the process; `free_bytes`, what the allocator
  /// holds free, is asked for only after a growth. A growth that is in use is not looked at again.
  bool IsDue(int64_t anonymous_bytes, const std::function<int64_t()>& free_bytes) {
    settled_bytes_ = std::min(settled_bytes_, anonymous_bytes);
    if (anonymous_bytes - settled_bytes_ < kGrowthBytes) return false;
    settled_bytes_ = anonymous_bytes;
    return free_bytes() >= kGrowthBytes;
  }

 private:
  int64_t settled_bytes_ = INT64_MAX;
};

}  // namespace kalam::server
