// Estimating where to cut a change log.
#include "jobs/change_log_size.h"

#include <string>
#include <vector>

#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::jobs {
namespace {

using storage::Family;

// Scopes of a table that are looked at.
constexpr size_t kScopesMax = 64;

struct ScopeSample {
  std::string prefix;
  Seq oldest;
  int64_t bytes = 0;
};

/// The same bytes as a key of the scope ends with.
std::string KeyAt(const ScopeSample& scope, Seq seq) {
  std::string key = scope.prefix;
  for (int shift = 56; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(static_cast<uint64_t>(seq.value) >> shift));
  return key;
}

Result<std::vector<ScopeSample>> SampleScopes(storage::Store& store, TableId table) {
  std::vector<ScopeSample> scopes;
  const std::string prefix = storage::TablePrefix(table);
  auto iterator = store.NewIterator(Family::kChanges, {prefix, PrefixEnd(prefix)});
  for (iterator->Seek(prefix); iterator->Valid() && scopes.size() < kScopesMax;) {
    ScopeSample scope;
    if (!storage::SeqOfKey(iterator->key(), &scope.oldest)) {
      return Status(ErrorKind::Corruption, "a key of the change log cannot be read");
    }
    scope.prefix = iterator->key().substr(0, iterator->key().size() - sizeof(uint64_t));
    const std::string end = PrefixEnd(scope.prefix);
    scope.bytes = store.ApproximateBytes(Family::kChanges, {scope.prefix, end});
    scopes.push_back(std::move(scope));
    iterator->Seek(end);
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return scopes;
}

}  // namespace

int64_t ChangeLogBytes(const storage::Store& store, TableId table) {
  const std::string prefix = storage::TablePrefix(table);
  return store.ApproximateBytes(Family::kChanges, {prefix, PrefixEnd(prefix)});
}

Result<Seq> FloorForBytes(storage::Store& store, TableId table, int64_t bytes_max, Seq newest) {
  const int64_t bytes = ChangeLogBytes(store, table);
  if (bytes <= bytes_max) return Seq{0};
  KALAM_ASSIGN_OR_RETURN(const std::vector<ScopeSample> scopes, SampleScopes(store, table));
  if (scopes.empty()) return Seq{0};
  int64_t sampled = 0;
  Seq low = newest;
  for (const ScopeSample& scope : scopes) {
    sampled += scope.bytes;
    low = std::min(low, scope.oldest);
  }
  // Of the sample, the share that is too much of the whole.
  const auto excess =
      static_cast<int64_t>(static_cast<double>(sampled) * static_cast<double>(bytes - bytes_max) /
                           static_cast<double>(bytes));
  Seq high = newest;
  while (low < high) {
    const Seq middle{low.value + (high.value - low.value) / 2};
    int64_t below = 0;
    for (const ScopeSample& scope : scopes) {
      if (middle < scope.oldest) continue;
      below += store.ApproximateBytes(Family::kChanges,
                                      {scope.prefix, KeyAt(scope, Seq{middle.value + 1})});
    }
    if (below < excess) {
      low = Seq{middle.value + 1};
    } else {
      high = middle;
    }
  }
  return high;
}

}  // namespace kalam::jobs
