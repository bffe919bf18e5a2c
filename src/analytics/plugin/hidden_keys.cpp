// The set of keys with versions.
#include "analytics/plugin/hidden_keys.h"

#include <algorithm>
#include <cstring>
#include <duckdb/common/types/hash.hpp>
#include <limits>

namespace kalam::analytics {
namespace {

constexpr size_t kInlineBytes = 8;
constexpr size_t kSlotsMin = 1024;  // a power of two, as all sizes

uint64_t InlinePlace(std::string_view key) {
  uint64_t place = 0;
  std::memcpy(&place, key.data(), key.size());
  return place;
}

uint64_t HashOf(std::string_view key) {
  if (key.size() <= kInlineBytes) return duckdb::MurmurHash64(InlinePlace(key) + key.size());
  return duckdb::Hash(key.data(), key.size());
}

}  // namespace

bool HiddenKeys::MayContain(uint64_t hash) const {
  if (filter_.empty()) return false;
  const uint64_t bit = (hash >> 32) & (filter_.size() * 64 - 1);
  return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
}

void HiddenKeys::AddToFilter(uint64_t hash) {
  const uint64_t bit = (hash >> 32) & (filter_.size() * 64 - 1);
  filter_[bit / 64] |= uint64_t{1} << (bit % 64);
}

bool HiddenKeys::IsHiddenWithin(uint64_t ordered, Version version) const {
  const uint64_t place = __builtin_bswap64(ordered);
  const uint64_t hash = duckdb::MurmurHash64(place + sizeof(place));
  if (!MayContain(hash)) return false;
  const Entry* entry = Find({reinterpret_cast<const char*>(&place), sizeof(place)}, hash);
  return entry != nullptr && version < entry->version;
}

bool HiddenKeys::Equal(const Entry& entry, std::string_view key, uint64_t hash) const {
  if (entry.hash != hash || entry.size != key.size()) return false;
  if (key.size() <= kInlineBytes) return entry.place == InlinePlace(key);
  return std::string_view(bytes_).substr(entry.place, entry.size) == key;
}

const HiddenKeys::Entry* HiddenKeys::Find(std::string_view key, uint64_t hash) const {
  if (slots_.empty()) return nullptr;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    if (slots_[slot] == 0) return nullptr;
    const Entry& entry = entries_[slots_[slot] - 1];
    if (Equal(entry, key, hash)) return &entry;
  }
}

HiddenKeys::Entry* HiddenKeys::Insert(std::string_view key) {
  if (entries_.empty() || key < min_key_) min_key_ = key;
  if (entries_.empty() || key > max_key_) max_key_ = key;
  if (key.size() == sizeof(uint64_t)) {
    const uint64_t ordered = __builtin_bswap64(InlinePlace(key));
    min_ordered_ = std::min(min_ordered_, ordered);
    max_ordered_ = std::max(max_ordered_, ordered);
  }
  if ((entries_.size() + 1) * 2 > slots_.size()) Grow();
  const uint64_t hash = HashOf(key);
  AddToFilter(hash);
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    Entry& entry = entries_[slots_[slot] - 1];
    if (Equal(entry, key, hash)) return &entry;
  }
  Entry entry{hash, 0, static_cast<uint32_t>(key.size()), {std::numeric_limits<int64_t>::min(), 0}};
  if (key.size() <= kInlineBytes) {
    entry.place = InlinePlace(key);
  } else {
    entry.place = bytes_.size();
    bytes_ += key;
  }
  entries_.push_back(entry);
  slots_[slot] = static_cast<uint32_t>(entries_.size());
  return &entries_.back();
}

void HiddenKeys::Grow() {
  const size_t size = slots_.empty() ? kSlotsMin : slots_.size() * 2;
  slots_.assign(size, 0);
  filter_.assign(size / 8, 0);  // 8 bits a slot
  for (const Entry& entry : entries_) AddToFilter(entry.hash);
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t slot = entries_[i].hash & (size - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (size - 1);
    slots_[slot] = static_cast<uint32_t>(i + 1);
  }
}

void HiddenKeys::HideOlder(std::string_view key, Version version) {
  Entry* entry = Insert(key);
  if (entry->version < version) entry->version = version;
}

bool HiddenKeys::IsHidden(std::string_view key, Version version) const {
  if (key < min_key_ || key > max_key_) return false;
  const uint64_t hash = HashOf(key);
  if (!MayContain(hash)) return false;
  const Entry* entry = Find(key, hash);
  return entry != nullptr && version < entry->version;
}

int64_t HiddenKeys::size_bytes() const {
  return static_cast<int64_t>(slots_.capacity() * sizeof(uint32_t) +
                              filter_.capacity() * sizeof(uint64_t) +
                              entries_.capacity() * sizeof(Entry) + bytes_.capacity());
}

}  // namespace kalam::analytics
