// Slots for what is published, two exact sets for what is not.
#include "replication/conflict_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace kalam::replication {
namespace {

constexpr size_t kSetSlotsMin = 64;
/// A set that one huge command has grown is given back.
constexpr size_t kSetSlotsKept = 16 << 10;

}  // namespace

uint64_t HashOfRow(const RowMutation& row) {
  std::string key = storage::RowKey(row.table, row.scope, row.encoded_pk);
  return XXH3_64bits(key.data(), key.size());
}

bool HashSet::Insert(uint64_t hash) {
  if ((size_ + 1) * 2 > slots_.size()) Grow();
  if (hash == 0) hash = 1;
  size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    if (slots_[i] == hash) return false;
    if (slots_[i] != 0) continue;
    slots_[i] = hash;
    ++size_;
    return true;
  }
}

bool HashSet::Contains(uint64_t hash) const {
  if (size_ == 0) return false;
  if (hash == 0) hash = 1;
  size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask; slots_[i] != 0; i = (i + 1) & mask) {
    if (slots_[i] == hash) return true;
  }
  return false;
}

void HashSet::Clear() {
  if (size_ == 0) return;
  size_ = 0;
  if (slots_.size() > kSetSlotsKept) {
    slots_ = {};
  } else {
    std::fill(slots_.begin(), slots_.end(), 0);
  }
}

void HashSet::Grow() {
  std::vector<uint64_t> old = std::move(slots_);
  slots_.assign(std::max(old.size() * 2, kSetSlotsMin), 0);
  size_ = 0;
  for (uint64_t hash : old) {
    if (hash != 0) Insert(hash);
  }
}

ConflictTable::ConflictTable(Seq last)
    : last_(last), slots_(static_cast<int64_t*>(std::calloc(kSlotCount, sizeof(int64_t)))) {
  KALAM_CHECK(slots_ != nullptr);
}

ConflictTable::Verdict ConflictTable::Check(uint64_t hash, Seq view) const {
  if (appended_.Contains(hash)) return Verdict::kAppended;
  if (writing_.Contains(hash)) return Verdict::kWriting;
  const Seq newest{last_.value + slots_[hash % kSlotCount]};
  return newest <= view ? Verdict::kClear : Verdict::kDoubt;
}

void ConflictTable::Append(std::span<const uint64_t> hashes) {
  for (uint64_t hash : hashes) appended_.Insert(hash);
}

void ConflictTable::BeginWrite() { std::swap(appended_, writing_); }

void ConflictTable::BeginWrite(std::span<const uint64_t> rest) {
  // What stays appended is also in `writing_` until EndWrite; it is found in `appended_` first.
  std::swap(appended_, writing_);
  Append(rest);
}

void ConflictTable::Publish(uint64_t hash, Seq seq) {
  int64_t& slot = slots_[hash % kSlotCount];
  slot = std::max(slot, seq.value - last_.value);
}

void ConflictTable::EndWrite() { writing_.Clear(); }

void ConflictTable::DropPending() {
  appended_.Clear();
  writing_.Clear();
}

}  // namespace kalam::replication
