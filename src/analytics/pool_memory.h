// What the accounts have granted to the buffer pool of an open engine, which asks before it takes
// more.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "analytics/plugin_interface.h"
#include "base/memory_account.h"

namespace kalam::analytics {

/// Of one instance: charged are the bytes that its pool may hold at the moment, so that the account
/// is never behind the pool. Nothing here is charged without asking. Thread-safety: any thread.
class PoolMemory {
 public:
  /// `account` null: the pool may hold `limit_bytes` from the start.
  PoolMemory(MemoryAccount* account, int64_t limit_bytes);
  PoolMemory(const PoolMemory&) = delete;
  PoolMemory& operator=(const PoolMemory&) = delete;

  /// Before something is computed: keeps half of the limit for it, until End. False, and nothing
  /// has begun, when there is no room for that.
  [[nodiscard]] bool TryBegin();
  /// The same, but within what there is when there is no room.
  void Begin();
  void End(const Instance& instance);
  /// Charges what `instance` holds, or half of the limit while it computes.
  void Settle(const Instance& instance);

  /// For the pool: asks for room for so many bytes in all and returns what it may hold. That is
  /// less when there is no room, never more than the limit. Costs one load when so much was granted
  /// before.
  int64_t Reach(int64_t bytes);

 private:
  bool KeepHalf();
  void SettleLocked(const Instance& instance);
  void Publish();

  const int64_t limit_bytes_;
  const int64_t step_bytes_;
  const bool asks_;
  std::mutex mutex_;
  MemoryCharge charge_;      // guarded by mutex_
  int computing_count_ = 0;  // guarded by mutex_
  std::atomic<int64_t> granted_bytes_;
};

}  // namespace kalam::analytics
