// Evaluating DML plans into commands, or into the writes of a transaction.
#pragma once

#include <functional>
#include <memory>

#include "query/execution.h"
#include "query/plan.h"
#include "query/select_stream.h"
#include "tables/table_writer.h"

namespace kalam::query {

/// Opens the SELECT part of a DML statement on the same view.
using OpenSource = std::function<Result<std::unique_ptr<RowStream>>(const PlanPtr& source,
                                                                    const replication::View&)>;

/// One evaluation of one DML statement.
struct DmlRun {
  const StreamServices& services;
  const BoundPlan& bound;
  const StatementContext& context;
  tables::ReadScope scope;  // of the target table
  OpenSource open_source;
};

Result<DmlEvaluation> EvaluateInsert(const DmlRun& run);
/// UPDATE and DELETE.
Result<DmlEvaluation> EvaluateChange(const DmlRun& run);

/// `value` as a cell of `column`, by the rules of writing; the error names the column.
Status CoerceCell(const Datum& value, const catalog::ColumnDefinition& column, Arena* arena,
                  Datum* cell);
/// What an omitted column gets. NOT NULL columns without a default get their type's zero.
Status DefaultCell(const catalog::ColumnDefinition& column, const StatementValues& statement,
                   Arena* arena, Datum* cell);

/// Collects the rows of RETURNING. Not thread-safe.
class ReturningRows {
 public:
  explicit ReturningRows(const std::optional<ReturningPlan>& plan);
  Status Add(EvalContext& context);
  size_t byte_size() const { return buffer_ == nullptr ? 0 : buffer_->buffered_bytes(); }
  std::shared_ptr<RowBuffer> Take() { return std::move(buffer_); }

 private:
  const std::optional<ReturningPlan>& plan_;
  std::shared_ptr<RowBuffer> buffer_;
};

/// The writer of this statement: the transaction's, or one of its own. What the statement stages is
/// charged to the account of `limits`, which must outlive the writer.
class StatementWriter {
 public:
  StatementWriter(tables::TableReader& reader, tables::Transaction* transaction,
                  const RunLimits& limits);
  tables::TableWriter& operator*() { return *writer_; }
  tables::TableWriter* operator->() { return writer_; }
  /// Charges what was staged since the last call, and rows of RETURNING; cheap, call it for every
  /// row. Errors: MemoryExceeded (a statement on its own has outgrown its memory), MemoryPressure.
  Status ChargeGrowth(const ReturningRows& returning);
  /// What the command and the rows of RETURNING hold.
  MemoryCharge TakeCharge() { return std::move(charge_); }
  /// The statement's command; null inside a transaction, which is checked against its limits
  /// instead.
  Result<std::shared_ptr<replication::Command>> Finish(Seq view_seq, int64_t now_us);

 private:
  tables::Transaction* const transaction_;
  const RunLimits& limits_;
  MemoryCharge charge_;
  int64_t staged_before_ = 0;  // by earlier statements of the transaction
  std::optional<tables::TableWriter> own_;
  tables::TableWriter* writer_;
};

}  // namespace kalam::query
