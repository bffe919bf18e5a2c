// Walks over the keys of hot rows.
#include "tiering/hot_rows.h"

#include <algorithm>
#include <memory>
#include <string>

#include "replication/records.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using storage::Family;

// Tables below it are counted, larger ones estimated.
constexpr int64_t kCountedBytesMax = 1 << 20;
constexpr int64_t kSampleRows = 64;

}  // namespace

Result<HotRows> EstimateHotRows(const storage::Store& store, TableId table,
                                storage::Iterator& iterator) {
  const std::string prefix = storage::TablePrefix(table);
  const std::string end = PrefixEnd(prefix);
  const int64_t bytes = store.ApproximateBytes(Family::kRows, {prefix, end});
  HotRows rows;
  int64_t sampled_bytes = 0;
  for (; iterator.Valid() && iterator.key() < std::string_view(end); iterator.Next()) {
    KALAM_ASSIGN_OR_RETURN(const replication::RowRecord record,
                           replication::DecodeRowRecord(iterator.value()));
    if (rows.row_count == 0 || record.seq < rows.oldest) rows.oldest = record.seq;
    ++rows.row_count;
    sampled_bytes += static_cast<int64_t>(iterator.key().size() + iterator.value().size());
    if (bytes > kCountedBytesMax && rows.row_count >= kSampleRows) {
      rows.row_count =
          std::max(rows.row_count, bytes * rows.row_count / std::max<int64_t>(sampled_bytes, 1));
      return rows;
    }
  }
  KALAM_RETURN_IF_ERROR(iterator.status());
  return rows;
}

Result<uint32_t> CountHotRows(storage::Store& store, TableId table, const storage::Scope& scope,
                              uint32_t count_max) {
  const std::string prefix = storage::ScopePrefix(table, scope);
  auto iterator = store.NewIterator(Family::kRows, {prefix, PrefixEnd(prefix)});
  uint32_t count = 0;
  for (iterator->SeekToFirst(); iterator->Valid() && count < count_max; iterator->Next()) ++count;
  KALAM_RETURN_IF_ERROR(iterator->status());
  return count;
}

Result<LargeScopes> FindLargeScopes(storage::Store& store, TableId table,
                                    const LargeScopesBounds& bounds) {
  LargeScopes found;
  size_t user_id_bytes = 0;
  int64_t looked_at = 0;
  const std::string table_prefix = storage::TablePrefix(table);
  auto iterator = store.NewIterator(Family::kRows, {table_prefix, PrefixEnd(table_prefix)});
  const auto is_over = [&] {
    return looked_at >= bounds.looked_at_max ||
           (bounds.other_row_count_max > 0 && found.other_row_count >= bounds.other_row_count_max);
  };
  iterator->SeekToFirst();
  while (iterator->Valid() && !is_over()) {
    storage::ParsedKey key;
    if (!storage::ParseKey(iterator->key(), &key))
      return Status(ErrorKind::Corruption, "a key of a row cannot be read");
    const std::string prefix(iterator->key().substr(0, iterator->key().size() - key.rest.size()));
    const auto in_scope = [&] { return iterator->Valid() && iterator->key().starts_with(prefix); };
    uint32_t count = 0;
    for (; in_scope() && count < bounds.row_count_min; iterator->Next()) ++count;
    looked_at += count;
    if (count >= bounds.row_count_min && found.scopes.size() < bounds.scopes_max &&
        user_id_bytes < bounds.user_id_bytes_max) {
      user_id_bytes += key.user_id.size();
      found.scopes.push_back(storage::Scope::OfUser(key.user_id));
      if (in_scope()) iterator->Seek(PrefixEnd(prefix));
      continue;
    }
    found.other_row_count += count;
    found.other_largest = std::max(found.other_largest, count);
    // All rows of a large scope for which there was no room are others as well.
    for (; in_scope() && !is_over(); iterator->Next()) ++looked_at, ++found.other_row_count;
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  found.complete = !iterator->Valid();
  return found;
}

}  // namespace kalam::tiering
