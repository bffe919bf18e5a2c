// Planning single-table SELECTs for the native engine.
#include <fmt/core.h>

#include <algorithm>

#include "query/names.h"
#include "query/plan.h"
#include "query/tree_walk.h"
#include "query/type_rules.h"
#include "query/vector_distance.h"

namespace kalam::query {

namespace {

using sql::Expr;
using sql::ExprKind;

class SelectPlanner {
 public:
  SelectPlanner(const sql::Query& query, const PlanInput& input) : query_(query), input_(input) {}

  /// Errors with `engine_reason()` set mean: not natively.
  Result<SelectPlan> Run() {
    KALAM_RETURN_IF_ERROR(CheckShape());
    KALAM_RETURN_IF_ERROR(BindTable());
    state_.parameter_types = input_.parameter_types;
    state_.constants = &plan_.constants;
    state_.columns = scope_.get();
    if (query_.where != nullptr) {
      KALAM_ASSIGN_OR_RETURN(plan_.filter, CompileCondition(*query_.where, &state_));
    }
    plan_.is_aggregate = HasAggregates();
    KALAM_RETURN_IF_ERROR(plan_.is_aggregate ? PlanAggregateOutputs() : PlanOutputs());
    if (!plan_.is_aggregate) KALAM_RETURN_IF_ERROR(PlanSort());
    KALAM_RETURN_IF_ERROR(PlanLimits());
    if (plan_.table != nullptr) {
      plan_.path = ChoosePath(*plan_.table, plan_.filter.get());
      if (!plan_.is_aggregate) ChooseOrder();
      KALAM_RETURN_IF_ERROR(PlanVectorOrder());
    }
    plan_.wanted = state_.columns_used;
    std::sort(plan_.wanted.begin(), plan_.wanted.end());
    return std::move(plan_);
  }

  const std::string& engine_reason() const { return state_.engine_reason; }

 private:
  Status NotNative(std::string reason) {
    state_.engine_reason = std::move(reason);
    return Status(ErrorKind::NotAvailable, state_.engine_reason + " is not evaluated natively");
  }

  Status CheckShape() {
    if (!query_.with.empty()) return NotNative("WITH");
    if (query_.set_operation != sql::SetOperation::kNone) return NotNative("a set operation");
    if (!query_.values.empty()) return NotNative("VALUES");
    if (query_.distinct || !query_.distinct_on.empty()) return NotNative("DISTINCT");
    if (!query_.group_by.empty()) return NotNative("GROUP BY");
    if (query_.having != nullptr) return NotNative("HAVING");
    if (!query_.windows.empty()) return NotNative("a window function");
    if (query_.from != nullptr && query_.from->kind != sql::FromKind::kTable) {
      return NotNative(
          query_.from->kind == sql::FromKind::kJoin ? "a join" : "a subquery or function in FROM");
    }
    return {};
  }

  Status BindTable() {
    if (query_.from == nullptr) return {};
    const sql::FromItem& from = *query_.from;
    KALAM_ASSIGN_OR_RETURN(const FullName name,
                           ResolveName(from.table, input_.context.default_namespace));
    KALAM_ASSIGN_OR_RETURN(plan_.table, FindTableByName(input_.catalog, name));
    if (plan_.table == nullptr) {
      KALAM_ASSIGN_OR_RETURN(const auto view,
                             input_.catalog.FindView(name.namespace_id, name.name));
      if (view.has_value()) return NotNative("a view");
      return TableNotFound(name, from.table.position);
    }
    KALAM_RETURN_IF_ERROR(CheckReadAccess(*plan_.table, input_.context.caller));
    if (!from.column_aliases.empty()) return NotNative("column aliases in FROM");
    scope_ = std::make_unique<TableScope>(plan_.table, from.alias);
    plan_.include_deleted =
        query_.where != nullptr && MentionsColumn(*query_.where, catalog::kDeletedColumn);
    return {};
  }

