// INSERT: rows from VALUES, from a query, or lifted out of the text.
#include "query/dml.h"

namespace kalam::query {

namespace {

class InsertRun {
 public:
  explicit InsertRun(const DmlRun& run)
      : run_(run),
        plan_(std::get<InsertPlan>(run.bound.plan->body)),
        limits_(RunLimits::Of(run.context, run.services.clock)),
        statement_(StatementValuesOf(run.context, &run.services.ids)),
        evaluation_(plan_.constants, run.bound.parameters, statement_),
        writer_(run.services.reader, run.context.transaction, limits_),
        returning_(plan_.returning),
        columns_(*plan_.table->columns),
        cells_(columns_.size()),
        given_(columns_.size(), false) {
    for (const size_t column : plan_.columns) given_[column] = true;
    if (plan_.table->type != catalog::TableType::kStream) return;
    const std::optional<size_t> user = plan_.table->FindColumn("user_id");
    if (user && columns_[*user].type.is_text()) user_column_ = user;
  }

  Result<DmlEvaluation> Run() {
    KALAM_RETURN_IF_ERROR(evaluation_.Bind());
    if (plan_.source != nullptr) {
      KALAM_RETURN_IF_ERROR(InsertFromSource());
    } else if (plan_.is_values_insert) {
      const size_t width = run_.bound.values_row_width;
      for (size_t row = 0; row < run_.bound.values_row_count; ++row) {
        KALAM_RETURN_IF_ERROR(InsertRow(
            plan_.rows[0], std::span(run_.bound.values_rows).subspan(row * width, width)));
      }
    } else {
      for (const auto& row : plan_.rows) KALAM_RETURN_IF_ERROR(InsertRow(row, {}));
    }
    DmlEvaluation evaluation;
    KALAM_ASSIGN_OR_RETURN(evaluation.command,
                           writer_.Finish(run_.scope.view.seq, run_.context.now_us));
    evaluation.row_count = row_count_;
    evaluation.returning = returning_.Take();
    evaluation.memory = writer_.TakeCharge();
    return evaluation;
  }

 private:
  Status InsertRow(const std::vector<InsertCell>& row, std::span<const Value> lifted) {
    EvalContext& context = evaluation_.ForRow({});
    for (size_t i = 0; i < row.size(); ++i) {
      const catalog::ColumnDefinition& column = columns_[plan_.columns[i]];
      Datum& cell = cells_[plan_.columns[i]];
      const InsertCell& source = row[i];
      if (source.lifted_cell >= 0) {
        KALAM_RETURN_IF_ERROR(CoerceCell(lifted[static_cast<size_t>(source.lifted_cell)].datum(),
                                         column, context.arena, &cell));
      } else if (source.value != nullptr) {
        Datum value;
        KALAM_RETURN_IF_ERROR(source.value->Evaluate(context, &value));
        KALAM_RETURN_IF_ERROR(CoerceCell(value, column, context.arena, &cell));
      } else {
        KALAM_RETURN_IF_ERROR(DefaultCell(column, statement_, context.arena, &cell));
      }
    }
    return FinishRow(context);
  }

  /// Fills in what the statement does not name and writes the row.
  Status FinishRow(EvalContext& context) {
    if (++rows_seen_ % kRowsBetweenChecks == 0) KALAM_RETURN_IF_ERROR(limits_.Check());
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (given_[i]) continue;
      if (columns_[i].name.starts_with('_')) {
        cells_[i] = Datum::Null(columns_[i].type.kind);
      } else {
        KALAM_RETURN_IF_ERROR(DefaultCell(columns_[i], statement_, context.arena, &cells_[i]));
      }
    }
    if (user_column_) cells_[*user_column_] = Datum::Text(run_.scope.scope.user_id());
    if (plan_.has_conflict_clause) {
      KALAM_ASSIGN_OR_RETURN(const auto existing, writer_->FindConflicting(run_.scope, cells_));
      if (existing.has_value()) return UpdateExisting(*existing, context);
    }
    KALAM_RETURN_IF_ERROR(writer_->Insert(run_.scope, cells_));
    ++row_count_;
    context.cells = cells_;
    KALAM_RETURN_IF_ERROR(returning_.Add(context));
    return writer_.ChargeGrowth(returning_);
  }

