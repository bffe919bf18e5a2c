// Subscriptions per user over all cores: an open-addressing table of 16 bytes a user behind a
// mutex.
#include <algorithm>
#include <mutex>
#include <vector>

#include "base/id_generators.h"
#include "live/live_hub.h"
#include "live/mix_hash.h"

namespace kalam::live {

struct SubscriptionCounts::Rep {
  struct Slot {
    uint64_t hash = 0;  // 0: empty
    uint32_t count = 0;
  };

  mutable std::mutex mutex;
  // Guarded by mutex. Linear probing; a user is known by a salted 64-bit hash alone, which nobody
  // can aim at.
  std::vector<Slot> slots;
  size_t used = 0;
  uint64_t salt = 0;
  std::atomic<uint64_t> next_connection{1};

  uint64_t HashOf(std::string_view user) const {
    return std::max<uint64_t>(1, MixHash(HashBytes(user), salt));
  }
  size_t Find(uint64_t hash) const {
    const size_t mask = slots.size() - 1;
    size_t at = hash & mask;
    while (slots[at].hash != 0 && slots[at].hash != hash) at = (at + 1) & mask;
    return at;
  }
  void Resize(size_t size) {
    std::vector<Slot> old(size);
    old.swap(slots);
    for (const Slot& slot : old) {
      if (slot.hash != 0) slots[Find(slot.hash)] = slot;
    }
  }
  /// Takes a slot out and moves the ones behind it up, so that no probe breaks.
  void Erase(size_t at) {
    const size_t mask = slots.size() - 1;
    slots[at] = {};
    --used;
    for (size_t next = (at + 1) & mask; slots[next].hash != 0; next = (next + 1) & mask) {
      const Slot moved = slots[next];
      slots[next] = {};
      slots[Find(moved.hash)] = moved;
    }
    if (slots.size() > 64 && used < slots.size() / 8) Resize(slots.size() / 4);
  }
};

SubscriptionCounts::SubscriptionCounts() : rep_(std::make_unique<Rep>()) {
  FillRandom(&rep_->salt, sizeof(rep_->salt));
}
SubscriptionCounts::~SubscriptionCounts() = default;

bool SubscriptionCounts::TryAdd(std::string_view user_id, uint32_t count_max) {
  const uint64_t hash = rep_->HashOf(user_id);
  const std::lock_guard lock(rep_->mutex);
  if (rep_->used * 4 >= rep_->slots.size() * 3) {
    rep_->Resize(std::max<size_t>(16, rep_->slots.size() * 2));
  }
  Rep::Slot& slot = rep_->slots[rep_->Find(hash)];
  if (slot.count >= count_max) return false;
  if (slot.hash == 0) {
    slot.hash = hash;
    ++rep_->used;
  }
  ++slot.count;
  return true;
}

void SubscriptionCounts::Remove(std::string_view user_id) {
  const uint64_t hash = rep_->HashOf(user_id);
  const std::lock_guard lock(rep_->mutex);
  if (rep_->slots.empty()) return;
  const size_t at = rep_->Find(hash);
  if (rep_->slots[at].hash == 0) return;
  if (--rep_->slots[at].count == 0) rep_->Erase(at);
}

uint32_t SubscriptionCounts::count(std::string_view user_id) const {
  const uint64_t hash = rep_->HashOf(user_id);
  const std::lock_guard lock(rep_->mutex);
  return rep_->slots.empty() ? 0 : rep_->slots[rep_->Find(hash)].count;
}

uint64_t SubscriptionCounts::NextConnectionNumber() {
  return rep_->next_connection.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace kalam::live
