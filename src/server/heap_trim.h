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
  /// So much more idle memory than right after the last trim is given back ...
  static constexpr int64_t kIdleBytes = 1 << 20;
  /// ... in a large heap this part of what is in use.
  static constexpr int64_t kInUseDivisor = 32;
  /// Rounds between two looks while the process does not grow.
  static constexpr int kRoundsBetweenLooks = 5;

  /// Asked once a round with the anonymous memory of the process. `in_use_bytes`, what callers of
  /// the allocator hold, costs a walk through its lists: it is asked for only when the process has
  /// grown by kIdleBytes, and every kRoundsBetweenLooks rounds.
  bool IsDue(int64_t anonymous_bytes, const std::function<int64_t()>& in_use_bytes) {
    const bool grown = anonymous_bytes - looked_at_bytes_ >= kIdleBytes;
    looked_at_bytes_ = std::min(looked_at_bytes_, anonymous_bytes);
    if (++rounds_ < kRoundsBetweenLooks && !grown) return false;
    rounds_ = 0;
    looked_at_bytes_ = anonymous_bytes;
    const int64_t in_use = in_use_bytes();
    const int64_t idle = anonymous_bytes - in_use;
    idle_floor_bytes_ = std::min(idle_floor_bytes_, idle);
    return idle - idle_floor_bytes_ >= std::max(kIdleBytes, in_use / kInUseDivisor);
  }
  /// Told right after a trim: what it leaves lies in pages that are partly used, or is not the
  /// allocator's at all. A second later the next burst may have been freed on top of it.
  void NoteTrimmed(int64_t anonymous_bytes, int64_t in_use_bytes) {
    looked_at_bytes_ = anonymous_bytes;
    idle_floor_bytes_ = anonymous_bytes - in_use_bytes;
  }

 private:
  int64_t looked_at_bytes_ = INT64_MAX;
  int64_t idle_floor_bytes_ = INT64_MAX;
  int rounds_ = 0;
};

}  // namespace kalam::server
