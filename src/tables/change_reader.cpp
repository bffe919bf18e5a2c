// Replays for readers that fell behind: from the change log, or from the current state when the log
// no longer reaches back.
#include <algorithm>
#include <utility>

#include "tables/retention.h"
#include "tables/table_reader.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using replication::ChangeOp;
using replication::ChangeRecord;
using storage::Family;
using storage::Iterator;

Status TooOld(Seq after) {
  return Status(ErrorKind::CursorTooOld,
                "The cursor " + std::to_string(after.value) +
                    " is older than the changes that are kept; read the rows again");
}

size_t BytesOf(const StoredChange& change) {
  return sizeof(StoredChange) + change.encoded_pk.size() + change.row.size() +
         change.old_cells.size();
}

/// Counts what a chunk holds.
class ChunkBudget {
 public:
  explicit ChunkBudget(const ChangeLimit& limit) : limit_(limit) {}
  void Count(const StoredChange& change) {
    bytes_ += BytesOf(change);
    ++count_;
  }
  bool full() const { return bytes_ >= limit_.bytes_max || count_ >= limit_.count_max; }

 private:
  const ChangeLimit limit_;
  size_t bytes_ = 0;
  size_t count_ = 0;
};

}  // namespace

Result<Seq> ChangeReader::Floor(TableId table) { return ReadFloor(store_, table); }

Result<std::vector<StoredChange>> ChangeReader::Read(const catalog::TableDefinition& table,
                                                     const storage::Scope& scope, Seq after,
                                                     Seq up_to, const ChangeLimit& limit) {
  std::vector<StoredChange> changes;
  after = std::max(after, Seq{0});  // cursors come from clients
  if (after >= up_to) return changes;
  bool stream = table.type == catalog::TableType::kStream;
  int64_t now_us = stream ? clock_.NowUs() : 0;
  if (stream) {
    KALAM_ASSIGN_OR_RETURN(const Seq expired, ReadExpired(store_, table.id));
    after = std::max(after, expired);
    if (after >= up_to) return changes;
  }
  storage::ScanRange range{storage::SeqKey(table.id, scope, {after.value + 1}),
                           up_to.value == INT64_MAX
                               ? PrefixEnd(storage::ScopePrefix(table.id, scope))
                               : storage::SeqKey(table.id, scope, {up_to.value + 1})};
  std::unique_ptr<Iterator> iterator = store_.NewIterator(Family::kChanges, std::move(range));
  ChunkBudget budget(limit);
  for (iterator->SeekToFirst(); iterator->Valid() && !budget.full(); iterator->Next()) {
    KALAM_ASSIGN_OR_RETURN(ChangeRecord record, replication::DecodeChangeRecord(iterator->value()));
    if (stream && record.expire_at_us <= now_us) continue;
    StoredChange& change = changes.emplace_back();
    if (!storage::SeqOfKey(iterator->key(), &change.seq)) {
      return Status(ErrorKind::Corruption, "a key of a table's changes is malformed");
    }
    change.op = record.op;
    change.schema_version = record.schema_version;
    change.previous_seq = record.previous_seq;
    change.expire_at_us = record.expire_at_us;
    change.encoded_pk = record.encoded_pk;
    change.row = record.row;
    change.old_cells = record.old_cells;
    budget.Count(change);
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  if (stream) return changes;  // what expired is not missed
  // After the read: a floor that rose meanwhile may have taken records from under the iterator.
  KALAM_ASSIGN_OR_RETURN(Seq floor, ReadFloor(store_, table.id));
  if (after < floor) return TooOld(after);
  return changes;
}

Result<std::vector<StoredChange>> ChangeReader::ReadState(const ReadScope& scope, Seq after,
                                                          Seq up_to, const ChangeLimit& limit) {
  std::vector<StoredChange> changes;
  after = std::max(after, Seq{0});
  if (after >= up_to) return changes;
  TableReader reader(store_, clock_, cold_rows_);
  ScanOptions options;
  options.order = ScanOrder::kBySeq;
  options.include_deleted = true;
  options.seq_after = after;
  options.seq_up_to = up_to;
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowScan> scan, reader.OpenScan(scope, options));
  ChunkBudget budget(limit);
  while (!budget.full()) {
    KALAM_ASSIGN_OR_RETURN(bool more, scan->Next());
    if (!more) break;
    StoredChange& change = changes.emplace_back();
    change.seq = scan->seq();
    change.op = scan->deleted() ? ChangeOp::kDelete : ChangeOp::kUpdate;
    change.schema_version = scan->schema_version();
    change.encoded_pk = scan->encoded_pk();
    change.row = scan->row();
    budget.Count(change);
  }
  KALAM_ASSIGN_OR_RETURN(Seq purged, ReadPurgedTombstone(store_, scope.table->id, scope.scope));
  if (purged > after) return TooOld(after);
  return changes;
}

}  // namespace kalam::tables
