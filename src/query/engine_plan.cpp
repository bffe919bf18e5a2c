// Resolving a statement for the analytical engine: every table found and checked, views expanded,
// names made plain.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "query/engine_binding.h"
#include "query/names.h"
#include "query/plan.h"
#include "query/tree_walk.h"
#include "sql/engine_dialect.h"

namespace kalam::query {

namespace {

using sql::Expr;
using sql::ExprKind;
using sql::FromItem;
using sql::FromKind;
using sql::Query;

/// Views in views, and queries in queries.
constexpr int kNestingMax = 512;
/// Views that name others twice would otherwise double with every step.
constexpr int kViewsMax = 256;

class EngineBinder {
 public:
  EngineBinder(const PlanInput& input, EnginePlan* plan) : input_(input), plan_(plan) {
    if (input.context.memory != nullptr) view_trees_ = MemoryCharge(*input.context.memory, 0);
  }

  Status BindQuery(Query* query, std::string_view default_namespace,
                   std::set<std::string> common_tables) {
    if (++depth_ > kNestingMax)
      return Status(ErrorKind::InvalidSql, "views or subqueries are nested too deeply");
    for (sql::CommonTable& common : query->with) {
      if (query->recursive) common_tables.insert(common.name);
      KALAM_RETURN_IF_ERROR(BindQuery(common.query.get(), default_namespace, common_tables));
      common_tables.insert(common.name);
    }
    const Place place{default_namespace, &common_tables, query};
    for (sql::QueryPtr* side : {&query->left, &query->right}) {
      if (*side != nullptr)
        KALAM_RETURN_IF_ERROR(BindQuery(side->get(), default_namespace, common_tables));
    }
    if (query->from != nullptr) KALAM_RETURN_IF_ERROR(BindFrom(query->from.get(), place));
    KALAM_RETURN_IF_ERROR(CheckDistinctOrder(*query));
    KALAM_RETURN_IF_ERROR(BindClauses(query, place));
    plan_->has_limit |= query->limit != nullptr;
    --depth_;
    return {};
  }

 private:
  struct Place {
    std::string_view default_namespace;
    const std::set<std::string>* common_tables;
    const Query* query;
  };

