// kalam_scan(i): the table function through which the engine reads source i of the running
// statement.
#include "analytics/plugin/scan_function.h"

#include <atomic>
#include <duckdb/common/types/data_chunk.hpp>
#include <duckdb/execution/expression_executor.hpp>
#include <duckdb/main/client_context.hpp>
#include <duckdb/parallel/task_scheduler.hpp>
#include <duckdb/planner/expression/bound_between_expression.hpp>
#include <duckdb/planner/expression/bound_columnref_expression.hpp>
#include <duckdb/planner/expression/bound_comparison_expression.hpp>
#include <duckdb/planner/operator/logical_get.hpp>
#include <optional>

#include "analytics/plugin/cold_scan.h"
#include "analytics/plugin/column_writer.h"
#include "analytics/plugin/query_state.h"
#include "analytics/plugin/value_mapping.h"

namespace kalam::analytics {
namespace {

using duckdb::ClientContext;
using duckdb::idx_t;

using Hints = std::vector<tables::ScanHint>;

/// What a plan remembers: which source, and what is known about the rows that are wanted. No row,
/// no view.
struct ScanBindData : public duckdb::TableFunctionData {
  size_t source_index = 0;
  Hints hints;
  std::string cold_files;  // for EXPLAIN: how many are read; empty: none by itself

  duckdb::unique_ptr<duckdb::FunctionData> Copy() const override {
    auto copy = duckdb::make_uniq<ScanBindData>();
    copy->source_index = source_index;
    copy->hints = hints;
    copy->cold_files = cold_files;
    return std::move(copy);
  }
  bool Equals(const duckdb::FunctionData& other) const override { return this == &other; }
};

tables::ScanSource& SourceOf(ClientContext& context, size_t source_index) {
  const QueryState& state = QueryState::Of(context);
  if (source_index >= state.sources.size()) throw duckdb::BinderException("no such source");
  return *state.sources[source_index];
}

duckdb::unique_ptr<duckdb::FunctionData> Bind(ClientContext& context,
                                              duckdb::TableFunctionBindInput& input,
                                              duckdb::vector<duckdb::LogicalType>& return_types,
                                              duckdb::vector<duckdb::string>& names) {
  if (input.inputs[0].IsNull()) throw duckdb::BinderException("no such source");
  auto bind_data = duckdb::make_uniq<ScanBindData>();
  bind_data->source_index = static_cast<size_t>(input.inputs[0].GetValue<int64_t>());
  for (const ResultColumn& column : SourceOf(context, bind_data->source_index).columns()) {
    return_types.push_back(EngineType(column.type));
    names.push_back(column.name);
  }
  return std::move(bind_data);
}

// --- Hints
// -----------------------------------------------------------------------------------------------------------

std::optional<tables::ScanHint::Op> HintOp(duckdb::ExpressionType type, bool column_is_left) {
  using Op = tables::ScanHint::Op;
  switch (type) {
    case duckdb::ExpressionType::COMPARE_EQUAL:
      return Op::kEqual;
    case duckdb::ExpressionType::COMPARE_LESSTHAN:
      return column_is_left ? Op::kLess : Op::kGreater;
    case duckdb::ExpressionType::COMPARE_LESSTHANOREQUALTO:
      return column_is_left ? Op::kLessEqual : Op::kGreaterEqual;
    case duckdb::ExpressionType::COMPARE_GREATERTHAN:
      return column_is_left ? Op::kGreater : Op::kLess;
    case duckdb::ExpressionType::COMPARE_GREATERTHANOREQUALTO:
      return column_is_left ? Op::kGreaterEqual : Op::kLessEqual;
    default:
      return std::nullopt;
  }
}

class HintCollector {
 public:
  HintCollector(ClientContext& context, const duckdb::LogicalGet& get, const ResultSchema& columns,
                Hints* hints)
      : context_(context), get_(get), columns_(columns), hints_(hints) {}

  void Look(const duckdb::Expression& filter) {
    if (filter.GetExpressionClass() == duckdb::ExpressionClass::BOUND_COMPARISON) {
      const auto& comparison = filter.Cast<duckdb::BoundComparisonExpression>();
      Compare(*comparison.left, comparison.GetExpressionType(), *comparison.right, true);
      Compare(*comparison.right, comparison.GetExpressionType(), *comparison.left, false);
    } else if (filter.GetExpressionClass() == duckdb::ExpressionClass::BOUND_BETWEEN) {
      const auto& between = filter.Cast<duckdb::BoundBetweenExpression>();
      Compare(*between.input, between.LowerComparisonType(), *between.lower, true);
      Compare(*between.input, between.UpperComparisonType(), *between.upper, true);
    }
  }

