// The plan cache.
#include "query/plan_cache.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace kalam::query {

namespace {

/// All plans together, if the account has no smaller limit; one statement may be a megabyte of
/// text.
constexpr int64_t kBytesMax = 4 << 20;
constexpr int64_t kEntryBytesMax = 256 << 10;
// Longer texts are rarely sent twice, and reading them is not what they cost.
constexpr size_t kLiftedTextBytesMax = 1 << 10;
// What texts may take of the bound of all plans.
constexpr int64_t kLiftedShare = 8;

size_t HashOfText(std::string_view text) { return std::hash<std::string_view>()(text); }

int64_t BytesOf(std::string_view text, const sql::LiftedStatement& lifted) {
  size_t bytes = text.size() + sizeof(lifted) + lifted.key.capacity() +
                 lifted.literals.capacity() * sizeof(Value) +
                 lifted.parameter_cells.capacity() * sizeof(std::pair<int, int>);
  for (const Value& value : lifted.literals) bytes += value.heap_bytes();
  return static_cast<int64_t>(bytes);
}

}  // namespace

PlanPtr PlanCache::Find(std::string_view key, uint64_t catalog_version) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    ++misses_;
    return nullptr;
  }
  const Entries::iterator entry = found->second;
  const bool expired = ttl_us_ > 0 && clock_.SteadyUs() - entry->made_us > ttl_us_;
  if (expired || entry->plan->catalog_version != catalog_version) {
    Remove(entry);
    ++misses_;
    return nullptr;
  }
  ++hits_;
  entries_.splice(entries_.begin(), entries_, entry);
  return entry->plan;
}

void PlanCache::Put(std::string key, PlanPtr plan) {
  const auto byte_size = static_cast<int64_t>(plan->byte_size + key.size() + sizeof(Entry));
  if (entries_max_ == 0 || byte_size > kEntryBytesMax) return;
  const int64_t limit = account_.limit_bytes();
  const int64_t bytes_max = limit > 0 ? std::min(limit, kBytesMax) : kBytesMax;
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) Remove(found->second);
  while (!entries_.empty() && (entries_.size() >= entries_max_ || bytes_ + byte_size > bytes_max)) {
    Remove(std::prev(entries_.end()));
  }
  entries_.push_front({std::move(key), std::move(plan), clock_.SteadyUs(), byte_size});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += byte_size;
  charge_.Resize(bytes_);
}

void PlanCache::Remove(Entries::iterator entry) {
  by_key_.erase(entry->key);
  bytes_ -= entry->byte_size;
  charge_.Resize(bytes_);
  entries_.erase(entry);
}

std::shared_ptr<const sql::LiftedStatement> PlanCache::FindLifted(std::string_view text) {
  if (text.size() > kLiftedTextBytesMax) return nullptr;
  const size_t slot = HashOfText(text) % kLiftedTexts;
  const std::lock_guard lock(mutex_);
  return lifted_[slot].text == text ? lifted_[slot].lifted : nullptr;
}

std::shared_ptr<const sql::LiftedStatement> PlanCache::PutLifted(std::string_view text,
                                                                 sql::LiftedStatement lifted) {
  const int64_t byte_size = BytesOf(text, lifted);
  auto shared = std::make_shared<const sql::LiftedStatement>(std::move(lifted));
  if (text.size() > kLiftedTextBytesMax || entries_max_ == 0) return shared;
  const int64_t limit = account_.limit_bytes();
  const int64_t bytes_max = limit > 0 ? std::min(limit, kBytesMax) : kBytesMax;
  const size_t slot = HashOfText(text) % kLiftedTexts;
  const std::lock_guard lock(mutex_);
  LiftedText& place = lifted_[slot];
  const int64_t more_bytes = byte_size - place.byte_size;
  if (lifted_bytes_ + more_bytes > bytes_max / kLiftedShare || bytes_ + more_bytes > bytes_max)
    return shared;
  place = {std::string(text), shared, byte_size};
  lifted_bytes_ += more_bytes;
  bytes_ += more_bytes;
  charge_.Resize(bytes_);
  return shared;
}

void PlanCache::Clear() {
  const std::lock_guard lock(mutex_);
  lifted_ = {};
  lifted_bytes_ = 0;
  by_key_.clear();
  entries_.clear();
  bytes_ = 0;
  charge_.Resize(0);
}

PlanCacheStats PlanCache::stats() const {
  const std::lock_guard lock(mutex_);
  return {static_cast<int64_t>(entries_.size()), hits_, misses_, bytes_};
}

}  // namespace kalam::query
