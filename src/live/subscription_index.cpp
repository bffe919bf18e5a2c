// The chained hash table of the fan-out.
#include "live/subscription_index.h"

#include <algorithm>

#include "live/mix_hash.h"

namespace kalam::live {
namespace {

uint32_t HashOf(const IndexKey& key) {
  uint64_t hash = MixHash(key.table.value, static_cast<uint64_t>(key.column + 1));
  hash = MixHash(hash, HashBytes(key.user_id));
  hash = MixHash(hash, HashBytes(key.key));
  return static_cast<uint32_t>(hash >> 16);
}

bool Stands(const Subscription& subscription, uint32_t hash, const IndexKey& key) {
  if (subscription.index_hash != hash) return false;
  const IndexKey own = IndexKeyOf(subscription);
  return own.table == key.table && own.column == key.column && own.key == key.key &&
         own.user_id == key.user_id;
}

constexpr size_t kBucketsMin = 16;

}  // namespace

IndexKey IndexKeyOf(const Subscription& subscription) {
  const catalog::TableDefinition& table = *subscription.shape->query->table();
  IndexKey key{table.id, {}, subscription.shape->key_column, subscription.key()};
  if (table.is_scoped_by_user()) key.user_id = subscription.connection->user_id;
  return key;
}

void SubscriptionIndex::Link(Subscription* subscription) {
  Subscription*& head = buckets_[subscription->index_hash & (buckets_.size() - 1)];
  subscription->chain_previous = nullptr;
  subscription->chain_next = head;
  if (head != nullptr) head->chain_previous = subscription;
  head = subscription;
}

void SubscriptionIndex::Insert(Subscription* subscription) {
  if (size_ >= buckets_.size()) Rehash(std::max(kBucketsMin, buckets_.size() * 2));
  subscription->index_hash = HashOf(IndexKeyOf(*subscription));
  subscription->indexed = true;
  Link(subscription);
  ++size_;
}

void SubscriptionIndex::Remove(Subscription* subscription) {
  if (!subscription->indexed) return;
  subscription->indexed = false;
  if (subscription->chain_previous != nullptr) {
    subscription->chain_previous->chain_next = subscription->chain_next;
  } else {
    buckets_[subscription->index_hash & (buckets_.size() - 1)] = subscription->chain_next;
  }
  if (subscription->chain_next != nullptr) {
    subscription->chain_next->chain_previous = subscription->chain_previous;
  }
  --size_;
  if (size_ == 0) {
    std::vector<Subscription*>().swap(buckets_);
    return;
  }
  if (buckets_.size() > kBucketsMin && size_ < buckets_.size() / 8) Rehash(buckets_.size() / 4);
}

void SubscriptionIndex::Rehash(size_t bucket_count) {
  std::vector<Subscription*> old(bucket_count, nullptr);
  old.swap(buckets_);
  for (Subscription* head : old) {
    while (head != nullptr) {
      Subscription* next = head->chain_next;
      Link(head);
      head = next;
    }
  }
}

Subscription* SubscriptionIndex::First(const IndexKey& key) const {
  if (buckets_.empty()) return nullptr;
  const uint32_t hash = HashOf(key);
  Subscription* at = buckets_[hash & (buckets_.size() - 1)];
  while (at != nullptr && !Stands(*at, hash, key)) at = at->chain_next;
  return at;
}

Subscription* SubscriptionIndex::Next(const Subscription* subscription, const IndexKey& key) const {
  Subscription* at = subscription->chain_next;
  while (at != nullptr && !Stands(*at, subscription->index_hash, key)) at = at->chain_next;
  return at;
}

}  // namespace kalam::live