 private:
  void Compare(const duckdb::Expression& side, duckdb::ExpressionType type,
               const duckdb::Expression& other, bool column_is_left) {
    const auto op = HintOp(type, column_is_left);
    if (!op || side.GetExpressionClass() != duckdb::ExpressionClass::BOUND_COLUMN_REF ||
        !other.IsFoldable()) {
      return;
    }
    const auto& reference = side.Cast<duckdb::BoundColumnRefExpression>();
    if (reference.binding.table_index != get_.table_index) return;
    const auto& column_ids = get_.GetColumnIds();
    if (reference.binding.column_index >= column_ids.size()) return;
    const idx_t column = column_ids[reference.binding.column_index].GetPrimaryIndex();
    if (column >= columns_.size()) return;
    duckdb::Value constant;
    if (!duckdb::ExpressionExecutor::TryEvaluateScalar(context_, other, constant)) return;
    tables::ScanHint hint;
    hint.column = static_cast<uint32_t>(column);
    hint.op = *op;
    if (ToOurValue(constant, &hint.value)) hints_->push_back(std::move(hint));
  }

  ClientContext& context_;
  const duckdb::LogicalGet& get_;
  const ResultSchema& columns_;
  Hints* const hints_;
};

void CollectHints(ClientContext& context, duckdb::LogicalGet& get, duckdb::FunctionData* bind_data,
                  duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& filters) {
  auto& scan = bind_data->Cast<ScanBindData>();
  HintCollector collector(context, get, SourceOf(context, scan.source_index).columns(),
                          &scan.hints);
  for (const auto& filter : filters) collector.Look(*filter);
  QueryState& query = QueryState::Of(context);
  if (!query.explains) return;
  const auto cold = SourceOf(context, scan.source_index).OpenColdFiles(scan.hints);
  if (!cold.ok()) query.Fail(cold.status());
  if (*cold == nullptr) return;
  Result<std::string> pruning = (*cold)->DescribePruning();
  if (!pruning.ok()) query.Fail(pruning.status());
  scan.cold_files = *std::move(pruning);
}

duckdb::InsertionOrderPreservingMap<duckdb::string> Describe(
    duckdb::TableFunctionToStringInput& input) {
  duckdb::InsertionOrderPreservingMap<duckdb::string> description;
  const std::string& cold_files = input.bind_data->Cast<ScanBindData>().cold_files;
  if (!cold_files.empty()) description.insert({"Segments", cold_files});
  return description;
}

// --- Execution
// -------------------------------------------------------------------------------------------------------

struct ScanGlobalState : public duckdb::GlobalTableFunctionState {
  /// Set: the rows are those of `cold_scan` and the hot parts of `cold`.
  std::shared_ptr<tables::ColdFiles> cold;
  std::unique_ptr<ColdScan> cold_scan;
  std::shared_ptr<tables::ScanSource> source;
  Hints hints;
  std::vector<uint32_t> columns;      // asked of the source
  std::vector<size_t> output_column;  // where in the engine's chunk each of them goes
  size_t part_count = 1;
  std::atomic<size_t> next_part{0};
  int64_t rows_given = 0;  // counted when chunks end at groups, which one thread does

