// UPDATE and DELETE: the rows that match, and what becomes of them.
#include <unordered_set>

#include "query/dml.h"
#include "query/nodes.h"
#include "query/row_source.h"
#include "types/key_codec.h"

namespace kalam::query {

namespace {

tables::ColumnSet AllColumns(const catalog::TableDefinition& table) {
  tables::ColumnSet columns(table.columns->size());
  for (uint32_t i = 0; i < columns.size(); ++i) columns[i] = i;
  return columns;
}

class ChangeRun {
 public:
  explicit ChangeRun(const DmlRun& run)
      : run_(run),
        plan_(std::get<ChangePlan>(run.bound.plan->body)),
        is_update_(run.bound.plan->kind == PlanKind::kUpdate),
        limits_(RunLimits::Of(run.context, run.services.clock)),
        statement_(StatementValuesOf(run.context, &run.services.ids)),
        evaluation_(plan_.constants, run.bound.parameters, statement_),
        memory_(limits_),
        writer_(run.services.reader, run.context.transaction, limits_),
        returning_(plan_.returning) {}

  Result<DmlEvaluation> Run() {
    KALAM_RETURN_IF_ERROR(evaluation_.Bind());
    KALAM_RETURN_IF_ERROR(plan_.source != nullptr ? ChangeFromSource() : ChangeMatching());
    DmlEvaluation evaluation;
    KALAM_ASSIGN_OR_RETURN(evaluation.command,
                           writer_.Finish(run_.scope.view.seq, run_.context.now_us));
    evaluation.row_count = row_count_;
    evaluation.returning = returning_.Take();
    evaluation.memory = writer_.TakeCharge();
    return evaluation;
  }

 private:
  Status ChangeMatching() {
    EvalContext statement = evaluation_.ForStatement();
    KALAM_ASSIGN_OR_RETURN(BoundPath path, BindPath(plan_.path, *plan_.table, statement));
    // A scan decodes what the filter reads; only rows that pass are decoded as a whole.
    const bool decode_twice = !path.is_keys;
    const Node* filter = path.covers_filter ? nullptr : plan_.filter.get();
    FilteredRows rows(MakeTableRows(run_.services.reader, run_.scope, std::move(path), false,
                                    decode_twice ? plan_.filter_columns : AllColumns(*plan_.table)),
                      filter, evaluation_, limits_);
    // A transaction's own writes show up in its scans: what to change is settled before anything is
    // written.
    const bool collect_first = run_.scope.transaction != nullptr;
    std::vector<tables::StoredRow> matches;
    while (true) {
      KALAM_ASSIGN_OR_RETURN(const bool found, rows.Next());
      if (!found) break;
      tables::StoredRow stored;
      rows.source().CopyStored(&stored);
      if (collect_first) {
        KALAM_RETURN_IF_ERROR(memory_.Reserve(static_cast<int64_t>(
            stored.row.size() + stored.encoded_pk.size() + sizeof(tables::StoredRow))));
        matches.push_back(std::move(stored));
      } else if (decode_twice) {
        KALAM_RETURN_IF_ERROR(ChangeStored(stored));
      } else {
        KALAM_RETURN_IF_ERROR(ChangeRow(stored, rows.context()));
      }
    }
    for (const tables::StoredRow& stored : matches) KALAM_RETURN_IF_ERROR(ChangeStored(stored));
    return {};
  }

  Status ChangeStored(const tables::StoredRow& stored) {
    if (!is_update_ && !plan_.returning.has_value())
      return DeleteRow(stored, evaluation_.ForRow({}));
    if (!decoder_.has_value()) decoder_.emplace(plan_.table);
    KALAM_RETURN_IF_ERROR(
        decoder_->Decode(stored.schema_version, stored.row, stored.seq, stored.deleted));
    return ChangeRow(stored, evaluation_.ForRow(decoder_->cells()));
  }

  /// `context` holds the row's present cells.
  Status ChangeRow(const tables::StoredRow& stored, EvalContext& context) {
    if (!is_update_) return DeleteRow(stored, context);
    new_cells_.assign(context.cells.begin(), context.cells.end());
    for (const ColumnAssignment& assignment : plan_.assignments) {
      const catalog::ColumnDefinition& column = (*plan_.table->columns)[assignment.column];
      if (assignment.value == nullptr) {
        KALAM_RETURN_IF_ERROR(
            DefaultCell(column, statement_, context.arena, &new_cells_[assignment.column]));
        continue;
      }
      Datum value;
      KALAM_RETURN_IF_ERROR(assignment.value->Evaluate(context, &value));
      KALAM_RETURN_IF_ERROR(
          CoerceCell(value, column, context.arena, &new_cells_[assignment.column]));
    }
    return WriteUpdate(stored, context);
  }

