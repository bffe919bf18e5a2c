// Snapshot batches and chunks of the change log.
#include "live/background_read.h"

#include <algorithm>

#include "live/subscription.h"

namespace kalam::live {
namespace {

using tables::RowScan;
using tables::ScanOptions;

tables::ReadScope ScopeOf(const ReadSource& source, const ReadTarget& target) {
  const catalog::TablePtr& table = target.query->table();
  return {table, tables::ScopeFor(*table, target.user_id), source.group.TakeView(), nullptr};
}

/// The columns to decode: sent, filtered on, looked up by. Empty would mean all, so `_seq` stands
/// in for none.
tables::ColumnSet WantedColumns(const ReadTarget& target) {
  tables::ColumnSet wanted = target.query->projection();
  const auto& filtered = target.query->filter_columns();
  wanted.insert(wanted.end(), filtered.begin(), filtered.end());
  if (target.key_column >= 0) wanted.push_back(static_cast<uint32_t>(target.key_column));
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  return wanted;
}

class SnapshotReader {
 public:
  SnapshotReader(const ReadSource& source, const SnapshotRequest& request)
      : source_(source),
        request_(request),
        table_(request.target.query->table()),
        filter_{request.target.query.get(), request.target.key_column, request.target.key},
        decoder_(table_, WantedColumns(request.target)),
        rows_(request.format, request.id) {}

  SnapshotBatch Read() {
    SnapshotBatch batch;
    batch.status = Scan(&batch);
    if (!batch.status.ok() || batch.gave_up) return batch;
    batch.control.batch_num = request_.batch_num;
    batch.control.status = !batch.control.has_more   ? BatchStatus::kReady
                           : request_.batch_num == 0 ? BatchStatus::kLoading
                                                     : BatchStatus::kLoadingBatch;
    if (rows_.row_count() > 0) batch.control.last_seq = last_seq_;
    batch.message = rows_.Finish(batch.control);
    return batch;
  }

 private:
  Status Scan(SnapshotBatch* batch) {
    const bool newest_first = request_.last_rows.has_value();
    const uint64_t rows_max = newest_first ? *request_.last_rows : request_.batch_size;
    if (newest_first && rows_max == 0) return Status();
    ScanOptions options;
    options.order = tables::ScanOrder::kBySeq;
    options.descending = newest_first;
    options.seq_after = request_.after;
    options.seq_up_to = request_.up_to;
    if (request_.up_to.value <= 0)
      return Status();  // nothing was ever written; 0 would mean no bound
    tables::TableReader reader(source_.store, source_.clock, source_.cold_rows);
    if (request_.examined_max != 0 && reader.MayHaveColdRows(*table_)) {
      batch->gave_up = true;
      return Status();
    }
    const tables::ReadScope scope = ScopeOf(source_, request_.target);
    KALAM_ASSIGN_OR_RETURN(const std::unique_ptr<RowScan> scan, reader.OpenScan(scope, options));
    uint64_t examined = 0;
    while (true) {
      KALAM_ASSIGN_OR_RETURN(const bool more, scan->Next());
      if (!more) break;
      if (request_.examined_max != 0 && ++examined > request_.examined_max) {
        batch->gave_up = true;
        return Status();
      }
      KALAM_RETURN_IF_ERROR(
          decoder_.Decode(scan->schema_version(), scan->row(), scan->seq(), scan->deleted()));
      if (!filter_.Matches(decoder_.cells())) continue;
      if (rows_.row_count() >= rows_max || rows_.byte_size() >= request_.bytes_max) {
        batch->control.has_more = !newest_first;
        break;
      }
      rows_.AddRow(*table_, request_.target.query->projection(), decoder_.cells(), scan->seq());
      last_seq_ = std::max(last_seq_, scan->seq());
    }
    if (newest_first) rows_.Reverse();
    return Status();
  }

  const ReadSource& source_;
  const SnapshotRequest& request_;
  const catalog::TablePtr table_;
  const RowFilter filter_;
  tables::RowDecoder decoder_;
  BatchMessage rows_;
  Seq last_seq_;
};

}  // namespace

SnapshotBatch ReadSnapshotBatch(const ReadSource& source, const SnapshotRequest& request) {
  return SnapshotReader(source, request).Read();
}

ChangesChunk ReadChanges(const ReadSource& source, const ChangesRequest& request) {
  ChangesChunk chunk;
  tables::ChangeReader reader(source.store, source.clock, source.cold_rows);
  const catalog::TablePtr& table = request.target.query->table();
  const storage::Scope scope = tables::ScopeFor(*table, request.target.user_id);
  tables::ChangeLimit limit;
  limit.bytes_max = request.bytes_max;
  auto changes = reader.Read(*table, scope, request.after, request.up_to, limit);
  if (!changes.ok() && changes.status().Is(ErrorKind::CursorTooOld)) {
    chunk.from_state = true;
    changes =
        reader.ReadState(ScopeOf(source, request.target), request.after, request.up_to, limit);
  }
  if (!changes.ok()) {
    chunk.status = changes.status();
    return chunk;
  }
  chunk.changes = std::move(changes).value();
  return chunk;
}

int64_t ChangesChunk::byte_size() const {
  size_t bytes = changes.capacity() * sizeof(tables::StoredChange);
  for (const tables::StoredChange& change : changes)
    bytes += change.encoded_pk.size() + change.row.size() + change.old_cells.size();
  return static_cast<int64_t>(bytes);
}

}  // namespace kalam::live