  bool HasAggregates() const {
    return std::any_of(query_.items.begin(), query_.items.end(),
                       [](const sql::SelectItem& item) { return ContainsAggregate(*item.expr); });
  }

  void AddOutput(NodePtr node, std::string name) {
    ResultColumn column;
    column.name = std::move(name);
    column.type = node->type().kind == TypeKind::kNull ? TextType() : node->type();
    if (const ColumnNode* source = AsColumn(*node); source != nullptr && !plan_.is_aggregate) {
      const catalog::ColumnDefinition& definition = (*plan_.table->columns)[source->slot()];
      column.primary_key = column.unique = definition.primary_key;
      column.not_null = !definition.nullable;
    }
    plan_.schema.push_back(std::move(column));
    plan_.outputs.push_back(std::move(node));
  }

  Status AddStar(const Expr& star) {
    if (plan_.table == nullptr) {
      return Status(ErrorKind::InvalidSql, "SELECT * with no tables specified is not valid")
          .WithPosition(star.position);
    }
    if (!scope_->Qualifies(star.name_parts, star.name_parts.size())) {
      return UnknownColumn(star, plan_.table.get());
    }
    for (size_t i = 0; i < plan_.table->columns->size(); ++i) {
      const catalog::ColumnDefinition& definition = (*plan_.table->columns)[i];
      if (std::find(state_.columns_used.begin(), state_.columns_used.end(), i) ==
          state_.columns_used.end()) {
        state_.columns_used.push_back(static_cast<uint32_t>(i));
      }
      AddOutput(std::make_unique<ColumnNode>(ColumnSlot{static_cast<uint32_t>(i), definition.type}),
                definition.name);
    }
    return {};
  }

  void NameOutput(const sql::SelectItem& item, NodePtr node) {
    AddOutput(std::move(node), item.alias.empty() ? sql::ResultName(*item.expr) : item.alias);
  }

  Status PlanOutputs() {
    for (const sql::SelectItem& item : query_.items) {
      if (item.expr->kind == ExprKind::kStar) {
        KALAM_RETURN_IF_ERROR(AddStar(*item.expr));
        continue;
      }
      KALAM_ASSIGN_OR_RETURN(NodePtr node, Compile(*item.expr, &state_));
      NameOutput(item, std::move(node));
    }
    return {};
  }

  /// Columns outside of an aggregate's parentheses have no single value here.
  class UngroupedScope final : public ColumnScope {
   public:
    explicit UngroupedScope(const ColumnScope* table) : table_(table) {}
    Result<ColumnSlot> Resolve(const Expr& column) const override {
      if (table_ != nullptr) {
        if (Result<ColumnSlot> known = table_->Resolve(column); !known.ok()) return known;
      }
      return Status(
                 ErrorKind::InvalidSql,
                 fmt::format("column '{}' must appear in the GROUP BY clause or be used in an "
                             "aggregate function",
                             column.name_parts.empty() ? std::string() : column.name_parts.back()))
          .WithPosition(column.position);
    }

   private:
    const ColumnScope* const table_;
  };

  class Collector final : public AggregateCollector {
   public:
    Collector(CompileState* inner, std::vector<AggregateCall>* calls)
        : inner_(inner), calls_(calls) {}
    Result<ColumnSlot> Collect(const Expr& call) override {
      KALAM_ASSIGN_OR_RETURN(AggregateCall aggregate, CompileAggregate(call, inner_));
      calls_->push_back(std::move(aggregate));
      return ColumnSlot{static_cast<uint32_t>(calls_->size() - 1), calls_->back().type};
    }

   private:
    CompileState* const inner_;
    std::vector<AggregateCall>* const calls_;
  };

