// The plan cache: plans by statement shape, bounded in number, bytes and age.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/memory_account.h"
#include "query/plan.h"
#include "sql/parser.h"

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
  /// What LiftLiterals makes of the text, if it was put here and nothing took its place since;
  /// else null.
  std::shared_ptr<const sql::LiftedStatement> FindLifted(std::string_view text);
  /// For texts that come again as they are, which those with parameters do.
  std::shared_ptr<const sql::LiftedStatement> PutLifted(std::string_view text,
                                                        sql::LiftedStatement lifted);
  PlanCacheStats stats() const;

 private:
  struct Entry {
    std::string key;
    PlanPtr plan;
    int64_t made_us;
    int64_t byte_size;
  };
  using Entries = std::list<Entry>;
  struct LiftedText {
    std::string text;
    std::shared_ptr<const sql::LiftedStatement> lifted;
    int64_t byte_size = 0;
  };
  static constexpr size_t kLiftedTexts = 64;

  void Remove(Entries::iterator entry);

  const Clock& clock_;
  const MemoryAccount& account_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  MemoryCharge charge_;
  Entries entries_;  // most recently used first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
  int64_t hits_ = 0, misses_ = 0, bytes_ = 0;
  int64_t lifted_bytes_ = 0;                     // of bytes_
  std::array<LiftedText, kLiftedTexts> lifted_;  // by hash of the text
  // Constant.
  const size_t entries_max_;
  const int64_t ttl_us_;
};

}  // namespace kalam::query