  /// ON CONFLICT DO UPDATE; an empty list of assignments is DO NOTHING.
  Status UpdateExisting(const tables::StoredRow& existing, EvalContext& context) {
    if (plan_.conflict_assignments.empty()) return {};
    if (!decoder_.has_value()) decoder_.emplace(plan_.table);
    KALAM_RETURN_IF_ERROR(
        decoder_->Decode(existing.schema_version, existing.row, existing.seq, existing.deleted));
    const std::span<const Datum> old_cells = decoder_->cells();
    std::vector<Datum> both(old_cells.begin(), old_cells.end());
    both.insert(both.end(), cells_.begin(), cells_.end());
    context.cells = both;
    if (plan_.conflict_filter != nullptr) {
      KALAM_ASSIGN_OR_RETURN(const bool passes, IsTrue(*plan_.conflict_filter, context));
      if (!passes) return {};
    }
    std::vector<Datum> updated(old_cells.begin(), old_cells.end());
    for (const ColumnAssignment& assignment : plan_.conflict_assignments) {
      const catalog::ColumnDefinition& column = columns_[assignment.column];
      if (assignment.value == nullptr) {
        KALAM_RETURN_IF_ERROR(
            DefaultCell(column, statement_, context.arena, &updated[assignment.column]));
        continue;
      }
      Datum value;
      KALAM_RETURN_IF_ERROR(assignment.value->Evaluate(context, &value));
      KALAM_RETURN_IF_ERROR(CoerceCell(value, column, context.arena, &updated[assignment.column]));
    }
    KALAM_ASSIGN_OR_RETURN(const bool changed, writer_->Update(run_.scope, existing, updated));
    if (changed) ++row_count_;
    context.cells = updated;
    KALAM_RETURN_IF_ERROR(returning_.Add(context));
    return writer_.ChargeGrowth(returning_);
  }

  /// Takes the rows of the SELECT as they are streamed.
  class SourceSink final : public RowSink {
   public:
    explicit SourceSink(InsertRun& insert) : insert_(insert) {}
    void BeginRow() override { next_ = 0; }
    void Cell(const Datum& cell, const DataType&) override {
      if (!status_.ok()) return;
      if (next_ == 0) context_ = &insert_.evaluation_.ForRow({});
      const size_t target = insert_.plan_.columns[next_++];
      status_ =
          CoerceCell(cell, insert_.columns_[target], context_->arena, &insert_.cells_[target]);
      // The cell's bytes belong to the stream's row: they must outlive it until the row is written.
      Datum& kept = insert_.cells_[target];
      if (!kept.is_null && DataType::Of(kept.kind).is_bytes_like())
        kept.data = context_->arena->Copy(kept.text()).data();
    }
    void EndRow() override {
      if (status_.ok()) status_ = insert_.FinishRow(*context_);
    }
    size_t buffered_bytes() const override { return status_.ok() ? 0 : SIZE_MAX; }
    Status status() { return status_; }

   private:
    InsertRun& insert_;
    EvalContext* context_ = nullptr;
    size_t next_ = 0;
    Status status_;
  };

  Status InsertFromSource() {
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowStream> stream,
                           run_.open_source(plan_.source, run_.scope.view));
    const size_t width = stream->schema().size();
    if (width > plan_.columns.size()) {
      return Status(ErrorKind::InvalidSql, "INSERT has more expressions than target columns");
    }
    for (size_t i = width; i < plan_.columns.size(); ++i) given_[plan_.columns[i]] = false;
    SourceSink sink(*this);
    constexpr size_t kChunkBytes = 256 << 10;
    bool more = true;
    while (more) {
      KALAM_ASSIGN_OR_RETURN(more, stream->Next(sink, kChunkBytes));
      KALAM_RETURN_IF_ERROR(sink.status());
    }
    return {};
  }

  const DmlRun& run_;
  const InsertPlan& plan_;
  const RunLimits limits_;
  const StatementValues statement_;
  Evaluation evaluation_;
  StatementWriter writer_;
  ReturningRows returning_;
  const std::vector<catalog::ColumnDefinition>& columns_;
  std::vector<Datum> cells_;
  std::vector<bool> given_;
  std::optional<size_t> user_column_;  // of a STREAM: names whose row it is, whatever is given
  std::optional<tables::RowDecoder> decoder_;
  int64_t row_count_ = 0;
  uint32_t rows_seen_ = 0;
};

}  // namespace

Result<DmlEvaluation> EvaluateInsert(const DmlRun& run) { return InsertRun(run).Run(); }

}  // namespace kalam::query