  /// Of equal rows one stays: a column that is not part of them has no one value to order by.
  static Status CheckDistinctOrder(const Query& query) {
    if (!query.distinct || !query.distinct_on.empty()) return {};
    for (const sql::OrderItem& order : query.order_by) {
      if (order.expr->kind != ExprKind::kColumn) continue;
      const std::string& name = order.expr->name_parts.back();
      const bool is_selected =
          std::any_of(query.items.begin(), query.items.end(), [&](const sql::SelectItem& item) {
            return item.alias == name || item.expr->kind == ExprKind::kStar ||
                   (item.expr->kind == ExprKind::kColumn && item.expr->name_parts.back() == name);
          });
      if (!is_selected) {
        return Status(ErrorKind::InvalidSql,
                      "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
            .WithPosition(order.expr->position);
      }
    }
    return {};
  }

  Status BindClauses(Query* query, const Place& place) {
    for (sql::SelectItem& item : query->items)
      KALAM_RETURN_IF_ERROR(BindExpr(item.expr.get(), place));
    for (auto& row : query->values) KALAM_RETURN_IF_ERROR(BindExprs(row, place));
    KALAM_RETURN_IF_ERROR(BindExprs(query->distinct_on, place));
    KALAM_RETURN_IF_ERROR(BindExprs(query->group_by, place));
    for (sql::ExprPtr* clause : {&query->where, &query->having, &query->limit, &query->offset}) {
      KALAM_RETURN_IF_ERROR(BindExpr(clause->get(), place));
    }
    KALAM_RETURN_IF_ERROR(BindOrder(query->order_by, place));
    for (auto& [name, window] : query->windows) KALAM_RETURN_IF_ERROR(BindWindow(&window, place));
    return {};
  }

  Status BindExprs(std::vector<sql::ExprPtr>& exprs, const Place& place) {
    for (sql::ExprPtr& expr : exprs) KALAM_RETURN_IF_ERROR(BindExpr(expr.get(), place));
    return {};
  }

  Status BindOrder(std::vector<sql::OrderItem>& items, const Place& place) {
    for (sql::OrderItem& item : items) KALAM_RETURN_IF_ERROR(BindExpr(item.expr.get(), place));
    return {};
  }

  Status BindWindow(sql::WindowSpec* window, const Place& place) {
    KALAM_RETURN_IF_ERROR(BindExprs(window->partition_by, place));
    return BindOrder(window->order_by, place);
  }

  Status BindExpr(Expr* expr, const Place& place) {
    if (expr == nullptr) return {};
    // Every table carries an alias below, so that a column needs at most one qualifier.
    const size_t parts_max = expr->kind == ExprKind::kStar ? 1 : 2;
    if ((expr->kind == ExprKind::kColumn || expr->kind == ExprKind::kStar) &&
        expr->name_parts.size() > parts_max) {
      expr->name_parts.erase(expr->name_parts.begin(),
                             expr->name_parts.end() - static_cast<ptrdiff_t>(parts_max));
    }
    KALAM_RETURN_IF_ERROR(BindExprs(expr->args, place));
    for (sql::ExprPtr* child : {&expr->operand, &expr->else_expr, &expr->filter}) {
      KALAM_RETURN_IF_ERROR(BindExpr(child->get(), place));
    }
    KALAM_RETURN_IF_ERROR(BindOrder(expr->order_by, place));
    if (expr->over != nullptr) KALAM_RETURN_IF_ERROR(BindWindow(expr->over.get(), place));
    if (expr->subquery == nullptr) return {};
    return BindQuery(expr->subquery.get(), place.default_namespace, *place.common_tables);
  }

  Status BindFrom(FromItem* item, const Place& place) {
    switch (item->kind) {
      case FromKind::kTable:
        return BindTable(item, place);
      case FromKind::kSubquery:
        return BindQuery(item->subquery.get(), place.default_namespace, *place.common_tables);
      case FromKind::kFunction:
        if (item->function->name == "vector_search") return BindVectorSearch(item);
        return BindExpr(item->function.get(), place);
      case FromKind::kJoin:
        KALAM_RETURN_IF_ERROR(BindFrom(item->left.get(), place));
        KALAM_RETURN_IF_ERROR(BindFrom(item->right.get(), place));
        return BindExpr(item->on.get(), place);
    }
    return {};
  }

  // vector_search becomes a table of what it finds.
  Status BindVectorSearch(FromItem* item) {
    const auto refuse = [item](std::string message) {
      return Status(ErrorKind::InvalidSql, "vector_search " + std::move(message))
          .WithPosition(item->position);
    };
    const std::vector<sql::ExprPtr>& args = item->function->args;
    const auto is_literal = [&](size_t i, TypeKind kind) {
      return args[i]->kind == ExprKind::kLiteral && !args[i]->value.is_null() &&
             args[i]->value.kind() == kind;
    };
    const bool has_literals = (args.size() == 3 || args.size() == 4) &&
                              is_literal(0, TypeKind::kText) && is_literal(1, TypeKind::kText) &&
                              is_literal(2, TypeKind::kText) &&
                              (args.size() == 3 || is_literal(3, TypeKind::kBigInt));
    if (!has_literals) {
      return Status(ErrorKind::InvalidSql,
                    "vector_search(table_id, column_name, query_vector[, top_k]) expects 3 or 4 "
                    "literal arguments")
          .WithPosition(item->position);
    }
    const std::string name(args[0]->value.datum().text());
    const std::string column(args[1]->value.datum().text());
    VectorSearch search;
    search.vector = args[2]->value.datum().text();
    if (args.size() == 4) search.top_k = args[3]->value.datum().i;
    const size_t dot = name.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == name.size()) {
      return refuse("table_id must be in 'namespace.table' format, got '" + name + "'");
    }
    if (search.top_k <= 0) return refuse("top_k must be > 0");
    if (search.vector.find_first_not_of("[] \t\n") == std::string::npos)
      return refuse("query_vector cannot be empty");
    const FullName full{name.substr(0, dot), name.substr(dot + 1)};
    KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table, FindTableByName(input_.catalog, full));
    if (table == nullptr) return TableNotFound(full, item->position);
    KALAM_RETURN_IF_ERROR(CheckReadAccess(*table, input_.context.caller));
    if (table->type != catalog::TableType::kUser && table->type != catalog::TableType::kShared) {
      const bool is_stream = table->type == catalog::TableType::kStream;
      return refuse(std::string("supports only user/shared tables, got ") +
                    (is_stream ? "Stream" : "System"));
    }
    const auto position = table->FindColumn(catalog::FoldName(column));
    if (!position || (*table->columns)[*position].type.kind != TypeKind::kEmbedding) {
      return refuse("column '" + column + "' is no EMBEDDING column of " + name);
    }
    search.column = static_cast<uint32_t>(*position);
    item->kind = FromKind::kTable;
    item->function.reset();
    if (item->alias.empty()) item->alias = "vector_search";
    item->table.parts = EngineTableMarker(plan_->tables.size());
    plan_->tables.push_back({std::move(table), false, std::move(search)});
    return {};
  }

