// Reading one scope of one table on a view: point reads, scans by key or `_seq`, changes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "replication/group.h"
#include "replication/records.h"
#include "storage/key_layout.h"
#include "tables/row.h"

namespace kalam::segments {
class ColdRows;
}  // namespace kalam::segments

namespace kalam::tables {

class Transaction;

/// What a plan may read: one table, one scope, one state. No plan can name another scope.
struct ReadScope {
  catalog::TablePtr table;
  storage::Scope scope;
  replication::View view;
  /// Staged writes laid over the view (read-your-writes); may be null. Outlives the readers.
  const Transaction* transaction = nullptr;
};

/// The scope of `table` for a user: own rows of USER and STREAM tables, all rows of a SHARED one.
storage::Scope ScopeFor(const catalog::TableDefinition& table, std::string_view user_id);

/// A stored version of a row. Owns its bytes.
struct StoredRow {
  std::string encoded_pk;
  Seq seq;
  bool deleted = false;
  uint32_t schema_version = 0;
  std::string row;
  bool cold = false;  // read from a segment: the store has nothing of it
};

enum class ScanOrder : uint8_t {
  kByKey,  // primary key order; for STREAM tables the same as kBySeq
  kBySeq,
};

struct ScanOptions {
  ScanOrder order = ScanOrder::kByKey;
  bool descending = false;
  bool include_deleted = false;  // tombstones too (a filter that names `_deleted`)
  /// Bounds of the scan in the order's key: encoded primary key, or `_seq`. Half-open; empty/0
  /// means none.
  std::string key_lower, key_upper;  // kByKey
  /// kBySeq: seq_after < _seq <= seq_up_to; 0 is no bound. A snapshot may show rows above its
  /// view's `seq` (they are committed and durable): plain reads take them, live snapshots give
  /// their own bound here.
  Seq seq_after, seq_up_to;
};

/// Walks rows. Holds a RocksDB iterator: must not live across a wait on a client (R26); `Position`
/// + `Resume` do.
class RowScan {
 public:
  virtual ~RowScan() = default;
  /// Moves to the next row; false at the end. Expired STREAM rows are skipped.
  virtual Result<bool> Next() = 0;
  // The current row; views valid until Next.
  virtual std::string_view encoded_pk() const = 0;
  virtual Seq seq() const = 0;
  virtual bool deleted() const = 0;
  virtual uint32_t schema_version() const = 0;
  virtual std::string_view row() const = 0;
  virtual bool cold() const { return false; }  // as StoredRow::cold
  /// Where to go on after the current row: give it to OpenScan as `resume_after`.
  virtual std::string Position() const = 0;
};

/// The current row of a scan.
StoredRow CopyOf(const RowScan& scan);

/// Hot and cold rows as one: a row is found wherever it lies, and a row that moves is seen once.
class TableReader {
 public:
  /// `store`, `clock` and `cold_rows` must outlive the reader; `cold_rows` null: there are no
  /// segments.
  TableReader(storage::Store& store, const Clock& clock, segments::ColdRows* cold_rows = nullptr)
      : store_(store), clock_(clock), cold_rows_(cold_rows) {}

  /// The current version of one row; nullopt when there is none, or a tombstone and
  /// `include_deleted` is false. `wanted`: what will be looked at; empty: all. Other cells of the
  /// row may be NULL, and `seq` may be 0 when `_seq` is not among them: such a row is not to be
  /// written back.
  Result<std::optional<StoredRow>> Get(const ReadScope& scope, std::string_view encoded_pk,
                                       bool include_deleted, std::span<const uint32_t> wanted = {});
  /// `resume_after`: a Position, or empty.
  Result<std::unique_ptr<RowScan>> OpenScan(const ReadScope& scope, const ScanOptions& options,
                                            std::string_view resume_after = {});
  /// The newest `count` rows by `_seq`: the `_seq` after which they begin (0 when there are fewer).
  Result<Seq> SeqBeforeLast(const ReadScope& scope, uint32_t count);

  /// False: none of the table's rows lies in a segment. True may be wrong. Costs no I/O.
  bool MayHaveColdRows(const catalog::TableDefinition& table) const;
  /// The version of the table's set of segments in a view, for RowMutation::segments_version.
  Result<uint64_t> SegmentsVersion(const ReadScope& scope);
  /// The newest cold version of a row, tombstones included, whatever the store has. `wanted` as for
  /// Get.
  Result<std::optional<StoredRow>> GetCold(const ReadScope& scope, std::string_view encoded_pk,
                                           std::span<const uint32_t> wanted = {});

  storage::Store& store() const { return store_; }
  const Clock& clock() const { return clock_; }
  /// Null: there are no segments.
  segments::ColdRows* cold_rows() const { return cold_rows_; }

 private:
  storage::Store& store_;
  const Clock& clock_;
  segments::ColdRows* const cold_rows_;
};

/// Bounds the rows that one statement takes from segments by key where it must not wait
/// (Store::OnlyInMemory): each is a fraction of a millisecond of work for the thread.
class ColdRowsAtOnce {
 public:
  /// Errors: NotInMemory when it is one row too many.
  Status Count(const ReadScope& scope, const StoredRow& row);

 private:
  int count_ = 0;
};

/// One change of the log, owning its bytes.
struct StoredChange {
  Seq seq;
  replication::ChangeOp op = replication::ChangeOp::kInsert;
  uint32_t schema_version = 0;
  Seq previous_seq;
  int64_t expire_at_us = 0;
  std::string encoded_pk;
  std::string row;
  std::string old_cells;
};

struct ChangeLimit {
  size_t bytes_max = 256 << 10;  // at least one change is returned if there is any
  size_t count_max = 4096;
};

class ChangeReader {
 public:
  /// As TableReader. The log itself never leaves the store.
  ChangeReader(storage::Store& store, const Clock& clock, segments::ColdRows* cold_rows = nullptr)
      : store_(store), clock_(clock), cold_rows_(cold_rows) {}
  /// Changes of one scope with after < `_seq` <= up_to, oldest first. Empty: none left up to
  /// `up_to`. Of STREAM tables the expired ones are left out. Errors: CursorTooOld when retention
  /// removed changes after `after` (checked again after the read, because retention does not wait
  /// for readers).
  Result<std::vector<StoredChange>> Read(const catalog::TableDefinition& table,
                                         const storage::Scope& scope, Seq after, Seq up_to,
                                         const ChangeLimit& limit);
  /// Rows and tombstones of the current state with after < `_seq` <= up_to in `_seq` order, for a
  /// resume from a cursor that the log no longer reaches. A row comes as kUpdate without old cells
  /// and without a previous `_seq`: whether it is new to the reader is not known any more. Errors:
  /// CursorTooOld when a tombstone newer than `after` was purged.
  Result<std::vector<StoredChange>> ReadState(const ReadScope& scope, Seq after, Seq up_to,
                                              const ChangeLimit& limit);
  /// The oldest `_seq` after which the table's change log is complete.
  Result<Seq> Floor(TableId table);

 private:
  storage::Store& store_;
  const Clock& clock_;
  segments::ColdRows* const cold_rows_;
};

}  // namespace kalam::tables
