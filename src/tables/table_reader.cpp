// Point reads and the choice of the scan that a read needs.
#include "tables/table_reader.h"

#include <algorithm>
#include <utility>

#include "segments/cold_rows.h"
#include "tables/retention.h"
#include "tables/scans.h"
#include "tables/stream_buffers.h"
#include "tables/table_writer.h"

namespace kalam::tables {
namespace {

using storage::Family;

constexpr int kColdRowsAtOnce = 2;

bool IsStream(const catalog::TableDefinition& table) {
  return table.type == catalog::TableType::kStream;
}

}  // namespace

StoredRow CopyOf(const RowScan& scan) {
  StoredRow row;
  row.encoded_pk = scan.encoded_pk();
  row.seq = scan.seq();
  row.deleted = scan.deleted();
  row.schema_version = scan.schema_version();
  row.row = scan.row();
  row.cold = scan.cold();
  return row;
}

storage::Scope ScopeFor(const catalog::TableDefinition& table, std::string_view user_id) {
  return table.is_scoped_by_user() ? storage::Scope::OfUser(user_id) : storage::Scope::Shared();
}

Status ColdRowsAtOnce::Count(const ReadScope& scope, const StoredRow& row) {
  if (!row.cold || !storage::IsOnlyInMemory(scope.view.snapshot) || ++count_ <= kColdRowsAtOnce)
    return Status::Ok();
  return Status(ErrorKind::NotInMemory, "the rows lie in segments");
}

Result<std::optional<StoredRow>> TableReader::Get(const ReadScope& scope,
                                                  std::string_view encoded_pk, bool include_deleted,
                                                  std::span<const uint32_t> wanted) {
  if (IsStream(*scope.table)) {
    // STREAM rows have no index by key; the newest one counts.
    ScanOptions options;
    options.descending = true;
    options.key_lower = encoded_pk;
    options.key_upper = options.key_lower + '\0';
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowScan> scan, OpenScan(scope, options));
    KALAM_ASSIGN_OR_RETURN(bool found, scan->Next());
    if (!found) return std::optional<StoredRow>();
    return std::optional<StoredRow>(CopyOf(*scan));
  }
  if (scope.transaction != nullptr) {
    const StoredRow* staged =
        scope.transaction->FindStaged(scope.table->id, scope.scope, encoded_pk);
    if (staged != nullptr) {
      if (staged->deleted && !include_deleted) return std::optional<StoredRow>();
      return std::optional<StoredRow>(*staged);
    }
  }
  std::string value;
  KALAM_ASSIGN_OR_RETURN(
      bool found,
      store_.GetInto(Family::kRows, storage::RowKey(scope.table->id, scope.scope, encoded_pk),
                     scope.view.snapshot, &value));
  if (!found) {
    if (!MayHaveColdRows(*scope.table)) return std::optional<StoredRow>();
    KALAM_ASSIGN_OR_RETURN(std::optional<StoredRow> cold, GetCold(scope, encoded_pk, wanted));
    if (cold && cold->deleted && !include_deleted) cold.reset();
    return cold;
  }
  KALAM_ASSIGN_OR_RETURN(replication::RowRecord record, replication::DecodeRowRecord(value));
  if (record.tombstone && !include_deleted) return std::optional<StoredRow>();
  StoredRow row;
  row.encoded_pk = encoded_pk;
  row.seq = record.seq;
  row.deleted = record.tombstone;
  row.schema_version = record.schema_version;
  // The record's front goes and its buffer stays: cheaper than a second allocation.
  size_t front = value.size() - record.row.size();
  value.erase(0, front);
  row.row = std::move(value);
  return std::optional<StoredRow>(std::move(row));
}