  Status PlanAggregateOutputs() {
    UngroupedScope ungrouped(scope_.get());
    Collector collector(&state_, &plan_.aggregates);
    CompileState outer;
    outer.columns = &ungrouped;
    outer.aggregates = &collector;
    outer.parameter_types = state_.parameter_types;
    outer.constants = state_.constants;
    for (const sql::SelectItem& item : query_.items) {
      Result<NodePtr> node = Compile(*item.expr, &outer);
      if (!node.ok()) {
        if (!outer.engine_reason.empty()) state_.engine_reason = outer.engine_reason;
        return std::move(node).status();
      }
      NameOutput(item, std::move(*node));
    }
    return {};
  }

  /// ORDER BY 2, ORDER BY alias, or an expression over the table's columns.
  Result<SortKey> PlanSortKey(const sql::OrderItem& item) {
    SortKey key;
    key.order.descending = item.descending;
    key.order.nulls_first = item.nulls_first.value_or(item.descending);
    const Expr& expr = *item.expr;
    if (expr.kind == ExprKind::kLiteral && DataType::Of(expr.value.kind()).is_integer()) {
      const int64_t position = expr.value.datum().i;
      if (position < 1 || position > static_cast<int64_t>(plan_.outputs.size())) {
        return Status(ErrorKind::InvalidSql,
                      fmt::format("ORDER BY position {} is not in select list", position))
            .WithPosition(expr.position);
      }
      key.output = static_cast<size_t>(position - 1);
      return key;
    }
    if (expr.kind == ExprKind::kColumn && expr.name_parts.size() == 1) {
      for (size_t i = 0; i < query_.items.size() && !HasStar(); ++i) {
        if (query_.items[i].alias == expr.name_parts[0]) {
          key.output = i;
          return key;
        }
      }
      // With a star the outputs no longer stand one to one with the items: look by name among the
      // result's columns.
      for (size_t i = 0; i < plan_.schema.size() && HasStar(); ++i) {
        if (plan_.schema[i].name == expr.name_parts[0]) {
          key.output = i;
          return key;
        }
      }
    }
    KALAM_ASSIGN_OR_RETURN(key.node, Compile(expr, &state_));
    return key;
  }

  bool HasStar() const {
    return std::any_of(query_.items.begin(), query_.items.end(), [](const sql::SelectItem& item) {
      return item.expr->kind == ExprKind::kStar;
    });
  }

  Status PlanSort() {
    for (const sql::OrderItem& item : query_.order_by) {
      KALAM_ASSIGN_OR_RETURN(SortKey key, PlanSortKey(item));
      plan_.sort.push_back(std::move(key));
    }
    return {};
  }

  Status PlanLimit(const sql::ExprPtr& expr, std::string_view what, NodePtr* node) {
    if (expr == nullptr) return {};
    CompileState state;
    state.parameter_types = state_.parameter_types;
    state.constants = state_.constants;
    KALAM_ASSIGN_OR_RETURN(*node, Compile(*expr, &state));
    *node = CastTo(std::move(*node), BigIntType(), state_.constants);
    if (!(*node)->is_statement_constant()) {
      return Status(ErrorKind::InvalidSql, fmt::format("{} must be a constant", what))
          .WithPosition(expr->position);
    }
    return {};
  }

  Status PlanLimits() {
    KALAM_RETURN_IF_ERROR(PlanLimit(query_.limit, "LIMIT", &plan_.limit));
    return PlanLimit(query_.offset, "OFFSET", &plan_.offset);
  }

  const Node& SortNode(const SortKey& key) const {
    return key.output.has_value() ? *plan_.outputs[*key.output] : *key.node;
  }

  bool IsOutput(size_t column) const {
    return std::any_of(plan_.outputs.begin(), plan_.outputs.end(), [&](const NodePtr& node) {
      const ColumnNode* source = AsColumn(*node);
      return source != nullptr && source->slot() == column;
    });
  }

