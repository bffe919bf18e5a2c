// Counting hot rows from commits, and the policies that look at the counts.
#include "tiering/hot_row_counts.h"

#include <algorithm>
#include <memory>
#include <string>

#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kPauseAfterFailureUs = 60 * kSecondUs;
// Tables below it are counted at start, larger ones estimated from the size of their first rows.
constexpr int64_t kCountedBytesMax = 1 << 20;
constexpr int64_t kSampleRows = 64;

/// Whether the row was not hot before.
bool BecomesHot(const replication::RowMutation& row) {
  return !row.is_stream && !row.forgets_version && (row.read_seq.value == 0 || row.read_was_cold);
}

}  // namespace

HotRowCounts::HotRowCounts(storage::Store& store, const catalog::Catalog& catalog,
                           const Clock& clock, const FlushDefaults& defaults)
    : store_(store), catalog_(catalog), clock_(clock), defaults_(defaults) {}

Status HotRowCounts::Load() {
  auto iterator = store_.NewIterator(storage::Family::kRows, {});
  iterator->SeekToFirst();
  while (iterator->Valid()) {
    storage::ParsedKey key;
    if (!storage::ParseKey(iterator->key(), &key))
      return Status(ErrorKind::Corruption, "a key of a row cannot be read");
    KALAM_RETURN_IF_ERROR(Count(key.table, *iterator));
    iterator->Seek(PrefixEnd(storage::TablePrefix(key.table)));
  }
  return iterator->status();
}

Status HotRowCounts::CountAnew(TableId table) {
  const std::string prefix = storage::TablePrefix(table);
  auto iterator = store_.NewIterator(storage::Family::kRows, {prefix, PrefixEnd(prefix)});
  iterator->SeekToFirst();
  if (!iterator->Valid()) return iterator->status();
  return Count(table, *iterator);
}

/// `iterator` is on the first row of the table.
Status HotRowCounts::Count(TableId table, storage::Iterator& iterator) {
  KALAM_ASSIGN_OR_RETURN(const int64_t count, RowsOf(table, iterator));
  // What commits have told so far is among what was found.
  const std::lock_guard lock(mutex_);
  entries_[table.value].row_count = 0;
  Add(table, count, clock_.SteadyUs());
  return Status::Ok();
}

Result<int64_t> HotRowCounts::RowsOf(TableId table, storage::Iterator& iterator) const {
  const std::string prefix = storage::TablePrefix(table);
  const std::string end = PrefixEnd(prefix);
  const int64_t bytes = store_.ApproximateBytes(storage::Family::kRows, {prefix, end});
  int64_t rows = 0;
  int64_t sampled_bytes = 0;
  for (; iterator.Valid() && iterator.key() < std::string_view(end); iterator.Next()) {
    ++rows;
    sampled_bytes += static_cast<int64_t>(iterator.key().size() + iterator.value().size());
    if (bytes > kCountedBytesMax && rows >= kSampleRows)
      return std::max(rows, bytes * rows / std::max<int64_t>(sampled_bytes, 1));
  }
  KALAM_RETURN_IF_ERROR(iterator.status());
  return rows;
}

void HotRowCounts::OnCommitted(const replication::CommittedBatch& batch) {
  if (batch.changes.empty() && batch.dropped_tables.empty()) return;
  const int64_t now_us = clock_.SteadyUs();
  const std::lock_guard lock(mutex_);
  TableId table;
  int64_t count = 0;
  for (const replication::CommittedChange& change : batch.changes) {
    if (change.mutation->table != table) {
      if (count > 0) Add(table, count, now_us);
      table = change.mutation->table;
      count = 0;
    }
    count += BecomesHot(*change.mutation) ? 1 : 0;
  }
  if (count > 0) Add(table, count, now_us);
  for (const TableId dropped : batch.dropped_tables) Forget(dropped);
}

void HotRowCounts::Add(TableId table, int64_t row_count, int64_t now_us) {
  Entry& entry = entries_[table.value];
  if (entry.row_count == 0) entry.hot_since_us = now_us;
  entry.row_count += row_count;
  Touch(table, &entry);
}

void HotRowCounts::Touch(TableId table, Entry* entry) {
  if (std::exchange(entry->touched, true)) return;
  touched_.push_back(table);
}

void HotRowCounts::Forget(TableId table) {
  auto found = entries_.find(table.value);
  if (found == entries_.end()) return;
  SetDeadline(table, &found->second, 0);
  entries_.erase(found);
}

