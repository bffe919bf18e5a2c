// Traces the columns of a result back to the columns of tables.
#include "analytics/plugin/column_origin.h"

#include <duckdb/planner/expression/bound_columnref_expression.hpp>
#include <duckdb/planner/operator/logical_aggregate.hpp>
#include <duckdb/planner/operator/logical_cteref.hpp>
#include <duckdb/planner/operator/logical_get.hpp>
#include <duckdb/planner/operator/logical_materialized_cte.hpp>
#include <duckdb/planner/operator/logical_projection.hpp>
#include <unordered_map>

#include "analytics/plugin/query_state.h"
#include "analytics/plugin/scan_function.h"

namespace kalam::analytics {
namespace {

using duckdb::ColumnBinding;
using duckdb::idx_t;

// A plan that refers in a circle would be a bug of the engine; it must not become an endless loop
// of ours.
constexpr int kStepsMax = 1'000;

class Tracer {
 public:
  Tracer(duckdb::ClientContext& context, duckdb::LogicalOperator& plan) : context_(context) {
    Collect(plan);
  }

  std::optional<ResultColumn> Trace(ColumnBinding binding) const {
    for (int step = 0; step < kStepsMax; ++step) {
      const auto found = operators_.find(binding.table_index);
      if (found == operators_.end()) return std::nullopt;
      const duckdb::Expression* expression = nullptr;
      switch (found->second->type) {
        case duckdb::LogicalOperatorType::LOGICAL_CTE_REF: {
          const auto next =
              CommonTableColumn(found->second->Cast<duckdb::LogicalCTERef>(), binding.column_index);
          if (!next) return std::nullopt;
          binding = *next;
          continue;
        }
        case duckdb::LogicalOperatorType::LOGICAL_GET:
          return SourceColumn(found->second->Cast<duckdb::LogicalGet>(), binding.column_index);
        case duckdb::LogicalOperatorType::LOGICAL_PROJECTION:
          expression = At(found->second->expressions, binding.column_index);
          break;
        default:
          expression =
              At(found->second->Cast<duckdb::LogicalAggregate>().groups, binding.column_index);
          break;
      }
      if (expression == nullptr ||
          expression->GetExpressionClass() != duckdb::ExpressionClass::BOUND_COLUMN_REF) {
        return std::nullopt;
      }
      binding = expression->Cast<duckdb::BoundColumnRefExpression>().binding;
    }
    return std::nullopt;
  }

 private:
  static const duckdb::Expression* At(
      const duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& expressions, idx_t index) {
    return index < expressions.size() ? expressions[index].get() : nullptr;
  }

  std::optional<ColumnBinding> CommonTableColumn(const duckdb::LogicalCTERef& reference,
                                                 idx_t index) const {
    const auto found = common_tables_.find(reference.cte_index);
    if (found == common_tables_.end()) return std::nullopt;
    const auto bindings = found->second->GetColumnBindings();
    return index < bindings.size() ? std::optional(bindings[index]) : std::nullopt;
  }

  void Collect(duckdb::LogicalOperator& op) {
    if (op.type == duckdb::LogicalOperatorType::LOGICAL_MATERIALIZED_CTE) {
      common_tables_.emplace(op.Cast<duckdb::LogicalMaterializedCTE>().table_index,
                             op.children[0].get());
    } else if (op.type == duckdb::LogicalOperatorType::LOGICAL_CTE_REF) {
      operators_.emplace(op.Cast<duckdb::LogicalCTERef>().table_index, &op);
    }
    if (op.type == duckdb::LogicalOperatorType::LOGICAL_GET) {
      operators_.emplace(op.Cast<duckdb::LogicalGet>().table_index, &op);
      ++sources_;
    } else if (op.type == duckdb::LogicalOperatorType::LOGICAL_PROJECTION) {
      operators_.emplace(op.Cast<duckdb::LogicalProjection>().table_index, &op);
    } else if (op.type == duckdb::LogicalOperatorType::LOGICAL_AGGREGATE_AND_GROUP_BY) {
      operators_.emplace(op.Cast<duckdb::LogicalAggregate>().group_index, &op);
      groups_ = true;
    }
    for (auto& child : op.children) Collect(*child);
  }

  std::optional<ResultColumn> SourceColumn(const duckdb::LogicalGet& get, idx_t index) const {
    if (get.function.name != kScanFunctionName) return std::nullopt;
    const auto& column_ids = get.GetColumnIds();
    if (index >= column_ids.size()) return std::nullopt;
    const auto& sources = QueryState::Of(context_).sources;
    const size_t source = ScannedSource(get);
    const idx_t column = column_ids[index].GetPrimaryIndex();
    if (source >= sources.size() || column >= sources[source]->columns().size())
      return std::nullopt;
    ResultColumn origin = sources[source]->columns()[column];
    if (sources_ > 1 || groups_) origin.primary_key = origin.unique = origin.not_null = false;
    return origin;
  }

  duckdb::ClientContext& context_;
  std::unordered_map<idx_t, duckdb::LogicalOperator*>
      operators_;  // by the index of the columns that they give
  std::unordered_map<idx_t, duckdb::LogicalOperator*> common_tables_;  // their definitions
  int sources_ = 0;
  bool groups_ = false;
};

}  // namespace

std::vector<std::optional<ResultColumn>> TraceColumns(duckdb::ClientContext& context,
                                                      duckdb::LogicalOperator& plan) {
  const Tracer tracer(context, plan);
  std::vector<std::optional<ResultColumn>> origins;
  for (const ColumnBinding& binding : plan.GetColumnBindings())
    origins.push_back(tracer.Trace(binding));
  return origins;
}

}  // namespace kalam::analytics