  Status WriteUpdate(const tables::StoredRow& stored, EvalContext& context) {
    KALAM_ASSIGN_OR_RETURN(const bool changed, writer_->Update(run_.scope, stored, new_cells_));
    if (changed) ++row_count_;
    context.cells = new_cells_;
    KALAM_RETURN_IF_ERROR(returning_.Add(context));
    return writer_.ChargeGrowth(returning_);
  }

  Status DeleteRow(const tables::StoredRow& stored, EvalContext& context) {
    KALAM_RETURN_IF_ERROR(writer_->Delete(run_.scope, stored));
    ++row_count_;
    KALAM_RETURN_IF_ERROR(returning_.Add(context));
    return writer_.ChargeGrowth(returning_);
  }

  /// Applies one row of the engine's answer: the key, then the new values.
  Status ApplySourceRow(const std::vector<Value>& row) {
    const size_t key_column = *plan_.table->PrimaryKey();
    EvalContext& context = evaluation_.ForRow({});
    Datum key;
    KALAM_RETURN_IF_ERROR(
        CoerceCell(row[0].datum(), (*plan_.table->columns)[key_column], context.arena, &key));
    if (key.is_null) return {};
    std::string encoded;
    EncodeKey(key, &encoded);
    // A row that joins several others is changed once, by the first of them.
    if (!applied_.insert(encoded).second) return {};
    KALAM_RETURN_IF_ERROR(memory_.Reserve(static_cast<int64_t>(encoded.size() + 64)));
    KALAM_ASSIGN_OR_RETURN(const auto stored, run_.services.reader.Get(run_.scope, encoded, false));
    if (!stored.has_value()) return {};
    if (!decoder_.has_value()) decoder_.emplace(plan_.table);
    KALAM_RETURN_IF_ERROR(
        decoder_->Decode(stored->schema_version, stored->row, stored->seq, stored->deleted));
    context.cells = decoder_->cells();
    if (!is_update_) return DeleteRow(*stored, context);
    new_cells_.assign(context.cells.begin(), context.cells.end());
    for (const ColumnAssignment& assignment : plan_.assignments) {
      const catalog::ColumnDefinition& column = (*plan_.table->columns)[assignment.column];
      Datum& cell = new_cells_[assignment.column];
      KALAM_RETURN_IF_ERROR(
          assignment.source_column < 0
              ? DefaultCell(column, statement_, context.arena, &cell)
              : CoerceCell(row[static_cast<size_t>(assignment.source_column)].datum(), column,
                           context.arena, &cell));
    }
    return WriteUpdate(*stored, context);
  }

  Status ChangeFromSource() {
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowStream> stream,
                           run_.open_source(plan_.source, run_.scope.view));
    // The whole answer is taken first: inside a transaction it reads what this statement is about
    // to change.
    RowBuffer answer(stream->schema());
    constexpr size_t kChunkBytes = 256 << 10;
    bool more = true;
    while (more) {
      const size_t before = answer.buffered_bytes();
      KALAM_ASSIGN_OR_RETURN(more, stream->Next(answer, before + kChunkBytes));
      KALAM_RETURN_IF_ERROR(
          memory_.Reserve(static_cast<int64_t>(answer.buffered_bytes() - before)));
    }
    stream.reset();
    for (const std::vector<Value>& row : answer.rows()) {
      if (++rows_seen_ % kRowsBetweenChecks == 0) KALAM_RETURN_IF_ERROR(limits_.Check());
      KALAM_RETURN_IF_ERROR(ApplySourceRow(row));
    }
    return {};
  }

  const DmlRun& run_;
  const ChangePlan& plan_;
  const bool is_update_;
  const RunLimits limits_;
  const StatementValues statement_;
  Evaluation evaluation_;
  StatementMemory memory_;
  StatementWriter writer_;
  ReturningRows returning_;
  std::vector<Datum> new_cells_;
  std::optional<tables::RowDecoder> decoder_;
  std::unordered_set<std::string> applied_;
  int64_t row_count_ = 0;
  uint32_t rows_seen_ = 0;
};

}  // namespace

Result<DmlEvaluation> EvaluateChange(const DmlRun& run) { return ChangeRun(run).Run(); }

}  // namespace kalam::query