void HotRowCounts::SetDeadline(TableId table, Entry* entry, int64_t deadline_us) {
  if (entry->deadline_us == deadline_us) return;
  if (entry->deadline_us != 0) deadlines_.erase({entry->deadline_us, table.value});
  entry->deadline_us = deadline_us;
  if (deadline_us != 0) deadlines_.emplace(deadline_us, table.value);
}

/// False when the table is gone or has no rows that could be flushed.
bool HotRowCounts::LookUpPolicy(TableId table, Entry* entry) const {
  const uint64_t version = catalog_.version();
  if (entry->policy_version == version) return true;
  const Result<catalog::TablePtr> found = catalog_.FindTable(table);
  if (!found.ok() || *found == nullptr) return false;
  const catalog::TableDefinition& definition = **found;
  if (definition.type != catalog::TableType::kUser &&
      definition.type != catalog::TableType::kShared)
    return false;
  const catalog::FlushPolicy& policy = definition.options.flush_policy;
  const bool is_default = policy == catalog::FlushPolicy{};
  entry->row_limit = is_default ? defaults_.row_limit : policy.row_limit;
  entry->interval_seconds = is_default ? defaults_.interval_seconds : policy.interval_seconds;
  entry->policy_version = version;
  return true;
}

bool HotRowCounts::IsDue(TableId table, Entry* entry, int64_t now_us) {
  if (entry->row_count <= 0 || !LookUpPolicy(table, entry)) {
    SetDeadline(table, entry, 0);
    return false;
  }
  int64_t due_at_us = 0;
  if (entry->row_limit != 0 && entry->row_count >= entry->row_limit) {
    due_at_us = now_us;
  } else if (entry->interval_seconds != 0) {
    due_at_us = entry->hot_since_us + int64_t{entry->interval_seconds} * kSecondUs;
  }
  if (due_at_us != 0) due_at_us = std::max(due_at_us, entry->paused_until_us);
  const bool is_due = due_at_us != 0 && due_at_us <= now_us;
  SetDeadline(table, entry, is_due ? 0 : due_at_us);
  return is_due;
}

std::vector<TableId> HotRowCounts::TakeDue() {
  std::vector<TableId> due;
  const std::lock_guard lock(mutex_);
  if (touched_.empty() && deadlines_.empty()) return due;
  const int64_t now_us = clock_.SteadyUs();
  std::vector<TableId> looked_at;
  looked_at.swap(touched_);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us) {
    const TableId table{deadlines_.begin()->second};
    SetDeadline(table, &entries_[table.value], 0);
    looked_at.push_back(table);
  }
  for (const TableId table : looked_at) {
    auto found = entries_.find(table.value);
    if (found == entries_.end()) continue;
    found->second.touched = false;
    if (IsDue(table, &found->second, now_us)) due.push_back(table);
  }
  std::sort(due.begin(), due.end(), [](TableId a, TableId b) { return a.value < b.value; });
  due.erase(std::unique(due.begin(), due.end()), due.end());
  return due;
}

void HotRowCounts::Flushed(TableId table, int64_t row_count, bool left) {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(table.value);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  entry.row_count = left ? std::max<int64_t>(entry.row_count - row_count, 1) : 0;
  entry.hot_since_us = clock_.SteadyUs();
  entry.paused_until_us = 0;
  if (entry.row_count == 0) {
    SetDeadline(table, &entry, 0);
    if (!entry.touched) entries_.erase(found);
    return;
  }
  Touch(table, &entry);
}

void HotRowCounts::FlushFailed(TableId table) {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(table.value);
  if (found == entries_.end()) return;
  found->second.paused_until_us = clock_.SteadyUs() + kPauseAfterFailureUs;
  Touch(table, &found->second);
}

int64_t HotRowCounts::row_count(TableId table) const {
  const std::lock_guard lock(mutex_);
  auto found = entries_.find(table.value);
  return found == entries_.end() ? 0 : found->second.row_count;
}

std::vector<std::pair<TableId, int64_t>> HotRowCounts::Largest(size_t count_max) const {
  std::vector<std::pair<TableId, int64_t>> tables;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (entry.row_count > 0) tables.emplace_back(TableId{id}, entry.row_count);
    }
  }
  const size_t kept = std::min(count_max, tables.size());
  std::partial_sort(tables.begin(), tables.begin() + static_cast<ptrdiff_t>(kept), tables.end(),
                    [](const auto& a, const auto& b) { return a.second > b.second; });
  tables.resize(kept);
  return tables;
}

}  // namespace kalam::tiering
