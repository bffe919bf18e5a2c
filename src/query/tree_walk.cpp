// Walking syntax trees.
#include "query/tree_walk.h"

namespace kalam::query {

namespace {

void VisitChild(const sql::ExprPtr& child, const std::function<void(const sql::Expr&)>& visit) {
  if (child != nullptr) ForEachExpr(*child, visit);
}

/// Visits a whole query, whatever may hold an expression.
class QueryWalk {
 public:
  explicit QueryWalk(const std::function<void(sql::Expr*)>& visit) : visit_(visit) {}

  void Query(sql::Query* query) {
    if (query == nullptr) return;
    for (sql::CommonTable& common : query->with) Query(common.query.get());
    Query(query->left.get());
    Query(query->right.get());
    for (auto& row : query->values) Exprs(row);
    Exprs(query->distinct_on);
    for (sql::SelectItem& item : query->items) Expr(item.expr.get());
    From(query->from.get());
    for (sql::ExprPtr* clause : {&query->where, &query->having, &query->limit, &query->offset})
      Expr(clause->get());
    Exprs(query->group_by);
    for (auto& [name, window] : query->windows) Window(&window);
    Order(query->order_by);
  }

 private:
  void Exprs(std::vector<sql::ExprPtr>& exprs) {
    for (sql::ExprPtr& expr : exprs) Expr(expr.get());
  }
  void Order(std::vector<sql::OrderItem>& items) {
    for (sql::OrderItem& item : items) Expr(item.expr.get());
  }
  void Window(sql::WindowSpec* window) {
    Exprs(window->partition_by);
    Order(window->order_by);
  }
  void Expr(sql::Expr* expr) {
    if (expr == nullptr) return;
    visit_(expr);
    Exprs(expr->args);
    for (sql::ExprPtr* child : {&expr->operand, &expr->else_expr, &expr->filter})
      Expr(child->get());
    Order(expr->order_by);
    if (expr->over != nullptr) Window(expr->over.get());
    Query(expr->subquery.get());
  }
  void From(sql::FromItem* item) {
    if (item == nullptr) return;
    Query(item->subquery.get());
    Expr(item->function.get());
    From(item->left.get());
    From(item->right.get());
    Expr(item->on.get());
  }

  const std::function<void(sql::Expr*)>& visit_;
};

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

void ForEachExprOfQuery(sql::Query* query, const std::function<void(sql::Expr*)>& visit) {
  QueryWalk(visit).Query(query);
}

}  // namespace kalam::query
