// The stream of a native SELECT.
#include "query/select_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "query/row_source.h"
#include "query/vector_distance.h"
#include "vectors/vector_indexes.h"

namespace kalam::query {

namespace {

/// Chunks end by bytes; rows without cells of size still end one now and then.
constexpr int64_t kRowsPerChunkMax = 16384;

class SelectStream final : public RowStream {
 public:
  SelectStream(const StreamServices& services, const BoundPlan& bound,
               const StatementContext& context, tables::ReadScope scope,
               std::shared_ptr<const RowBuffer> buffer)
      : services_(services),
        plan_holder_(bound.plan),
        plan_(std::get<SelectPlan>(bound.plan->body)),
        needs_worker_(NeedsWorker(bound)),
        parameters_(bound.parameters),
        limits_(RunLimits::Of(context, services.clock)),
        evaluation_(plan_.constants, parameters_, StatementValuesOf(context, &services.ids)),
        scope_(std::move(scope)),
        buffer_(std::move(buffer)),
        memory_(limits_) {}

  Status Open() {
    KALAM_RETURN_IF_ERROR(evaluation_.Bind());
    KALAM_RETURN_IF_ERROR(BindCount(plan_.offset.get(), "OFFSET", &offset_));
    KALAM_RETURN_IF_ERROR(BindCount(plan_.limit.get(), "LIMIT", &limit_));
    sorts_ = !plan_.sort.empty();
    return OpenRows();
  }

  const ResultSchema& schema() const override { return plan_.schema; }
  bool needs_worker() const override { return needs_worker_; }

  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    KALAM_RETURN_IF_ERROR(limits_.Check());
    if (at_end_) return false;
    Result<bool> more = plan_.is_aggregate ? NextAggregate(sink)
                        : sorts_           ? NextSorted(sink, chunk_bytes)
                                           : NextPlain(sink, chunk_bytes);
    rows_->source().Suspend();
    if (!more.ok() || !*more) at_end_ = true;
    return more;
  }

 private:
  /// `candidates`: only these rows are read, by key.
  Status OpenRows(std::vector<std::string>* candidates = nullptr) {
    std::unique_ptr<RowSource> source;
    const Node* filter = plan_.filter.get();
    if (plan_.table == nullptr) {
      source = MakeSingleRow();
    } else if (buffer_ != nullptr) {
      source = MakeBufferRows(plan_.table, buffer_);
    } else {
      EvalContext context = evaluation_.ForStatement();
      KALAM_ASSIGN_OR_RETURN(BoundPath path, BindPath(plan_.path, *plan_.table, context));
      if (path.covers_filter) filter = nullptr;
      if (candidates != nullptr) {
        path.is_keys = true;
        path.keys = std::move(*candidates);
      }
      path.scan.descending = plan_.scan_descending;
      if (gave_up_default_order_) path.scan.order = tables::ScanOrder::kByKey;
      source = MakeTableRows(services_.reader, scope_, std::move(path), plan_.include_deleted,
                             plan_.wanted);
    }
    rows_ = std::make_unique<FilteredRows>(std::move(source), filter, evaluation_, limits_);
    return {};
  }

  Status BindCount(const Node* node, std::string_view what, std::optional<int64_t>* count) {
    if (node == nullptr) return {};
    EvalContext context = evaluation_.ForStatement();
    Datum value;
    KALAM_RETURN_IF_ERROR(node->Evaluate(context, &value));
    if (value.is_null) return {};
    if (value.i < 0)
      return Status(ErrorKind::InvalidSql, fmt::format("{} must not be negative", what));
    *count = value.i;
    return {};
  }

  /// Evaluates the outputs of the row at hand into row_.
  Status EvaluateOutputs(EvalContext& context) {
    row_.resize(plan_.outputs.size());
    for (size_t i = 0; i < plan_.outputs.size(); ++i) {
      KALAM_RETURN_IF_ERROR(plan_.outputs[i]->Evaluate(context, &row_[i]));
    }
    return {};
  }

  void Emit(RowSink& sink, std::span<const Datum> cells) {
    sink.BeginRow();
    for (size_t i = 0; i < cells.size(); ++i) sink.Cell(cells[i], plan_.schema[i].type);
    sink.EndRow();
    ++emitted_;
  }

  bool LimitReached() const { return limit_.has_value() && emitted_ >= *limit_; }

  Result<bool> NextPlain(RowSink& sink, size_t chunk_bytes) {
    for (int64_t rows = 0; rows < kRowsPerChunkMax; ++rows) {
      if (LimitReached()) return false;
      KALAM_ASSIGN_OR_RETURN(const bool found, rows_->Next());
      if (!found) return false;
      if (skipped_ < offset_.value_or(0)) {
        ++skipped_;
        continue;
      }
      KALAM_RETURN_IF_ERROR(EvaluateOutputs(rows_->context()));
      Emit(sink, row_);
      if (sink.buffered_bytes() >= chunk_bytes) return !LimitReached();
    }
    return true;
  }

