// Counters in sets: a scope's hash names its set, and within it the smallest counter gives way.
#include "tiering/scope_counts.h"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

namespace kalam::tiering {
namespace {

constexpr size_t kSetSize = 16;  // four cache lines
constexpr size_t kSetCount = 256;
constexpr uint32_t kCountMax = (1u << 31) - 1;

/// Two scopes of one key share a counter, which is then too high.
uint64_t KeyOf(TableId table, const storage::Scope& scope) {
  uint64_t key = std::hash<storage::Scope>()(scope) ^ (uint64_t{table.value} * 0x9E3779B97F4A7C15u);
  // The finalizer of MurmurHash3: every bit of the table reaches those that choose the set.
  key ^= key >> 33;
  key *= 0xFF51AFD7ED558CCDu;
  key ^= key >> 33;
  return key == 0 ? 1 : key;
}

template <typename Counter>
std::span<Counter> SetOf(std::vector<Counter>& counters, uint64_t key) {
  return std::span(counters).subspan(key % kSetCount * kSetSize, kSetSize);
}

template <typename Counter>
auto FindIn(std::span<Counter> set, uint64_t key) {
  return std::find_if(set.begin(), set.end(),
                      [key](const Counter& counter) { return counter.key == key; });
}

uint32_t Sum(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} + b, kCountMax));
}

}  // namespace

ScopeCounts::ScopeCounts(MemoryAccount* account) : account_(account) {}

void ScopeCounts::Follow(TableId table, uint32_t uncounted_max) {
  if (counters_.empty()) {
    counters_.resize(kSetSize * kSetCount);
    if (account_ != nullptr) {
      charge_ = MemoryCharge(*account_, static_cast<int64_t>(counters_.size() * sizeof(Counter)));
    }
  }
  for (Counter& counter : counters_) {
    if (counter.table == table.value) counter = Counter();
  }
  uncounted_[table.value] = {uncounted_max, uncounted_max};
}

void ScopeCounts::Forget(TableId table) {
  if (uncounted_.erase(table.value) == 0) return;
  if (uncounted_.empty()) {
    counters_ = {};
    charge_.Reset();
    return;
  }
  for (Counter& counter : counters_) {
    if (counter.table == table.value) counter = Counter();
  }
}

ScopeCounts::Counter* ScopeCounts::Find(TableId table, const storage::Scope& scope) {
  if (counters_.empty()) return nullptr;
  const uint64_t key = KeyOf(table, scope);
  const auto set = SetOf(counters_, key);
  const auto found = FindIn(set, key);
  return found == set.end() ? nullptr : &*found;
}

/// The scope that has the counter loses it.
void ScopeCounts::Take(const Counter& counter) {
  if (counter.key == 0) return;
  Uncounted& uncounted = uncounted_.find(counter.table)->second;
  uncounted.row_count_max = std::max<uint32_t>(uncounted.row_count_max, counter.count);
  uncounted.since_walk_max = std::max<uint32_t>(uncounted.since_walk_max, counter.count);
}

bool ScopeCounts::Add(TableId table, const storage::Scope& scope, uint32_t row_count,
                      uint32_t limit) {
  const uint64_t key = KeyOf(table, scope);
  const auto set = SetOf(counters_, key);
  auto counter = FindIn(set, key);
  if (counter == set.end()) {
    // A free one counts nothing and has the smallest key.
    counter = std::min_element(set.begin(), set.end(), [](const Counter& a, const Counter& b) {
      return a.count != b.count ? a.count < b.count : a.key < b.key;
    });
    const uint32_t uncounted_max = uncounted_.find(table.value)->second.row_count_max;
    Take(*counter);
    *counter = {.key = key, .table = table.value, .count = uncounted_max};
  }
  counter->count = Sum(counter->count, row_count);
  if (counter->count < limit || counter->is_told) return false;
  counter->is_told = 1;
  return true;
}

uint32_t ScopeCounts::Count(TableId table, const storage::Scope& scope) {
  Counter* const counter = Find(table, scope);
  if (counter != nullptr) {
    counter->is_told = 0;
    return counter->count;
  }
  const auto uncounted = uncounted_.find(table.value);
  return uncounted == uncounted_.end() ? 0 : uncounted->second.row_count_max;
}

void ScopeCounts::Lower(TableId table, const storage::Scope& scope, uint32_t by) {
  Counter* const counter = Find(table, scope);
  if (counter != nullptr) counter->count -= std::min<uint32_t>(counter->count, by);
}

void ScopeCounts::Reset(TableId table, const storage::Scope& scope) {
  Counter* const counter = Find(table, scope);
  if (counter == nullptr) return;
  counter->count = 0;
  counter->is_told = 0;
}

void ScopeCounts::BeginWalk(TableId table) {
  const auto uncounted = uncounted_.find(table.value);
  if (uncounted != uncounted_.end()) uncounted->second.since_walk_max = 0;
}

void ScopeCounts::EndWalk(TableId table, uint32_t row_count_max) {
  const auto uncounted = uncounted_.find(table.value);
  if (uncounted == uncounted_.end()) return;
  uncounted->second.row_count_max = std::max(row_count_max, uncounted->second.since_walk_max);
  for (Counter& counter : counters_) {
    if (counter.table == table.value) counter.is_told = 0;
  }
}

}  // namespace kalam::tiering
