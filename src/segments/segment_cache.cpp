// The list and the map of the cache.
#include "segments/segment_cache.h"

#include <utility>

namespace kalam::segments {
namespace {

/// Of a list node, a map node and their pointers.
constexpr int64_t kEntryOverheadBytes = 160;

}  // namespace

SegmentCache::SegmentCache(int64_t bytes_max, MemoryAccount* account, Metrics* metrics)
    : bytes_max_(bytes_max),
      hits_(metrics == nullptr ? nullptr : &metrics->counter("segment_cache_hits")),
      misses_(metrics == nullptr ? nullptr : &metrics->counter("segment_cache_misses")) {
  if (account != nullptr) charge_ = MemoryCharge(*account, 0);
}

SegmentCache::~SegmentCache() = default;

std::shared_ptr<const void> SegmentCache::FindAny(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  Counter* const counter = found == by_key_.end() ? misses_ : hits_;
  if (counter != nullptr) counter->Add();
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->object;
}

void SegmentCache::Erase(std::list<Entry>::iterator entry) {
  used_bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

void SegmentCache::Put(std::string key, std::shared_ptr<const void> object, size_t bytes) {
  const int64_t cost = static_cast<int64_t>(bytes + key.size()) + kEntryOverheadBytes;
  if (cost > bytes_max_) return;
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) Erase(found->second);
  while (!entries_.empty() && used_bytes_ + cost > bytes_max_) Erase(std::prev(entries_.end()));
  entries_.push_front({std::move(key), std::move(object), cost});
  by_key_.emplace(entries_.front().key, entries_.begin());
  used_bytes_ += cost;
  charge_.Resize(used_bytes_);
}

void SegmentCache::ErasePrefix(std::string_view prefix) {
  std::lock_guard lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->key.starts_with(prefix)) Erase(entry);
    entry = next;
  }
  charge_.Resize(used_bytes_);
}

void SegmentCache::Clear() {
  std::lock_guard lock(mutex_);
  by_key_.clear();
  entries_.clear();
  used_bytes_ = 0;
  charge_.Resize(0);
}

int64_t SegmentCache::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_bytes_;
}

}  // namespace kalam::segments
