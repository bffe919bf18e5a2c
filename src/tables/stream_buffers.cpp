// Trimming scopes of STREAM tables to their newest rows.
#include "tables/stream_buffers.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "replication/records.h"
#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using replication::ChangeOp;
using storage::Family;

// What a scope may hold beyond its buffer, as a part of it, before it is trimmed again.
constexpr uint32_t kSlackDivisor = 8;
// Others' writes wait for a batch of them: some 40 KB.
constexpr size_t kDeletedAtOnce = 1000;

/// Walks backwards over the rows of a scope, from the newest on.
class RowsBackwards {
 public:
  RowsBackwards(storage::Store& store, std::string_view prefix,
                const storage::SnapshotPtr& snapshot)
      : iterator_(store.NewIterator(Family::kChanges, {std::string(prefix), PrefixEnd(prefix)},
                                    snapshot)) {}

  /// False at the oldest one, and at the first that has expired: those before it have, too.
  Result<bool> Next(int64_t now_us) {
    for (;;) {
      if (std::exchange(started_, true)) {
        iterator_->Prev();
      } else {
        iterator_->SeekToLast();
      }
      if (!iterator_->Valid()) {
        KALAM_RETURN_IF_ERROR(iterator_->status());
        return false;
      }
      KALAM_ASSIGN_OR_RETURN(const replication::ChangeRecord record,
                             replication::DecodeChangeRecord(iterator_->value()));
      if (record.op == ChangeOp::kDelete) continue;
      return record.expire_at_us > now_us;
    }
  }
  std::string_view key() const { return iterator_->key(); }

 private:
  const std::unique_ptr<storage::Iterator> iterator_;
  bool started_ = false;
};

}  // namespace

Result<Seq> NewestBeyondBuffer(storage::Store& store, std::string_view scope_prefix,
                               uint32_t rows_max, int64_t now_us,
                               const storage::SnapshotPtr& snapshot) {
  RowsBackwards rows(store, scope_prefix, snapshot);
  for (uint32_t kept = 0; kept < rows_max; ++kept) {
    KALAM_ASSIGN_OR_RETURN(const bool found, rows.Next(now_us));
    if (!found) return Seq{0};
  }
  KALAM_ASSIGN_OR_RETURN(const bool is_beyond, rows.Next(now_us));
  if (!is_beyond) return Seq{0};
  Seq seq;
  if (!storage::SeqOfKey(rows.key(), &seq))
    return Status(ErrorKind::Corruption, "a key of a table's changes is malformed");
  return seq;
}

Result<int64_t> TrimStream(storage::Store& store, std::string_view scope_prefix, uint32_t rows_max,
                           int64_t now_us) {
  KALAM_ASSIGN_OR_RETURN(const Seq newest,
                         NewestBeyondBuffer(store, scope_prefix, rows_max, now_us));
  if (newest.value == 0) return 0;
  std::string end(scope_prefix);
  EncodeBigEndian64(static_cast<uint64_t>(newest.value) + 1, &end);
  const auto iterator = store.NewIterator(Family::kChanges, {std::string(scope_prefix), end});
  int64_t evicted = 0;
  storage::WriteBatch batch;
  size_t batch_count = 0;
  // Not durable at once: after a power failure readers still count, and the next write trims again.
  const auto write = [&] {
    batch_count = 0;
    return store.Write(std::exchange(batch, {}), storage::Durability::kOs);
  };
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    KALAM_ASSIGN_OR_RETURN(const replication::ChangeRecord record,
                           replication::DecodeChangeRecord(iterator->value()));
    if (record.expire_at_us <= now_us) continue;  // compaction drops it
    if (record.op != ChangeOp::kDelete) ++evicted;
    batch.Delete(Family::kChanges, iterator->key());
    if (++batch_count >= kDeletedAtOnce) KALAM_RETURN_IF_ERROR(write());
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  KALAM_RETURN_IF_ERROR(write());
  return evicted;
}

void StreamBuffers::OnCommitted(const replication::CommittedBatch& batch) {
  const auto counts = [](const replication::CommittedChange& change) {
    return change.mutation->max_buffer > 0 && change.mutation->op == ChangeOp::kInsert;
  };
  const bool counts_any = std::any_of(batch.changes.begin(), batch.changes.end(), counts);
  if (!counts_any && batch.dropped_tables.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const replication::CommittedChange& change : batch.changes) {
    if (counts(change)) Add(*change.mutation);
  }
  for (const TableId dropped : batch.dropped_tables) {
    const auto table = tables_.find(dropped.value);
    if (table == tables_.end()) continue;
    scope_count_ -= table->second.size();
    tables_.erase(table);
    due_.erase(dropped.value);
  }
}

void StreamBuffers::Add(const replication::RowMutation& row) {
  if (scope_count_ >= kScopesMax) ForgetIdle();
  Scopes& scopes = tables_[row.table.value];
  const auto [scope, is_new] = scopes.try_emplace(storage::ScopePrefix(row.table, row.scope));
  if (is_new) ++scope_count_;
  Written& written = scope->second;
  ++written.row_count;
  if (written.is_due || (!is_new && written.row_count <= row.max_buffer / kSlackDivisor)) return;
  written.is_due = true;
  ++due_[row.table.value];
}

/// Scopes that are not due are trimmed at their next write instead.
void StreamBuffers::ForgetIdle() {
  for (auto& [table, scopes] : tables_)
    scope_count_ -= std::erase_if(scopes, [](const auto& scope) { return !scope.second.is_due; });
}

std::vector<TableId> StreamBuffers::TablesWithDue() const {
  const std::lock_guard lock(mutex_);
  std::vector<TableId> tables;
  for (const auto& [table, count] : due_) tables.push_back(TableId{table});
  return tables;
}

std::vector<std::string> StreamBuffers::TakeDue(TableId table) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> prefixes;
  due_.erase(table.value);
  const auto found = tables_.find(table.value);
  if (found == tables_.end()) return prefixes;
  for (auto& [prefix, written] : found->second) {
    if (!std::exchange(written.is_due, false)) continue;
    written.row_count = 0;
    prefixes.push_back(prefix);
  }
  return prefixes;
}

}  // namespace kalam::tables