  Status BindTable(FromItem* item, const Place& place) {
    if (item->table.parts.size() == 1 && place.common_tables->contains(item->table.parts[0]))
      return {};
    KALAM_ASSIGN_OR_RETURN(const FullName name, ResolveName(item->table, place.default_namespace));
    KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table, FindTableByName(input_.catalog, name));
    if (item->alias.empty()) item->alias = item->table.parts.back();
    if (table == nullptr) {
      KALAM_ASSIGN_OR_RETURN(const auto view,
                             input_.catalog.FindView(name.namespace_id, name.name));
      if (!view.has_value()) return TableNotFound(name, item->table.position);
      return ExpandView(*view, item);
    }
    KALAM_RETURN_IF_ERROR(CheckReadAccess(*table, input_.context.caller));
    const bool include_deleted = MentionsDeleted(*place.query, item->alias);
    item->table.parts = EngineTableMarker(plan_->tables.size());
    plan_->tables.push_back({std::move(table), include_deleted});
    return {};
  }

  /// The view's text in place of its name, with the rights and the rows of whoever asks.
  Status ExpandView(const catalog::ViewDefinition& view, FromItem* item) {
    if (!view_trees_.TryResize(view_trees_.bytes() + sql::ParseBytes(view.query))) {
      return Status(ErrorKind::MemoryPressure,
                    "The server is short of memory and cannot read so large a view now; try again");
    }
    KALAM_ASSIGN_OR_RETURN(sql::Statement statement, sql::ParseStatement(view.query));
    auto* query = std::get_if<sql::QueryPtr>(&statement.body);
    if (query == nullptr) return Status(ErrorKind::Internal, "a view that is no query");
    const std::string name = view.namespace_id + "." + view.name;
    if (std::find(open_views_.begin(), open_views_.end(), name) != open_views_.end())
      return Status(ErrorKind::InvalidSql, fmt::format("view '{}' is defined by itself", name));
    if (++view_count_ > kViewsMax) {
      return Status(ErrorKind::InvalidSql,
                    fmt::format("the views of a statement hold more than {} views", kViewsMax));
    }
    open_views_.push_back(name);
    Status bound = BindQuery(query->get(), view.default_namespace, {});
    open_views_.pop_back();
    if (!bound.ok()) {
      // The view that was asked for is enough: those that it is made of are its own affair.
      if (!open_views_.empty()) return bound;
      return std::move(bound).WithContext(fmt::format("view '{}' cannot be read", name));
    }
    item->kind = FromKind::kSubquery;
    item->subquery = std::move(*query);
    if (item->column_aliases.empty()) item->column_aliases = view.column_names;
    return {};
  }

  /// Tombstones take part where the filter of this very SELECT names the table's `_deleted`.
  static bool MentionsDeleted(const Query& query, std::string_view alias) {
    bool found = false;
    if (query.where == nullptr) return false;
    ForEachExpr(*query.where, [&](const Expr& expr) {
      const auto& parts = expr.name_parts;
      if (expr.kind != ExprKind::kColumn || parts.empty() ||
          parts.back() != catalog::kDeletedColumn)
        return;
      found |= parts.size() == 1 || parts[parts.size() - 2] == alias;
    });
    return found;
  }

  const PlanInput& input_;
  EnginePlan* const plan_;
  int depth_ = 0;
  std::vector<std::string> open_views_;  // from the outermost inwards
  int view_count_ = 0;
  MemoryCharge view_trees_;
};

const FromItem* LeftmostItem(const FromItem* item) {
  while (item != nullptr && item->kind == FromKind::kJoin) item = item->left.get();
  return item;
}

/// Adds ORDER BY on the first table's key when the statement has no order and gives that column.
void AddDefaultOrder(Query* query, const EnginePlan& plan) {
  if (!query->order_by.empty() || query->set_operation != sql::SetOperation::kNone ||
      !query->values.empty())
    return;
  const FromItem* first = LeftmostItem(query->from.get());
  if (first == nullptr || first->kind != FromKind::kTable) return;
  const std::optional<size_t> index = EngineTableIndex(first->table);
  if (!index.has_value()) return;
  if (plan.tables[*index].search) return;  // comes best first
  const catalog::TableDefinition& table = *plan.tables[*index].table;
  const bool is_system =
      table.type == catalog::TableType::kSystem || table.type == catalog::TableType::kView;
  const std::optional<size_t> primary_key = table.PrimaryKey();
  if (is_system || !primary_key.has_value()) return;
  const std::string& key = (*table.columns)[*primary_key].name;
  const bool is_grouped =
      query->distinct || !query->distinct_on.empty() || !query->group_by.empty() ||
      std::any_of(query->items.begin(), query->items.end(),
                  [](const sql::SelectItem& item) { return ContainsAggregate(*item.expr); });
  bool given = false;
  for (const sql::SelectItem& item : query->items) {
    const Expr& expr = *item.expr;
    const auto& parts = expr.name_parts;
    const bool of_table = parts.size() < 2 ? true : parts[parts.size() - 2] == first->alias;
    if (expr.kind == ExprKind::kStar) given |= parts.empty() || parts.back() == first->alias;
    if (expr.kind == ExprKind::kColumn)
      given |= of_table && parts.back() == key && item.alias.empty();
  }
  if (!given || is_grouped) return;
  sql::OrderItem order;
  order.expr = std::make_unique<Expr>();
  order.expr->kind = ExprKind::kColumn;
  order.expr->name_parts = {first->alias, key};
  query->order_by.push_back(std::move(order));
}

}  // namespace

