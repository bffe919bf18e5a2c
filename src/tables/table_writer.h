// Turning row changes into commands: defaults applied by the caller, images, old cells and constraints made here.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replication/command.h"
#include "tables/table_reader.h"

namespace kalam::tables {

class StagedRows;

/// Builds the mutations of one statement (or of one transaction) on a view. Not thread-safe.
/// Within one writer a key may be touched several times; what leaves it is one step from the version in the view to the last
/// image: insert + update is an insert, update + delete a delete, delete + insert an update, and what cancels out is nothing.
class TableWriter {
 public:
  /// `reader` must outlive the writer.
  explicit TableWriter(TableReader& reader);
  ~TableWriter();

  /// Begins the next statement of a transaction: row numbers in messages start again at 0, and a key that an earlier
  /// statement inserted "already exists". A writer of a single statement need not call it.
  void BeginStatement();

  /// Adds a row. `cells` by column index of the table (system columns ignored), already coerced; checks NOT NULL and the
  /// primary key, both against the view and against this writer. Errors: ConstraintViolation (NOT NULL),
  /// AlreadyExists ("Primary key violation: value 'v' already exists in column 'c'" or "... appears multiple times in the
  /// insert batch for column 'c'"). STREAM tables have no unique key.
  Status Insert(const ReadScope& scope, std::span<const Datum> cells);
  /// The existing live row that an INSERT of these cells would collide with, for ON CONFLICT; it may be one of this writer.
  Result<std::optional<StoredRow>> FindConflicting(const ReadScope& scope, std::span<const Datum> cells);
  /// Replaces `old_row` by `cells`, which have the same primary key. False, and nothing written, when no cell differs.
  /// Errors: ConstraintViolation (NOT NULL), InvalidOperation (STREAM).
  Result<bool> Update(const ReadScope& scope, const StoredRow& old_row, std::span<const Datum> cells);
  Status Delete(const ReadScope& scope, const StoredRow& old_row);

  size_t row_count() const;
  size_t byte_size() const;
  /// The command for everything so far; the writer is empty afterwards. Null when nothing changed.
  std::shared_ptr<replication::Command> Finish(Seq view_seq);

  /// What is staged so far, for the readers of this layer.
  const StagedRows& staged() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

/// A transaction of one request: a view taken at BEGIN and the writes staged over it. Bound to the group of the first table
/// it touches (one user's rows, or the shared tables; sql.md 1.10). Not thread-safe.
class Transaction {
 public:
  Transaction(std::string id, replication::View view, TableReader& reader, size_t buffer_bytes_max, int64_t deadline_us);
  ~Transaction();
  const std::string& id() const;
  const replication::View& view() const;
  TableWriter& writer();
  /// Binds or checks the group. Errors: InvalidOperation "explicit transaction '<id>' is already bound to data raft group
  /// 'g' and cannot access table 't' in group 'h'".
  Status Touch(const catalog::TableDefinition& table, const storage::Scope& scope);
  /// InvalidOperation "transaction '<id>' exceeded buffer limit of N bytes and was aborted" or "transaction '<id>' cannot
  /// continue because it timed out and was aborted" (after `deadline_us`; 0 is no deadline).
  Status CheckLimits(int64_t now_us) const;
  /// The staged version of a row, if this transaction wrote it (deleted rows come back with `deleted` set).
  const StoredRow* FindStaged(TableId table, const storage::Scope& scope, std::string_view encoded_pk) const;
  int64_t write_count() const;
  int64_t write_bytes() const;
  int64_t touched_table_count() const;
  int64_t started_us() const;
  std::shared_ptr<replication::Command> Finish();

  /// What is staged so far, for the readers of this layer.
  const StagedRows& staged() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::tables
