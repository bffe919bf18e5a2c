// Operators of GrammarTree: arithmetic, comparisons, patterns, lists, AND and OR.
#include <pg_query/pg_query.pb-c.h>

#include "sql/grammar_tree.h"

namespace kalam::sql {
namespace {

bool IsBinaryOperator(std::string_view op) {
  for (std::string_view known :
       {"+",  "-",   "*",  "/",   "%",  "^",   "||", "=",  "<>", "<", "<=", ">", ">=", "~", "~*",
        "!~", "!~*", "->", "->>", "#>", "#>>", "?",  "@>", "<@", "&", "|",  "#", "<<", ">>"}) {
    if (op == known) return true;
  }
  return false;
}

// AND and OR of many terms become a balanced tree, so that no walk over it is deep.
ExprPtr Combine(const char* op, std::vector<ExprPtr>& terms, size_t begin, size_t end) {
  if (end - begin == 1) return std::move(terms[begin]);
  // Few terms keep the shape that a reader expects.
  const size_t middle = end - begin <= 8 ? end - 1 : begin + (end - begin) / 2;
  auto expr = std::make_unique<Expr>();
  expr->kind = ExprKind::kBinary;
  expr->op = op;
  expr->args.push_back(Combine(op, terms, begin, middle));
  expr->args.push_back(Combine(op, terms, middle, end));
  expr->position = expr->args[0]->position;
  return expr;
}

}  // namespace

Result<std::string> GrammarTree::OperatorName(Nodes names, size_t count, int location) {
  const PgQuery__String* name = count > 0 ? StringOf(names[count - 1]) : nullptr;
  if (name == nullptr || count != 1) return Unsupported("operator: OPERATOR(schema.op)", location);
  return std::string(name->sval);
}

Result<ExprPtr> GrammarTree::BuildOperation(const PgQuery__AExpr& operation) {
  KALAM_ASSIGN_OR_RETURN(std::string op,
                         OperatorName(operation.name, operation.n_name, operation.location));
  switch (operation.kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
      break;
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL: {
      ExprPtr expr = Make(ExprKind::kQuantified, operation.location);
      expr->op = op;
      expr->name = operation.kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY ? "any" : "all";
      KALAM_RETURN_IF_ERROR(BuildExprs(&operation.lexpr, 1, &expr->args));
      KALAM_RETURN_IF_ERROR(BuildExprs(&operation.rexpr, 1, &expr->args));
      return expr;
    }
    case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
      op = "is distinct from";
      break;
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
      op = "is not distinct from";
      break;
    case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF: {
      ExprPtr expr = Make(ExprKind::kFunction, operation.location);
      expr->name = "nullif";
      KALAM_RETURN_IF_ERROR(BuildExprs(&operation.lexpr, 1, &expr->args));
      KALAM_RETURN_IF_ERROR(BuildExprs(&operation.rexpr, 1, &expr->args));
      return expr;
    }
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
      return BuildList(operation, ExprKind::kIn, op == "<>");
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
      return BuildList(operation, ExprKind::kBetween, false);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
      return BuildList(operation, ExprKind::kBetween, true);
    case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
      return BuildPattern(operation, "like", op == "!~~");
    case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
      return BuildPattern(operation, "ilike", op == "!~~*");
    case PG_QUERY__A__EXPR__KIND__AEXPR_SIMILAR:
      return BuildPattern(operation, "similar to", op == "!~");
    default:
      return Unsupported("operator: BETWEEN SYMMETRIC", operation.location);
  }
  const bool is_unary = operation.lexpr == nullptr;
  const bool is_known = operation.kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP ||
                        (is_unary ? op == "-" || op == "+" || op == "~" : IsBinaryOperator(op));
  if (!is_known) return Unsupported("operator: " + op, operation.location);
  ExprPtr expr = Make(is_unary ? ExprKind::kUnary : ExprKind::kBinary, operation.location);
  expr->op = op;
  if (!is_unary) KALAM_RETURN_IF_ERROR(BuildExprs(&operation.lexpr, 1, &expr->args));
  KALAM_RETURN_IF_ERROR(BuildExprs(&operation.rexpr, 1, &expr->args));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildPattern(const PgQuery__AExpr& operation, const char* op,
                                          bool negated) {
  ExprPtr expr = Make(ExprKind::kBinary, operation.location);
  const bool is_similar = std::string_view(op) == "similar to";
  expr->op = negated && !is_similar ? std::string("not ") + op : std::string(op);
  KALAM_RETURN_IF_ERROR(BuildExprs(&operation.lexpr, 1, &expr->args));
  // The grammar wraps a pattern with ESCAPE (and every SIMILAR TO pattern) into a function of its
  // own.
  const PgQuery__Node* right = operation.rexpr;
  const PgQuery__FuncCall* call =
      right != nullptr && right->node_case == PG_QUERY__NODE__NODE_FUNC_CALL ? right->func_call
                                                                             : nullptr;
  const PgQuery__String* name =
      call != nullptr && call->n_funcname == 2 ? StringOf(call->funcname[1]) : nullptr;
  const std::string_view function =
      name != nullptr ? std::string_view(name->sval) : std::string_view();
  if (function == "like_escape" || function == "similar_to_escape") {
    KALAM_RETURN_IF_ERROR(BuildExprs(call->args, call->n_args, &expr->args));
  } else {
    KALAM_RETURN_IF_ERROR(BuildExprs(&operation.rexpr, 1, &expr->args));
  }
  if (!negated || !is_similar) return expr;
  ExprPtr inverse = Make(ExprKind::kUnary, operation.location);
  inverse->op = "not";
  inverse->args.push_back(std::move(expr));
  return inverse;
}

Result<ExprPtr> GrammarTree::BuildList(const PgQuery__AExpr& operation, ExprKind kind,
                                       bool negated) {
  ExprPtr expr = Make(kind, operation.location);
  expr->negated = negated;
  KALAM_RETURN_IF_ERROR(BuildExprs(&operation.lexpr, 1, &expr->args));
  if (operation.rexpr == nullptr || operation.rexpr->node_case != PG_QUERY__NODE__NODE_LIST) {
    return Unsupported("expression", operation.location);
  }
  KALAM_RETURN_IF_ERROR(
      BuildExprs(operation.rexpr->list->items, operation.rexpr->list->n_items, &expr->args));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildBoolean(const PgQuery__BoolExpr& boolean) {
  std::vector<ExprPtr> terms;
  KALAM_RETURN_IF_ERROR(BuildExprs(boolean.args, boolean.n_args, &terms));
  if (terms.empty()) return Unsupported("expression", boolean.location);
  if (boolean.boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) {
    if (terms[0]->kind == ExprKind::kInSubquery && !terms[0]->negated) {
      terms[0]->negated = true;
      return std::move(terms[0]);
    }
    ExprPtr expr = Make(ExprKind::kUnary, boolean.location);
    expr->op = "not";
    expr->args.push_back(std::move(terms[0]));
    return expr;
  }
  return Combine(boolean.boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR ? "and" : "or", terms, 0,
                 terms.size());
}

}  // namespace kalam::sql