Result<std::unique_ptr<RowScan>> TableReader::OpenScan(const ReadScope& scope,
                                                       const ScanOptions& options,
                                                       std::string_view resume_after) {
  bool by_key = options.order == ScanOrder::kByKey && !IsStream(*scope.table);
  // Staged rows are laid over all rows of a scan by `_seq`; its position among them says nothing to
  // the stored scan.
  std::string_view stored_resume =
      !by_key && IsStagedPosition(resume_after) ? std::string_view() : resume_after;
  int64_t now_us = IsStream(*scope.table) ? clock_.NowUs() : 0;
  ScanOptions bounded;
  const ScanOptions* asked = &options;
  if (IsStream(*scope.table)) {
    bounded = options;
    KALAM_ASSIGN_OR_RETURN(const Seq expired,
                           ReadExpired(store_, scope.table->id, scope.view.snapshot));
    bounded.seq_after = std::max(bounded.seq_after, expired);
    if (scope.table->options.max_buffer > 0) {
      KALAM_ASSIGN_OR_RETURN(
          const Seq dropped,
          NewestBeyondBuffer(store_, storage::ScopePrefix(scope.table->id, scope.scope),
                             scope.table->options.max_buffer, now_us, scope.view.snapshot));
      bounded.seq_after = std::max(bounded.seq_after, dropped);
    }
    asked = &bounded;
  }
  ScanRequest stored{scope, *asked, stored_resume, now_us};
  std::unique_ptr<RowScan> scan;
  if (IsStream(*scope.table)) {
    scan = OpenStreamScan(store_, stored);
  } else if (!MayHaveColdRows(*scope.table)) {
    scan = by_key ? OpenKeyScan(store_, stored) : OpenSeqScan(store_, stored);
  } else {
    KALAM_ASSIGN_OR_RETURN(
        scan, by_key ? OpenMergedKeyScan(store_, *cold_rows_, stored)
                     : OpenMergedSeqScan(store_, *cold_rows_, stored, SeqRows::kWhole));
  }
  if (scope.transaction == nullptr) return scan;
  const StagedRows& staged = scope.transaction->staged();
  if (staged.FindScope(scope.table->id, scope.scope) == nullptr) return scan;
  ScanRequest request{scope, options, resume_after, now_us};
  return by_key ? OverlayByKey(std::move(scan), staged, request)
                : OverlayBySeq(std::move(scan), staged, request);
}

Result<Seq> TableReader::SeqBeforeLast(const ReadScope& scope, uint32_t count) {
  if (count == 0) return scope.view.seq;
  bool stream = IsStream(*scope.table);
  ScanOptions options;
  options.order = ScanOrder::kBySeq;
  options.descending = true;
  options.seq_up_to = scope.view.seq;
  if (scope.view.seq.value <= 0) return Seq{0};
  if (stream) {
    KALAM_ASSIGN_OR_RETURN(options.seq_after,
                           ReadExpired(store_, scope.table->id, scope.view.snapshot));
  }
  ReadScope stored{scope.table, scope.scope, scope.view, nullptr};
  ScanRequest request{stored, options, {}, stream ? clock_.NowUs() : 0};
  std::unique_ptr<RowScan> scan;
  if (MayHaveColdRows(*scope.table)) {
    KALAM_ASSIGN_OR_RETURN(scan,
                           OpenMergedSeqScan(store_, *cold_rows_, request, SeqRows::kOrderOnly));
  } else {
    scan = stream ? OpenStreamScan(store_, request) : OpenOrderScan(store_, request);
  }
  Seq oldest{0};
  for (uint32_t seen = 0; seen < count; ++seen) {
    KALAM_ASSIGN_OR_RETURN(bool more, scan->Next());
    if (!more) return Seq{0};
    oldest = scan->seq();
  }
  return Seq{oldest.value - 1};
}

bool TableReader::MayHaveColdRows(const catalog::TableDefinition& table) const {
  return cold_rows_ != nullptr && !IsStream(table) && cold_rows_->MayHaveSegments(table.id);
}

Result<uint64_t> TableReader::SegmentsVersion(const ReadScope& scope) {
  // A table that is not known to have segments by now had none in an earlier view.
  if (!MayHaveColdRows(*scope.table)) return uint64_t{0};
  return cold_rows_->SegmentsVersion(scope.table->id, scope.view.snapshot);
}

Result<std::optional<StoredRow>> TableReader::GetCold(const ReadScope& scope,
                                                      std::string_view encoded_pk,
                                                      std::span<const uint32_t> wanted) {
  if (!MayHaveColdRows(*scope.table)) return std::optional<StoredRow>();
  KALAM_ASSIGN_OR_RETURN(
      std::optional<segments::ColdRow> found,
      cold_rows_->Get(scope.table, scope.scope, encoded_pk, scope.view.snapshot, wanted));
  if (!found) return std::optional<StoredRow>();
  return std::optional<StoredRow>(StoredRow{std::move(found->encoded_pk), found->seq,
                                            found->deleted, found->schema_version,
                                            std::move(found->row), /*cold=*/true});
}

}  // namespace kalam::tables