  Result<bool> NextAggregate(RowSink& sink) {
    std::vector<std::unique_ptr<Accumulator>> accumulators;
    for (const AggregateCall& call : plan_.aggregates)
      accumulators.push_back(MakeAccumulator(call, memory_));
    while (true) {
      KALAM_ASSIGN_OR_RETURN(const bool found, rows_->Next());
      if (!found) break;
      for (auto& accumulator : accumulators)
        KALAM_RETURN_IF_ERROR(accumulator->Add(rows_->context()));
    }
    std::vector<Datum> values(accumulators.size());
    for (size_t i = 0; i < accumulators.size(); ++i)
      KALAM_RETURN_IF_ERROR(accumulators[i]->Finish(&values[i]));
    KALAM_RETURN_IF_ERROR(EvaluateOutputs(evaluation_.ForRow(values)));
    if (!LimitReached() && offset_.value_or(0) == 0) Emit(sink, row_);
    return false;
  }

  std::optional<size_t> RowsToKeep() const {
    constexpr int64_t kHeapRowsMax =
        1 << 20;  // beyond it a heap is not cheaper than sorting everything
    if (!limit_.has_value()) return std::nullopt;
    const int64_t offset = offset_.value_or(0);
    if (*limit_ > kHeapRowsMax || offset > kHeapRowsMax) return std::nullopt;
    return static_cast<size_t>(*limit_ + offset);
  }

  /// The first rows by distance, from an index's candidates; false when all rows must be compared
  /// (no index, or too few of the candidates pass the filter).
  Result<bool> FillFromIndex() {
    constexpr size_t kWantedMax = 1000;  // beyond it an index saves nothing
    constexpr size_t kCandidatesMin = 64, kCandidatesMax = 8192;
    const std::optional<size_t> wanted = RowsToKeep();
    if (!plan_.vector_order || services_.vector_indexes == nullptr || buffer_ != nullptr ||
        !wanted || *wanted == 0 || *wanted > kWantedMax) {
      return false;
    }
    EvalContext context = evaluation_.ForStatement();
    Datum query;
    KALAM_RETURN_IF_ERROR(plan_.vector_order->query->Evaluate(context, &query));
    if (query.is_null) return false;
    std::string_view bytes;
    // What is wrong with the vector is told where distances are computed, if there is a row.
    if (!ReadVector(query, context, &bytes).ok()) return false;
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
    const uint32_t column_id = (*plan_.table->columns)[plan_.vector_order->column].column_id;
    for (size_t count = std::max(*wanted * 4, kCandidatesMin); count <= kCandidatesMax;
         count *= 4) {
      KALAM_ASSIGN_OR_RETURN(auto nearest,
                             services_.vector_indexes->FindNearest(
                                 {scope_, column_id, plan_.vector_order->metric, floats, count}));
      if (!nearest) return false;
      KALAM_RETURN_IF_ERROR(OpenRows(&nearest->keys));
      KALAM_RETURN_IF_ERROR(SortRows());
      if (sorter_->row_count() >= *wanted) return true;
      if (nearest->is_everything) return false;  // rows without a vector come behind
    }
    return false;
  }

  Status FillSorter() {
    KALAM_ASSIGN_OR_RETURN(const bool filled, FillFromIndex());
    if (filled) return {};
    if (sorter_ != nullptr) KALAM_RETURN_IF_ERROR(OpenRows());
    return SortRows();
  }

  Status SortRows() {
    sorter_.reset();
    std::vector<SortOrder> orders;
    for (const SortKey& key : plan_.sort) orders.push_back(key.order);
    sorter_ = std::make_unique<RowSorter>(std::move(orders), RowsToKeep(), memory_);
    std::vector<Datum> keys(plan_.sort.size());
    while (true) {
      KALAM_ASSIGN_OR_RETURN(const bool found, rows_->Next());
      if (!found) break;
      KALAM_RETURN_IF_ERROR(EvaluateOutputs(rows_->context()));
      for (size_t i = 0; i < keys.size(); ++i) {
        const SortKey& key = plan_.sort[i];
        if (key.output.has_value()) {
          keys[i] = row_[*key.output];
        } else {
          KALAM_RETURN_IF_ERROR(key.node->Evaluate(rows_->context(), &keys[i]));
        }
      }
      KALAM_RETURN_IF_ERROR(sorter_->Add(keys, row_));
    }
    KALAM_RETURN_IF_ERROR(sorter_->Finish());
    next_sorted_ = static_cast<size_t>(offset_.value_or(0));
    return {};
  }

