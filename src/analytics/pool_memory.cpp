// Asks in steps, so that a statement asks a few times and not for each of its buffers.
#include "analytics/pool_memory.h"

#include <algorithm>

#include "base/optional_charge.h"

namespace kalam::analytics {
namespace {

constexpr int64_t kStepsOfLimit = 32;

}  // namespace

PoolMemory::PoolMemory(MemoryAccount* account, int64_t limit_bytes)
    : limit_bytes_(limit_bytes),
      step_bytes_(std::max(MemoryAccount::kLargeBytes, limit_bytes / kStepsOfLimit)),
      asks_(account != nullptr),
      charge_(ChargeIfAny(account)),
      granted_bytes_(asks_ ? 0 : limit_bytes) {}

bool PoolMemory::TryBegin() {
  const std::lock_guard lock(mutex_);
  if (!KeepHalf()) return false;
  ++computing_count_;
  return true;
}

void PoolMemory::Begin() {
  const std::lock_guard lock(mutex_);
  KeepHalf();
  ++computing_count_;
}

void PoolMemory::End(const Instance& instance) {
  const std::lock_guard lock(mutex_);
  --computing_count_;
  SettleLocked(instance);
}

void PoolMemory::Settle(const Instance& instance) {
  const std::lock_guard lock(mutex_);
  SettleLocked(instance);
}

int64_t PoolMemory::Reach(int64_t bytes) {
  const int64_t granted = granted_bytes_.load(std::memory_order_acquire);
  if (bytes <= granted || granted == limit_bytes_) return granted;
  const std::lock_guard lock(mutex_);
  const int64_t least = std::min(bytes, limit_bytes_);
  const int64_t most = std::min(bytes + step_bytes_, limit_bytes_);
  if (least > charge_.bytes() && (charge_.TryResize(most) || charge_.TryResize(least))) Publish();
  return charge_.bytes();
}

bool PoolMemory::KeepHalf() {
  const int64_t half = limit_bytes_ / 2;
  if (!asks_ || charge_.bytes() >= half) return true;
  if (!charge_.TryResize(half)) return false;
  Publish();
  return true;
}

void PoolMemory::SettleLocked(const Instance& instance) {
  if (!asks_) return;
  const int64_t kept = computing_count_ == 0 ? 0 : std::min(charge_.bytes(), limit_bytes_ / 2);
  const int64_t held = std::min(std::max(instance.used_bytes(), kept), limit_bytes_);
  // More than was granted is what a buffer has grown by where it stood, which the pool learns of
  // afterwards; it is asked for with the next buffer at the latest.
  if (charge_.TryResize(held)) Publish();
}

void PoolMemory::Publish() { granted_bytes_.store(charge_.bytes(), std::memory_order_release); }

}  // namespace kalam::analytics
