// Walking syntax trees.
#include "query/tree_walk.h"

namespace kalam::query {

namespace {

void VisitChild(const sql::ExprPtr& child, const std::function<void(const sql::Expr&)>& visit) {
  if (child != nullptr) ForEachExpr(*child, visit);
}

}  // namespace

void ForEachExpr(const sql::Expr& expr, const std::function<void(const sql::Expr&)>& visit) {
  visit(expr);
  for (const sql::ExprPtr& argument : expr.args) VisitChild(argument, visit);
  VisitChild(expr.operand, visit);
  VisitChild(expr.else_expr, visit);
  VisitChild(expr.filter, visit);
  for (const sql::OrderItem& item : expr.order_by) VisitChild(item.expr, visit);
  if (expr.over == nullptr) return;
  for (const sql::ExprPtr& partition : expr.over->partition_by) VisitChild(partition, visit);
  for (const sql::OrderItem& item : expr.over->order_by) VisitChild(item.expr, visit);
}

bool MentionsColumn(const sql::Expr& expr, std::string_view column) {
  bool found = false;
  ForEachExpr(expr, [&](const sql::Expr& next) {
    found |= next.kind == sql::ExprKind::kColumn && !next.name_parts.empty() &&
             next.name_parts.back() == column;
  });
  return found;
}

}  // namespace kalam::query