  idx_t thread_count = 1;
  idx_t MaxThreads() const override { return thread_count; }
};

struct ScanLocalState : public duckdb::LocalTableFunctionState {
  std::unique_ptr<ColdScan::Local> cold;  // null: none, or at its end
  std::unique_ptr<tables::ScanPart> part;
  std::vector<ColumnWriter> writers;
};

/// Reads cold rows from their files, when the source offers that and it is the better way.
void TryColdFiles(ClientContext& context, ScanGlobalState& state) {
  QueryState& query = QueryState::Of(context);
  auto cold = state.source->OpenColdFiles(state.hints);
  if (!cold.ok()) query.Fail(cold.status());
  if (*cold == nullptr) return;
  state.cold = std::move(*cold);
  state.cold_scan = ColdScan::Open(context, query, state.source->columns(), state.cold,
                                   state.columns, state.hints);
}

duckdb::unique_ptr<duckdb::GlobalTableFunctionState> InitGlobal(
    ClientContext& context, duckdb::TableFunctionInitInput& input) {
  const auto& bind_data = input.bind_data->Cast<ScanBindData>();
  auto state = duckdb::make_uniq<ScanGlobalState>();
  state->source = QueryState::Of(context).sources.at(bind_data.source_index);
  state->hints = bind_data.hints;
  for (size_t i = 0; i < input.column_ids.size(); ++i) {
    // Beyond the columns lies only the engine's "no column", as count(*) asks for.
    if (input.column_ids[i] >= state->source->columns().size()) continue;
    state->columns.push_back(static_cast<uint32_t>(input.column_ids[i]));
    state->output_column.push_back(i);
  }
  TryColdFiles(context, *state);
  state->part_count = state->cold_scan ? state->cold->hot_part_count()
                                       : std::max<size_t>(1, state->source->part_count());
  state->thread_count = state->part_count;
  if (state->cold_scan) {
    state->thread_count +=
        static_cast<idx_t>(duckdb::TaskScheduler::GetScheduler(context).NumberOfThreads());
  }
  return std::move(state);
}

duckdb::unique_ptr<duckdb::LocalTableFunctionState> InitLocal(
    duckdb::ExecutionContext& context, duckdb::TableFunctionInitInput&,
    duckdb::GlobalTableFunctionState* global_state) {
  const auto& global = global_state->Cast<ScanGlobalState>();
  auto state = duckdb::make_uniq<ScanLocalState>();
  state->writers.reserve(global.columns.size());
  for (const uint32_t column : global.columns)
    state->writers.emplace_back(global.source->columns()[column].type);
  if (global.cold_scan) state->cold = global.cold_scan->OpenLocal(context);
  return std::move(state);
}

/// Opens the next part that nobody reads yet; false when there is none.
bool OpenNextPart(QueryState& query, ScanGlobalState& global, ScanLocalState& local) {
  const size_t index = global.next_part.fetch_add(1);
  if (index >= global.part_count) return false;
  auto part = global.cold_scan ? global.cold->OpenHotPart(index, global.columns, global.hints)
                               : global.source->OpenPart(index, global.columns, global.hints);
  if (!part.ok()) query.Fail(std::move(part).status());
  local.part = std::move(part).value();
  return true;
}

void WriteRow(QueryState& query, const ScanGlobalState& global, ScanLocalState& local, idx_t row) {
  const std::span<const Datum> cells = local.part->cells();
  if (cells.size() < local.writers.size()) {
    query.Fail(Status(ErrorKind::Internal, "a source gives too few cells"));
  }
  for (size_t i = 0; i < local.writers.size(); ++i) {
    if (local.writers[i].Write(row, cells[i])) continue;
    query.Fail(Status(ErrorKind::Internal, "column '" +
                                               global.source->columns()[global.columns[i]].name +
                                               "' holds a value of another type"));
  }
}

/// Rows that the next chunk may have.
idx_t ChunkRows(const QueryState& query, const ScanGlobalState& global) {
  if (query.group_rows == 0) return STANDARD_VECTOR_SIZE;
  const int64_t rest = query.group_rows - global.rows_given % query.group_rows;
  return std::min<idx_t>(STANDARD_VECTOR_SIZE, static_cast<idx_t>(rest));
}

void Scan(ClientContext& context, duckdb::TableFunctionInput& input, duckdb::DataChunk& output) {
  auto& global = input.global_state->Cast<ScanGlobalState>();
  auto& local = input.local_state->Cast<ScanLocalState>();
  QueryState& query = QueryState::Of(context);
  if (context.interrupted) throw duckdb::InterruptException();
  if (local.cold != nullptr) {
    if (global.cold_scan->Next(context, *local.cold, global.output_column, output)) return;
    local.cold.reset();
    output.Reset();
  }
  for (size_t i = 0; i < local.writers.size(); ++i) {
    local.writers[i].Begin(&output.data[global.output_column[i]]);
  }
  const idx_t rows_max = ChunkRows(query, global);
  idx_t row = 0;
  while (row < rows_max) {
    if (!local.part && !OpenNextPart(query, global, local)) break;
    const Result<bool> more = local.part->Next();
    if (!more.ok()) query.Fail(more.status());
    if (!*more) {
      local.part.reset();
      if (row > 0) break;
      continue;
    }
    if (!local.writers.empty()) WriteRow(query, global, local, row);
    ++row;
  }
  if (query.group_rows != 0) global.rows_given += static_cast<int64_t>(row);
  output.SetCardinality(row);
}

duckdb::unique_ptr<duckdb::NodeStatistics> Cardinality(ClientContext& context,
                                                       const duckdb::FunctionData* bind_data) {
  const int64_t rows =
      SourceOf(context, bind_data->Cast<ScanBindData>().source_index).estimated_rows();
  return duckdb::make_uniq<duckdb::NodeStatistics>(static_cast<idx_t>(std::max<int64_t>(rows, 0)));
}

duckdb::virtual_column_map_t VirtualColumns(ClientContext&,
                                            duckdb::optional_ptr<duckdb::FunctionData>) {
  duckdb::virtual_column_map_t columns;
  columns.insert(
      {duckdb::COLUMN_IDENTIFIER_EMPTY, duckdb::TableColumn("", duckdb::LogicalType::BOOLEAN)});
  return columns;
}

}  // namespace

duckdb::TableFunction ScanFunction() {
  duckdb::TableFunction function(kScanFunctionName, {duckdb::LogicalType::BIGINT}, Scan, Bind,
                                 InitGlobal, InitLocal);
  function.projection_pushdown = true;
  // The engine would drop the filters that it pushes; as hints they only narrow what is read.
  function.filter_pushdown = false;
  function.pushdown_complex_filter = CollectHints;
  function.cardinality = Cardinality;
  function.to_string = Describe;
  function.get_virtual_columns = VirtualColumns;
  function.verify_serialization = false;
  return function;
}

size_t ScannedSource(const duckdb::LogicalGet& get) {
  return get.bind_data->Cast<ScanBindData>().source_index;
}

}  // namespace kalam::analytics
