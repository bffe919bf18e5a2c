// EXPLAIN: plans as text, operator by operator.
#include "query/explain.h"

#include <fmt/core.h>

#include "query/engine_binding.h"
#include "query/select_stream.h"

namespace kalam::query {

namespace {

using catalog::TableType;

std::string_view SourceName(TableType type) {
  switch (type) {
    case TableType::kUser:
      return "user_table_scan";
    case TableType::kShared:
      return "shared_table_scan";
    case TableType::kStream:
      return "stream_table_scan";
    case TableType::kSystem:
      return "indexed_system_scan";
    case TableType::kView:
      return "view_scan";
  }
  return "";
}

/// Lines of a plan, indented by depth.
class PlanText {
 public:
  void Add(int depth, std::string_view line) {
    if (!text_.empty()) text_ += '\n';
    text_.append(static_cast<size_t>(depth) * 2, ' ');
    text_ += line;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string ColumnNames(const catalog::TableDefinition& table, const tables::ColumnSet& wanted) {
  std::string names;
  for (const uint32_t column : wanted)
    names += (names.empty() ? "" : ", ") + (*table.columns)[column].name;
  return names;
}

void DescribeScan(const catalog::TableDefinition& table, std::string_view access, bool filtered,
                  const tables::ColumnSet* wanted, PlanText* logical, PlanText* physical,
                  int depth) {
  const std::string columns = wanted == nullptr ? std::string("all") : ColumnNames(table, *wanted);
  logical->Add(depth, fmt::format("TableScan: {} columns=[{}]{}", table.QualifiedName(), columns,
                                  filtered ? " filter=pushed" : ""));
  physical->Add(depth, fmt::format("NativeScan: source={}, table={}, access={}",
                                   SourceName(table.type), table.QualifiedName(), access));
}

void DescribeSelect(const ExplainInput& input, const SelectPlan& plan, PlanText* logical,
                    PlanText* physical) {
  int depth = 0;
  std::string outputs;
  for (const ResultColumn& column : plan.schema)
    outputs += (outputs.empty() ? "" : ", ") + column.name;
  if (plan.limit != nullptr || plan.offset != nullptr) {
    logical->Add(depth, "Limit");
    physical->Add(depth++, plan.sort.empty() ? "Limit: stops the scan"
                                             : "Limit: keeps the first rows in a heap");
  }
  if (!plan.sort.empty()) {
    logical->Add(depth, plan.sort_is_default ? "Sort: default order (primary key)" : "Sort");
    physical->Add(depth++, "Sort: in memory");
  }
  logical->Add(depth,
               fmt::format("{}: {}", plan.is_aggregate ? "Aggregate" : "Projection", outputs));
  physical->Add(depth, fmt::format("{}: {}", plan.is_aggregate ? "Aggregate" : "Project", outputs));
  ++depth;
  if (plan.filter != nullptr) physical->Add(depth++, "Filter: row by row");
  if (plan.table == nullptr) {
    logical->Add(depth, "EmptyRelation");
    physical->Add(depth, "SingleRow");
    return;
  }
  const bool by_index = UsesVectorIndex(input.vector_indexes, plan);
  if (by_index) {
    physical->Add(depth++,
                  fmt::format("VectorIndex: candidates by {} on {}; all rows when the scope is "
                              "small or too few pass the filter",
                              vectors::MetricName(plan.vector_order->metric),
                              (*plan.table->columns)[plan.vector_order->column].name));
  }
  DescribeScan(*plan.table, by_index ? "rows of the candidates" : PathName(plan.path.kind),
               plan.filter != nullptr, &plan.wanted, logical, physical, depth);
  // Which segments candidates lie in is known once there are some.
  if (by_index || !input.segments.has_value()) return;
  physical->Add(depth + 1, "Segments: " + input.segments->ToString());
}

Status DescribeEngine(const ExplainInput& input, const EnginePlan& plan, PlanText* logical,
                      PlanText* physical) {
  KALAM_ASSIGN_OR_RETURN(const std::string text,
                         WriteEngineText(plan, input.context, input.bound.parameters));
  logical->Add(0, "AnalyticalQuery");
  physical->Add(
      0, input.bound.cold_row_count > 0
             ? fmt::format("AnalyticalEngine: {} rows are in segments", input.bound.cold_row_count)
             : fmt::format("AnalyticalEngine: the statement has {}", plan.reason));
  for (size_t i = 0; i < plan.tables.size(); ++i) {
    const catalog::TableDefinition& table = *plan.tables[i].table;
    logical->Add(1, fmt::format("TableScan: {}", table.QualifiedName()));
    physical->Add(1, fmt::format("kalam_scan({}): source={}, table={}, access=batches of the scope",
                                 i, SourceName(table.type), table.QualifiedName()));
  }
  physical->Add(1, fmt::format("sql: {}", text));
  return {};
}

Status Describe(const ExplainInput& input, const Plan& plan, PlanText* logical,
                PlanText* physical) {
  if (const auto* select = std::get_if<SelectPlan>(&plan.body)) {
    DescribeSelect(input, *select, logical, physical);
  } else if (const auto* engine = std::get_if<EnginePlan>(&plan.body)) {
    return DescribeEngine(input, *engine, logical, physical);
  } else if (const auto* insert = std::get_if<InsertPlan>(&plan.body)) {
    const std::string line = fmt::format("Insert: {}", insert->table->QualifiedName());
    logical->Add(0, line);
    physical->Add(0, line);
    if (insert->source != nullptr) return Describe(input, *insert->source, logical, physical);
    physical->Add(
        1, fmt::format("Values: {} row(s)", insert->is_values_insert ? input.bound.values_row_count
                                                                     : insert->rows.size()));
  } else if (const auto* change = std::get_if<ChangePlan>(&plan.body)) {
    const std::string line =
        fmt::format("{}: {}", plan.kind == PlanKind::kUpdate ? "Update" : "Delete",
                    change->table->QualifiedName());
    logical->Add(0, line);
    physical->Add(0, line);
    if (change->source != nullptr) return Describe(input, *change->source, logical, physical);
    DescribeScan(*change->table, PathName(change->path.kind), true, nullptr, logical, physical, 1);
  }
  return {};
}

std::string_view ShareRead(const AccessPath& path) {
  switch (path.kind) {
    case PathKind::kFullScan:
      return "all of them are read";
    case PathKind::kKeys:
      return "those with the given keys are read";
    case PathKind::kKeyRange:
    case PathKind::kSeqRange:
      return "those within the range are read";
  }
  return "";
}

/// What the plan costs: the rows that it reads, table by table.
void DescribeCost(const ExplainInput& input, const Plan& plan, PlanText* text) {
  const auto add = [&](const catalog::TablePtr& table, std::string_view share) {
    const std::optional<int64_t> rows =
        input.estimate_rows ? input.estimate_rows(table) : std::nullopt;
    if (rows.has_value()) {
      text->Add(
          0, fmt::format("{}: about {} row(s) in reach, {}", table->QualifiedName(), *rows, share));
    }
  };
  if (const auto* select = std::get_if<SelectPlan>(&plan.body)) {
    if (select->table == nullptr) return;
    const bool by_index = UsesVectorIndex(input.vector_indexes, *select);
    add(select->table, by_index ? "the candidates of the index are read" : ShareRead(select->path));
  } else if (const auto* engine = std::get_if<EnginePlan>(&plan.body)) {
    for (const auto& source : engine->tables)
      add(source.table, "all that the filter does not rule out by key are read");
  } else if (const auto* insert = std::get_if<InsertPlan>(&plan.body)) {
    if (insert->source != nullptr) DescribeCost(input, *insert->source, text);
  } else if (const auto* change = std::get_if<ChangePlan>(&plan.body)) {
    if (change->source != nullptr) return DescribeCost(input, *change->source, text);
    add(change->table, ShareRead(change->path));
  }
}

}  // namespace

Result<std::shared_ptr<RowBuffer>> ExplainPlan(const ExplainInput& input) {
  const Plan& plan = *input.bound.plan;
  ResultSchema schema(2);
  schema[0].name = "plan_type";
  schema[1].name = "plan";
  for (ResultColumn& column : schema) column.type = DataType::Of(TypeKind::kText);
  auto rows = std::make_shared<RowBuffer>(std::move(schema));
  PlanText logical, physical;
  KALAM_RETURN_IF_ERROR(Describe(input, plan, &logical, &physical));
  const bool on_engine = std::holds_alternative<EnginePlan>(plan.body);
  const auto add = [&](std::string_view type, std::string_view text) {
    rows->Append({Value::Text(type), Value::Text(text)});
  };
  add("logical_plan", logical.text());
  add("physical_plan", physical.text());
  add("engine", on_engine ? "analytical: see the reason in physical_plan"
                          : "native: single table, no grouping");
  PlanText cost;
  DescribeCost(input, plan, &cost);
  if (!cost.text().empty()) add("estimate", cost.text());
  if (!input.engine_plan.empty()) add("engine_plan", input.engine_plan);
  if (input.measured.has_value()) {
    add("analyze", fmt::format("rows={}, elapsed={:.3f} ms", input.measured->row_count,
                               static_cast<double>(input.measured->elapsed_us) / 1000.0));
  }
  return rows;
}

}  // namespace kalam::query
