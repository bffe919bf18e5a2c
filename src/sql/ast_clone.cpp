// Deep copies of trees, declared in ast.h.
#include "sql/ast.h"

namespace kalam::sql {
namespace {

ExprPtr CloneOptional(const ExprPtr& expr) { return expr ? Clone(*expr) : nullptr; }
QueryPtr CloneOptional(const QueryPtr& query) { return query ? Clone(*query) : nullptr; }

std::vector<ExprPtr> CloneAll(const std::vector<ExprPtr>& exprs) {
  std::vector<ExprPtr> copies;
  copies.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) copies.push_back(CloneOptional(expr));
  return copies;
}

std::vector<OrderItem> CloneAll(const std::vector<OrderItem>& items) {
  std::vector<OrderItem> copies;
  copies.reserve(items.size());
  for (const OrderItem& item : items) {
    OrderItem copy;
    copy.expr = CloneOptional(item.expr);
    copy.descending = item.descending;
    copy.nulls_first = item.nulls_first;
    copies.push_back(std::move(copy));
  }
  return copies;
}

WindowSpec CloneWindow(const WindowSpec& window) {
  WindowSpec copy;
  copy.reference_name = window.reference_name;
  copy.partition_by = CloneAll(window.partition_by);
  copy.order_by = CloneAll(window.order_by);
  copy.frame = window.frame;
  return copy;
}

std::unique_ptr<FromItem> CloneFrom(const FromItem& item) {
  auto copy = std::make_unique<FromItem>();
  copy->kind = item.kind;
  copy->position = item.position;
  copy->table = item.table;
  copy->subquery = CloneOptional(item.subquery);
  copy->lateral = item.lateral;
  copy->function = CloneOptional(item.function);
  copy->join = item.join;
  copy->natural = item.natural;
  if (item.left) copy->left = CloneFrom(*item.left);
  if (item.right) copy->right = CloneFrom(*item.right);
  copy->on = CloneOptional(item.on);
  copy->using_columns = item.using_columns;
  copy->alias = item.alias;
  copy->column_aliases = item.column_aliases;
  return copy;
}

}  // namespace

ExprPtr Clone(const Expr& expr) {
  auto copy = std::make_unique<Expr>();
  copy->kind = expr.kind;
  copy->position = expr.position;
  copy->op = expr.op;
  copy->name = expr.name;
  copy->name_parts = expr.name_parts;
  copy->value = expr.value;
  copy->parameter_index = expr.parameter_index;
  copy->negated = expr.negated;
  copy->distinct = expr.distinct;
  copy->star = expr.star;
  copy->type = expr.type;
  copy->args = CloneAll(expr.args);
  copy->operand = CloneOptional(expr.operand);
  copy->else_expr = CloneOptional(expr.else_expr);
  copy->filter = CloneOptional(expr.filter);
  copy->order_by = CloneAll(expr.order_by);
  if (expr.over) copy->over = std::make_unique<WindowSpec>(CloneWindow(*expr.over));
  copy->subquery = CloneOptional(expr.subquery);
  return copy;
}

QueryPtr Clone(const Query& query) {
  auto copy = std::make_unique<Query>();
  for (const CommonTable& table : query.with) {
    copy->with.push_back({table.name, table.column_names, CloneOptional(table.query)});
  }
  copy->recursive = query.recursive;
  copy->set_operation = query.set_operation;
  copy->left = CloneOptional(query.left);
  copy->right = CloneOptional(query.right);
  for (const std::vector<ExprPtr>& row : query.values) copy->values.push_back(CloneAll(row));
  copy->distinct = query.distinct;
  copy->distinct_on = CloneAll(query.distinct_on);
  for (const SelectItem& item : query.items)
    copy->items.push_back({CloneOptional(item.expr), item.alias});
  if (query.from) copy->from = CloneFrom(*query.from);
  copy->where = CloneOptional(query.where);
  copy->having = CloneOptional(query.having);
  copy->group_by = CloneAll(query.group_by);
  for (const auto& [name, window] : query.windows)
    copy->windows.emplace_back(name, CloneWindow(window));
  copy->order_by = CloneAll(query.order_by);
  copy->limit = CloneOptional(query.limit);
  copy->offset = CloneOptional(query.offset);
  return copy;
}

}  // namespace kalam::sql
