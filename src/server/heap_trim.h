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
  static constexpr int64_t kIdleBytes = 2 << 20;
  /// ... in a large heap this part of what is in use.
  static constexpr int64_t kInUseDivisor = 16;
  /// Rounds between two looks while the process does not grow.
  static constexpr int kRoundsBetweenLooks = 5;

  /// Asked once a round with the anonymous memory of the process. `in_use_bytes`, what callers of
  /// the allocator hold, costs a walk through its lists: it is asked for only when the process has
  /// grown by kIdleBytes, after a trim, and every kRoundsBetweenLooks rounds.
  bool IsDue(int64_t anonymous_bytes, const std::function<int64_t()>& in_use_bytes) {
    const bool grown = anonymous_bytes - looked_at_bytes_ >= kIdleBytes;
    looked_at_bytes_ = std::min(looked_at_bytes_, anonymous_bytes);
    if (++rounds_ < kRoundsBetweenLooks && !grown && !trimmed_) return false;
    rounds_ = 0;
    looked_at_bytes_ = anonymous_bytes;
    const int64_t in_use = in_use_bytes();
    const int64_t idle = anonymous_bytes - in_use;
    // What a trim leaves lies in pages that are partly used, or is not the allocator's at all.
    idle_floor_bytes_ = trimmed_ ? idle : std::min(idle_floor_bytes_, idle);
    trimmed_ = idle - idle_floor_bytes_ >= std::max(kIdleBytes, in_use / kInUseDivisor);
    return trimmed_;
  }

 private:
  int64_t looked_at_bytes_ = INT64_MAX;
  int64_t idle_floor_bytes_ = INT64_MAX;
  int rounds_ = 0;
  bool trimmed_ = false;
};

}  // namespace kalam::server