  Result<bool> NextSorted(RowSink& sink, size_t chunk_bytes) {
    if (sorter_ == nullptr) {
      Status filled = FillSorter();
      const bool no_memory =
          filled.Is(ErrorKind::MemoryExceeded) || filled.Is(ErrorKind::MemoryPressure);
      if (no_memory && plan_.sort_is_default) {
        // Nobody asked for this order: give the rows as the key order has them instead of failing.
        sorter_.reset();
        sorts_ = false;
        gave_up_default_order_ = true;
        KALAM_RETURN_IF_ERROR(OpenRows());
        return NextPlain(sink, chunk_bytes);
      }
      KALAM_RETURN_IF_ERROR(std::move(filled));
    }
    while (next_sorted_ < sorter_->row_count() && !LimitReached()) {
      Emit(sink, sorter_->cells(next_sorted_++));
      if (sink.buffered_bytes() >= chunk_bytes) break;
    }
    return next_sorted_ < sorter_->row_count() && !LimitReached();
  }

  const StreamServices services_;
  const PlanPtr plan_holder_;
  const SelectPlan& plan_;
  const bool needs_worker_;
  const std::vector<Value> parameters_;
  const RunLimits limits_;
  Evaluation evaluation_;
  const tables::ReadScope scope_;
  const std::shared_ptr<const RowBuffer> buffer_;
  StatementMemory memory_;
  std::optional<int64_t> limit_, offset_;
  std::unique_ptr<FilteredRows> rows_;
  std::unique_ptr<RowSorter> sorter_;
  std::vector<Datum> row_;
  size_t next_sorted_ = 0;
  int64_t emitted_ = 0, skipped_ = 0;
  bool sorts_ = false;
  bool gave_up_default_order_ = false;
  bool at_end_ = false;
};

/// Passes the first rows on and drops the rest.
class CuttingSink final : public RowSink {
 public:
  CuttingSink(RowSink& inner, int64_t rows_left) : inner_(inner), rows_left_(rows_left) {}
  void BeginRow() override {
    passes_ = rows_left_ > 0;
    cut_ |= !passes_;
    if (!passes_) return;
    --rows_left_;
    inner_.BeginRow();
  }
  void Cell(const Datum& cell, const DataType& type) override {
    if (passes_) inner_.Cell(cell, type);
  }
  void EndRow() override {
    if (passes_) inner_.EndRow();
  }
  /// A dropped row ends the chunk.
  size_t buffered_bytes() const override { return cut_ ? SIZE_MAX : inner_.buffered_bytes(); }
  int64_t rows_left() const { return rows_left_; }
  bool cut() const { return cut_; }

 private:
  RowSink& inner_;
  int64_t rows_left_;
  bool passes_ = false, cut_ = false;
};

class CutStream final : public RowStream {
 public:
  CutStream(std::unique_ptr<RowStream> inner, int64_t rows_max, std::string notice)
      : inner_(std::move(inner)), rows_left_(rows_max), notice_(std::move(notice)) {}
  const ResultSchema& schema() const override { return inner_->schema(); }
  bool needs_worker() const override { return inner_->needs_worker(); }
  std::string notice() const override { return cut_ ? notice_ : inner_->notice(); }
  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    CuttingSink cutting(sink, rows_left_);
    KALAM_ASSIGN_OR_RETURN(const bool more, inner_->Next(cutting, chunk_bytes));
    rows_left_ = cutting.rows_left();
    cut_ |= cutting.cut();
    return more && !cut_;
  }

 private:
  const std::unique_ptr<RowStream> inner_;
  int64_t rows_left_;
  const std::string notice_;
  bool cut_ = false;
};

}  // namespace

Result<std::unique_ptr<RowStream>> OpenNativeSelect(const StreamServices& services,
                                                    const BoundPlan& bound,
                                                    const StatementContext& context,
                                                    tables::ReadScope scope,
                                                    std::shared_ptr<const RowBuffer> buffer) {
  auto stream =
      std::make_unique<SelectStream>(services, bound, context, std::move(scope), std::move(buffer));
  KALAM_RETURN_IF_ERROR(stream->Open());
  return std::unique_ptr<RowStream>(std::move(stream));
}

bool UsesVectorIndex(const vectors::VectorIndexes* indexes, const SelectPlan& plan) {
  if (!plan.vector_order || indexes == nullptr) return false;
  const catalog::ColumnDefinition& column = (*plan.table->columns)[plan.vector_order->column];
  const auto index = indexes->Find(plan.table->id, column.column_id);
  return index && index->metric == plan.vector_order->metric;
}

std::unique_ptr<RowStream> CutAfter(std::unique_ptr<RowStream> inner, int64_t rows_max,
                                    std::string notice) {
  return std::make_unique<CutStream>(std::move(inner), rows_max, std::move(notice));
}

}  // namespace kalam::query