std::vector<std::string> EngineTableMarker(size_t index) { return {"#", std::to_string(index)}; }

std::optional<size_t> EngineTableIndex(const sql::TableName& name) {
  if (name.parts.size() != 2 || name.parts[0] != "#") return std::nullopt;
  return static_cast<size_t>(std::stoul(name.parts[1]));
}

Result<std::string> WriteEngineText(const EnginePlan& plan, const StatementContext& context,
                                    std::span<const Value> parameters) {
  sql::QueryPtr filled_in;
  if (!parameters.empty()) {
    filled_in = sql::Clone(*plan.query);
    ForEachExprOfQuery(filled_in.get(), [&](sql::Expr* expr) {
      const auto index = static_cast<size_t>(expr->parameter_index);
      if (expr->kind != ExprKind::kParameter || index < 1 || index > parameters.size()) return;
      expr->kind = ExprKind::kLiteral;
      expr->value = parameters[index - 1];
    });
  }
  sql::EngineNames names;
  names.current_user = context.caller.user_id;
  names.current_role = std::string(catalog::RoleName(context.caller.role));
  names.now_us = context.now_us;
  names.table = [](const sql::TableName& name) -> Result<std::string> {
    if (const std::optional<size_t> index = EngineTableIndex(name))
      return fmt::format("kalam_scan({})", *index);
    // The name of a common table expression: quoted, so that it can only be a name.
    std::string quoted = "\"";
    for (const char c : name.parts.back())
      quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + "\"";
  };
  return sql::WriteEngineSql(filled_in != nullptr ? *filled_in : *plan.query, names);
}

Result<EnginePlan> PlanEngineSelect(sql::QueryPtr query, const PlanInput& input,
                                    std::string reason) {
  EnginePlan plan;
  plan.default_namespace = input.context.default_namespace;
  plan.reason = std::move(reason);
  EngineBinder binder(input, &plan);
  KALAM_RETURN_IF_ERROR(binder.BindQuery(query.get(), input.context.default_namespace, {}));
  AddDefaultOrder(query.get(), plan);
  plan.query = std::move(query);
  // Written once now, so that what the engine must never see is an error of Prepare.
  KALAM_ASSIGN_OR_RETURN(const std::string text, WriteEngineText(plan, input.context, {}));
  return plan;
}

Result<PlanPtr> PlanSelect(sql::QueryPtr query, const PlanInput& input) {
  auto plan = std::make_shared<Plan>();
  plan->kind = PlanKind::kSelect;
  std::string reason;
  KALAM_ASSIGN_OR_RETURN(std::optional<SelectPlan> native,
                         PlanNativeSelect(*query, input, &reason));
  if (native.has_value() && native->table != nullptr &&
      (!input.native_selects || !input.engine_reason.empty())) {
    native.reset();
    reason = input.native_selects ? std::string(input.engine_reason) : "configured";
  }
  if (!native.has_value()) {
    plan->needs_worker = true;
    KALAM_ASSIGN_OR_RETURN(EnginePlan engine,
                           PlanEngineSelect(std::move(query), input, std::move(reason)));
    plan->body = std::move(engine);
    return PlanPtr(std::move(plan));
  }
  const SelectPlan& select = *native;
  const bool is_system =
      select.table != nullptr && (select.table->type == catalog::TableType::kSystem ||
                                  select.table->type == catalog::TableType::kView);
  const bool is_keyed = select.path.kind == PathKind::kKeys;
  // A scan is short when a LIMIT ends it as soon as enough rows came, whatever they are.
  const bool is_short = select.limit != nullptr && select.filter == nullptr &&
                        select.sort.empty() && !select.is_aggregate;
  plan->needs_worker = select.table != nullptr && (is_system || (!is_keyed && !is_short));
  plan->body = std::move(*native);
  return PlanPtr(std::move(plan));
}

}  // namespace kalam::query
