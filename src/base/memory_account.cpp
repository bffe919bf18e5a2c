// Charges along the path from an account to the root.
#include "base/memory_account.h"

#include <algorithm>
#include <utility>

namespace kalam {
namespace {

void RaisePeak(std::atomic<int64_t>& peak, int64_t used) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (used > seen && !peak.compare_exchange_weak(seen, used, std::memory_order_relaxed)) {
  }
}

}  // namespace

MemoryAccount::MemoryAccount(std::string name, MemoryAccount* parent, int64_t limit_bytes)
    : name_(std::move(name)), parent_(parent), limit_bytes_(limit_bytes) {}

MemoryAccount::~MemoryAccount() = default;

MemoryAccount& MemoryAccount::Child(std::string_view name) {
  std::lock_guard lock(children_mutex_);
  for (const auto& child : children_) {
    if (child->name() == name) return *child;
  }
  children_.push_back(std::make_unique<MemoryAccount>(std::string(name), this));
  return *children_.back();
}

void MemoryAccount::Charge(int64_t bytes) {
  for (MemoryAccount* account = this; account != nullptr; account = account->parent_) {
    int64_t used = account->used_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (bytes > 0) RaisePeak(account->peak_bytes_, used);
  }
}

bool MemoryAccount::TryCharge(int64_t bytes) {
  if (bytes <= 0) {
    Charge(bytes);
    return true;
  }
  for (MemoryAccount* account = this; account != nullptr; account = account->parent_) {
    if (account->TryAdd(bytes)) continue;
    for (MemoryAccount* added = this; added != account; added = added->parent_)
      added->used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  for (MemoryAccount* account = this; account != nullptr; account = account->parent_) {
    // What others added and are about to take back is no peak.
    int64_t used = account->used_bytes();
    int64_t limit = account->limit_bytes();
    RaisePeak(account->peak_bytes_, limit > 0 ? std::min(used, limit) : used);
  }
  return true;
}

bool MemoryAccount::TryAdd(int64_t bytes) {
  const int64_t limit = limit_bytes();
  const int64_t most = limit - reserve_bytes_.load(std::memory_order_relaxed);
  int64_t used = used_bytes();
  if (limit > 0 && bytes > most - used) return false;
  if (parent_ == nullptr && !HasRoom(bytes)) return false;
  // Never more than the limit, not even for a moment: whoever adds without asking would see it and
  // take it for a peak.
  do {
    if (limit > 0 && bytes > most - used) return false;
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

bool MemoryAccount::HasRoom(int64_t bytes) {
  if (bytes < kSmallBytes) return true;
  MemoryRoom* room = room_.load(std::memory_order_acquire);
  if (room == nullptr) return true;
  if (unasked_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes < kLargeBytes) return true;
  if (!room->Has(bytes)) return false;
  unasked_bytes_.store(0, std::memory_order_relaxed);
  return true;
}

std::vector<const MemoryAccount*> MemoryAccount::children() const {
  std::lock_guard lock(children_mutex_);
  std::vector<const MemoryAccount*> list;
  list.reserve(children_.size());
  for (const auto& child : children_) list.push_back(child.get());
  return list;
}

MemoryCharge& MemoryCharge::operator=(MemoryCharge&& other) noexcept {
  if (this != &other) {
    Reset();
    account_ = std::exchange(other.account_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void MemoryCharge::Reset() {
  if (account_ != nullptr) account_->Release(bytes_);
  account_ = nullptr;
  bytes_ = 0;
}

void MemoryCharge::Resize(int64_t bytes) {
  if (account_ == nullptr) return;
  account_->Charge(bytes - bytes_);
  bytes_ = bytes;
}

bool MemoryCharge::TryResize(int64_t bytes) {
  if (account_ == nullptr) return true;
  if (!account_->TryCharge(bytes - bytes_)) return false;
  bytes_ = bytes;
  return true;
}

}  // namespace kalam
