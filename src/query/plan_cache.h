// The plan cache: plans by statement shape, bounded in number, bytes and age.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/memory_account.h"
#include "query/plan.h"

namespace kalam::query {

/// Least recently used plans go first. Charges its bytes to `account` and keeps to its
/// limit. Thread-safety: any thread.
class PlanCache {
 public:
  PlanCache(const Clock& clock, MemoryAccount& account, size_t entries_max, int64_t ttl_seconds)
      : clock_(clock),
        account_(account),
        charge_(account, 0),
        entries_max_(entries_max),
        ttl_us_(ttl_seconds * 1'000'000) {}

  /// The plan made under `catalog_version`, or null.
  PlanPtr Find(std::string_view key, uint64_t catalog_version);
  void Put(std::string key, PlanPtr plan);
  void Clear();
  PlanCacheStats stats() const;

 private:
  struct Entry {
    std::string key;
    PlanPtr plan;
    int64_t made_us;
    int64_t byte_size;
  };
  using Entries = std::list<Entry>;
  void Remove(Entries::iterator entry);

  const Clock& clock_;
  const MemoryAccount& account_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  MemoryCharge charge_;
  Entries entries_;  // most recently used first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
  int64_t hits_ = 0, misses_ = 0, bytes_ = 0;
  // Constant.
  const size_t entries_max_;
  const int64_t ttl_us_;
};

}  // namespace kalam::query
