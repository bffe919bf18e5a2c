// The fan-out index: from (table, scope, column, constant) to the subscriptions that a row can
// concern.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "live/subscription.h"

namespace kalam::live {

/// What a subscription is found by. `column` kNoKey: every row of the scope.
struct IndexKey {
  TableId table;
  std::string_view user_id;  // empty for SHARED tables
  int column = RowFilter::kNoKey;
  std::string_view key;
};

/// Chained hashing with the chains in the subscriptions themselves: 8 bytes a subscription beyond
/// its links. Finding and removing touch only what has the same hash. Holds no subscription alive.
class SubscriptionIndex {
 public:
  void Insert(Subscription* subscription);
  void Remove(Subscription* subscription);
  /// The first subscription under `key`, then the next ones.
  Subscription* First(const IndexKey& key) const;
  Subscription* Next(const Subscription* subscription, const IndexKey& key) const;
  size_t size() const { return size_; }
  int64_t memory_bytes() const {
    return static_cast<int64_t>(buckets_.capacity() * sizeof(Subscription*));
  }

 private:
  void Rehash(size_t bucket_count);
  void Link(Subscription* subscription);

  std::vector<Subscription*> buckets_;  // a power of two
  size_t size_ = 0;
};

/// The key that `subscription` stands under.
IndexKey IndexKeyOf(const Subscription& subscription);

}  // namespace kalam::live