  /// Lets the scan give the order where its own is the wanted one; adds the default order where it
  /// is not.
  void ChooseOrder() {
    using catalog::TableType;
    const TableType type = plan_.table->type;
    if (type == TableType::kSystem || type == TableType::kView) return;
    const std::optional<size_t> primary_key = plan_.table->PrimaryKey();
    const std::optional<size_t> seq = plan_.table->FindColumn(catalog::kSeqColumn);
    const bool is_stream = type == TableType::kStream;
    bool by_seq = is_stream || plan_.path.kind == PathKind::kSeqRange;
    if (!plan_.sort.empty()) {
      const ColumnNode* first = AsColumn(SortNode(plan_.sort[0]));
      if (first == nullptr) return;
      // `_seq` order is a scan of its own, where the path does not already follow the key.
      if (!by_seq && plan_.path.kind == PathKind::kFullScan && first->slot() == seq) {
        plan_.path.kind = PathKind::kSeqRange;
        by_seq = true;
      }
      const bool given = by_seq ? first->slot() == seq : first->slot() == primary_key;
      const bool descending = plan_.sort[0].order.descending;
      if (!given || (descending && plan_.path.kind == PathKind::kKeys)) return;
      plan_.scan_descending = descending;
      plan_.sort.clear();
      return;
    }
    const std::optional<size_t> wanted = primary_key.has_value() ? primary_key : seq;
    if (!by_seq || !wanted.has_value() || wanted == seq || !IsOutput(*wanted)) return;
    SortKey key;
    key.node = std::make_unique<ColumnNode>(
        ColumnSlot{static_cast<uint32_t>(*wanted), (*plan_.table->columns)[*wanted].type});
    plan_.sort.push_back(std::move(key));
    plan_.sort_is_default = true;
  }

  /// The expression that an ORDER BY item stands for.
  const Expr& SortExpression(const sql::OrderItem& item) const {
    const SortKey& key = plan_.sort[0];
    if (!key.output.has_value() || HasStar()) return *item.expr;
    return *query_.items[*key.output].expr;
  }

  /// Recognises ORDER BY distance(column, vector) LIMIT n over a whole scope.
  Status PlanVectorOrder() {
    if (plan_.sort.empty() || query_.order_by.empty() || plan_.limit == nullptr) return {};
    if (plan_.is_aggregate || plan_.include_deleted) return {};
    if (plan_.path.kind != PathKind::kFullScan) return {};
    const bool indexable = plan_.table->type == catalog::TableType::kUser ||
                           plan_.table->type == catalog::TableType::kShared;
    const Expr& distance = SortExpression(query_.order_by[0]);
    if (!indexable || distance.kind != ExprKind::kFunction || distance.args.size() != 2) return {};
    const std::optional<vectors::Metric> metric = MetricOfDistance(distance.name);
    if (!metric || plan_.sort[0].order.descending != (*metric == vectors::Metric::kDot)) return {};
    if (distance.args[0]->kind != ExprKind::kColumn) return {};
    KALAM_ASSIGN_OR_RETURN(const ColumnSlot column, scope_->Resolve(*distance.args[0]));
    if (column.type.kind != TypeKind::kEmbedding) return {};
    KALAM_ASSIGN_OR_RETURN(NodePtr query, Compile(*distance.args[1], &state_));
    if (!query->is_statement_constant()) return {};
    plan_.vector_order = {column.slot, *metric, std::move(query)};
    return {};
  }

  const sql::Query& query_;
  const PlanInput& input_;
  SelectPlan plan_;
  std::unique_ptr<TableScope> scope_;
  CompileState state_;
};

}  // namespace

Result<std::optional<SelectPlan>> PlanNativeSelect(const sql::Query& query, const PlanInput& input,
                                                   std::string* engine_reason) {
  SelectPlanner planner(query, input);
  Result<SelectPlan> plan = planner.Run();
  if (plan.ok()) return std::optional<SelectPlan>(std::move(*plan));
  if (planner.engine_reason().empty()) return std::move(plan).status();
  *engine_reason = planner.engine_reason();
  return std::optional<SelectPlan>();
}

}  // namespace kalam::query
