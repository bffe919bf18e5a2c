// From syntax tree to executable nodes, and what only the engine can do.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "query/functions.h"
#include "query/nodes.h"
#include "query/time_fields.h"
#include "query/type_rules.h"

namespace kalam::query {

namespace {

using sql::Expr;
using sql::ExprKind;

/// Depth of expression trees; the recursion of compiling and evaluating stays within a thread's
/// stack.
constexpr int kDepthMax = 600;

class ExtractNode final : public Node {
 public:
  ExtractNode(std::string field, NodePtr operand)
      : field_(std::move(field)), operand_(std::move(operand)) {
    type_ = DoubleType();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, &value));
    *out = Datum::Null(TypeKind::kDouble);
    if (value.is_null) return {};
    KALAM_ASSIGN_OR_RETURN(const double number, ExtractField(field_, value));
    *out = Datum::Double(number);
    return {};
  }

 private:
  const std::string field_;
  const NodePtr operand_;
};

Status NotNative(CompileState* state, std::string reason, int position) {
  state->engine_reason = std::move(reason);
  return Status(ErrorKind::NotAvailable,
                fmt::format("{} is not evaluated natively", state->engine_reason))
      .WithPosition(position);
}

NodePtr MakeConstant(ConstantPool::Slot slot, const DataType& type, CompileState* state) {
  return std::make_unique<ConstantNode>(state->constants->Add(std::move(slot)), type);
}

Result<std::vector<NodePtr>> CompileAll(const std::vector<sql::ExprPtr>& exprs, size_t begin,
                                        CompileState* state) {
  std::vector<NodePtr> nodes;
  nodes.reserve(exprs.size() - std::min(begin, exprs.size()));
  for (size_t i = begin; i < exprs.size(); ++i) {
    KALAM_ASSIGN_OR_RETURN(NodePtr node, Compile(*exprs[i], state));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

/// The type in which all of `nodes` can stand; quoted literals follow the others.
Result<DataType> CommonTypeOf(const std::vector<const NodePtr*>& nodes, std::string_view what,
                              int position) {
  DataType type;
  bool only_quoted = true;
  for (const NodePtr* node : nodes) {
    const DataType& next = (*node)->type();
    const bool quoted = AsConstant(*node) != nullptr && next.is_text();
    if (quoted || next.kind == TypeKind::kNull) continue;
    only_quoted = false;
    const auto common = CommonType(type, next);
    if (!common.has_value()) {
      return Status(ErrorKind::InvalidOperation,
                    fmt::format("{} types {} and {} cannot be matched", what,
                                TypeNameForMessage(type), TypeNameForMessage(next)))
          .WithPosition(position);
    }
    type = *common;
  }
  if (only_quoted) {
    for (const NodePtr* node : nodes) {
      if ((*node)->type().is_text()) return TextType();
    }
  }
  return type;
}

void CastConstantsTo(const std::vector<NodePtr*>& nodes, const DataType& type,
                     CompileState* state) {
  for (NodePtr* node : nodes) {
    if (AsConstant(*node) != nullptr && type.kind != TypeKind::kNull)
      *node = CastTo(std::move(*node), type, state->constants);
  }
}

Result<NodePtr> CompileLogic(const Expr& expr, bool is_and, CompileState* state) {
  // A chain of ANDs is one flat node, so that access paths see every conjunct.
  std::vector<NodePtr> operands;
  std::vector<const Expr*> pending{&expr};
  while (!pending.empty()) {
    const Expr* next = pending.back();
    pending.pop_back();
    if (next->kind == ExprKind::kBinary && next->op == expr.op) {
      for (auto it = next->args.rbegin(); it != next->args.rend(); ++it)
        pending.push_back(it->get());
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(NodePtr operand, CompileCondition(*next, state));
    operands.push_back(std::move(operand));
  }
  return MakeJunction(is_and, std::move(operands));
}

Result<NodePtr> CompileBinary(const Expr& expr, CompileState* state) {
  const std::string& op = expr.op;
  if (op == "and" || op == "or") return CompileLogic(expr, op == "and", state);
  constexpr std::string_view kEngineOnly[] = {
      "similar to", "not similar to", "~", "~*", "!~", "!~*", "#>", "#>>", "@>", "<@", "?|", "?&"};
  if (std::find(std::begin(kEngineOnly), std::end(kEngineOnly), op) != std::end(kEngineOnly)) {
    return NotNative(state, fmt::format("operator {}", op), expr.position);
  }
  KALAM_ASSIGN_OR_RETURN(NodePtr left, Compile(*expr.args[0], state));
  KALAM_ASSIGN_OR_RETURN(NodePtr right, Compile(*expr.args[1], state));
  constexpr std::pair<std::string_view, CompareOp> kComparisons[] = {
      {"=", CompareOp::kEqual},        {"<>", CompareOp::kNotEqual},  {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},         {"<=", CompareOp::kLessEqual}, {">", CompareOp::kGreater},
      {">=", CompareOp::kGreaterEqual}};
  for (const auto& [text, compare] : kComparisons) {
    if (op == text)
      return MakeComparison(compare, std::move(left), std::move(right), state, expr.position);
  }
  if (op == "is distinct from" || op == "is not distinct from") {
    return MakeDistinctTest(std::move(left), std::move(right), op == "is not distinct from", state,
                            expr.position);
  }
  if (op == "like" || op == "ilike" || op == "not like" || op == "not ilike") {
    NodePtr escape;
    if (expr.args.size() > 2 && expr.args[2] != nullptr) {
      KALAM_ASSIGN_OR_RETURN(escape, Compile(*expr.args[2], state));
    }
    return MakeLike(std::move(left), std::move(right), std::move(escape), op.ends_with("ilike"),
                    op.starts_with("not"));
  }
  if (op == "||") return MakeConcat(std::move(left), std::move(right));
  if (op == "->" || op == "->>" || op == "?") {
    std::vector<NodePtr> arguments;
    arguments.push_back(std::move(left));
    arguments.push_back(std::move(right));
    const std::string_view name = op == "->"    ? "json_get_json"
                                  : op == "->>" ? "json_as_text"
                                                : "json_contains";
    return MakeFunctionCall(name, std::move(arguments), state, expr.position);
  }
  return MakeArithmetic(op, std::move(left), std::move(right), state, expr.position);
}

Result<NodePtr> CompileUnary(const Expr& expr, CompileState* state) {
  if (expr.op == "not") {
    KALAM_ASSIGN_OR_RETURN(NodePtr operand, CompileCondition(*expr.args[0], state));
    return MakeNot(std::move(operand));
  }
  KALAM_ASSIGN_OR_RETURN(NodePtr operand, Compile(*expr.args[0], state));
  if (expr.op == "+") return operand;
  if (expr.op == "-") return MakeNegation(std::move(operand), state, expr.position);
  if (expr.op == "~") return MakeBitwiseNot(std::move(operand), expr.position);
  return NotNative(state, fmt::format("operator {}", expr.op), expr.position);
}

Result<NodePtr> CompileIn(const Expr& expr, CompileState* state) {
  KALAM_ASSIGN_OR_RETURN(NodePtr subject, Compile(*expr.args[0], state));
  KALAM_ASSIGN_OR_RETURN(std::vector<NodePtr> candidates, CompileAll(expr.args, 1, state));
  for (NodePtr& candidate : candidates) {
    KALAM_RETURN_IF_ERROR(UnifyForComparison(&subject, &candidate, "=", state, expr.position));
  }
  return NodePtr(
      std::make_unique<InListNode>(std::move(subject), std::move(candidates), expr.negated));
}

Result<NodePtr> CompileBetween(const Expr& expr, CompileState* state) {
  std::vector<NodePtr> bounds;
  for (const size_t bound : {size_t{1}, size_t{2}}) {
    KALAM_ASSIGN_OR_RETURN(NodePtr subject, Compile(*expr.args[0], state));
    KALAM_ASSIGN_OR_RETURN(NodePtr limit, Compile(*expr.args[bound], state));
    const CompareOp op = bound == 1 ? CompareOp::kGreaterEqual : CompareOp::kLessEqual;
    KALAM_ASSIGN_OR_RETURN(NodePtr compare, MakeComparison(op, std::move(subject), std::move(limit),
                                                           state, expr.position));
    bounds.push_back(std::move(compare));
  }
  NodePtr both = MakeJunction(true, std::move(bounds));
  return expr.negated ? MakeNot(std::move(both)) : std::move(both);
}

Result<NodePtr> CompileCase(const Expr& expr, CompileState* state) {
  std::vector<NodePtr> branches;
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    NodePtr condition;
    if (expr.operand != nullptr) {
      KALAM_ASSIGN_OR_RETURN(NodePtr subject, Compile(*expr.operand, state));
      KALAM_ASSIGN_OR_RETURN(NodePtr candidate, Compile(*expr.args[i], state));
      KALAM_ASSIGN_OR_RETURN(
          condition, MakeComparison(CompareOp::kEqual, std::move(subject), std::move(candidate),
                                    state, expr.args[i]->position));
    } else {
      KALAM_ASSIGN_OR_RETURN(condition, CompileCondition(*expr.args[i], state));
    }
    KALAM_ASSIGN_OR_RETURN(NodePtr value, Compile(*expr.args[i + 1], state));
    branches.push_back(std::move(condition));
    branches.push_back(std::move(value));
  }
  NodePtr otherwise;
  if (expr.else_expr != nullptr) {
    KALAM_ASSIGN_OR_RETURN(otherwise, Compile(*expr.else_expr, state));
  }
  std::vector<const NodePtr*> values;
  std::vector<NodePtr*> castable;
  for (size_t i = 1; i < branches.size(); i += 2) {
    values.push_back(&branches[i]);
    castable.push_back(&branches[i]);
  }
  if (otherwise != nullptr) {
    values.push_back(&otherwise);
    castable.push_back(&otherwise);
  }
  KALAM_ASSIGN_OR_RETURN(const DataType type, CommonTypeOf(values, "CASE", expr.position));
  CastConstantsTo(castable, type, state);
  return MakeCase(std::move(branches), std::move(otherwise), type);
}

/// COALESCE, NULLIF, GREATEST, LEAST; nullptr when `expr` is none of them.
Result<NodePtr> CompileConditionalFunction(const Expr& expr, CompileState* state) {
  const bool coalesce = expr.name == "coalesce" || expr.name == "ifnull" || expr.name == "nvl";
  if (expr.name == "nullif" && expr.args.size() == 2) {
    KALAM_ASSIGN_OR_RETURN(NodePtr left, Compile(*expr.args[0], state));
    KALAM_ASSIGN_OR_RETURN(NodePtr right, Compile(*expr.args[1], state));
    KALAM_RETURN_IF_ERROR(UnifyForComparison(&left, &right, "=", state, expr.position));
    return MakeNullIf(std::move(left), std::move(right));
  }
  if ((!coalesce && expr.name != "greatest" && expr.name != "least") || expr.args.empty())
    return NodePtr();
  KALAM_ASSIGN_OR_RETURN(std::vector<NodePtr> arguments, CompileAll(expr.args, 0, state));
  std::vector<const NodePtr*> values;
  std::vector<NodePtr*> castable;
  for (NodePtr& argument : arguments) {
    values.push_back(&argument);
    castable.push_back(&argument);
  }
  KALAM_ASSIGN_OR_RETURN(const DataType type,
                         CommonTypeOf(values, coalesce ? "COALESCE" : "GREATEST", expr.position));
  CastConstantsTo(castable, type, state);
  if (coalesce) return MakeCoalesce(std::move(arguments), type);
  return MakeExtreme(std::move(arguments), type, expr.name == "greatest");
}

Result<NodePtr> CompileFunction(const Expr& expr, CompileState* state) {
  if (expr.over != nullptr) return NotNative(state, "a window function", expr.position);
  if (IsAggregateName(expr.name)) {
    if (state->aggregates == nullptr) {
      return Status(ErrorKind::InvalidSql,
                    fmt::format("aggregate function {} is not allowed here", expr.name))
          .WithPosition(expr.position);
    }
    Result<ColumnSlot> slot = state->aggregates->Collect(expr);
    if (!slot.ok()) return std::move(slot).status();
    return NodePtr(std::make_unique<ColumnNode>(*slot));
  }
  if (expr.distinct || expr.star || expr.filter != nullptr || !expr.order_by.empty()) {
    return NotNative(state, fmt::format("function {} with aggregate options", expr.name),
                     expr.position);
  }
  KALAM_ASSIGN_OR_RETURN(NodePtr conditional, CompileConditionalFunction(expr, state));
  if (conditional != nullptr) return conditional;
  KALAM_ASSIGN_OR_RETURN(std::vector<NodePtr> arguments, CompileAll(expr.args, 0, state));
  return MakeFunctionCall(expr.name, std::move(arguments), state, expr.position);
}

Result<NodePtr> CompileColumn(const Expr& expr, CompileState* state) {
  const std::string& name = expr.name_parts.empty() ? expr.name : expr.name_parts.back();
  if (state->columns == nullptr) {
    return Status(ErrorKind::InvalidOperation, fmt::format("column '{}' cannot be used here", name))
        .WithPosition(expr.position);
  }
  KALAM_ASSIGN_OR_RETURN(const ColumnSlot column, state->columns->Resolve(expr));
  auto& used = state->columns_used;
  if (std::find(used.begin(), used.end(), column.slot) == used.end()) used.push_back(column.slot);
  return NodePtr(std::make_unique<ColumnNode>(column));
}

Result<NodePtr> CompileParameter(const Expr& expr, CompileState* state) {
  const size_t index = static_cast<size_t>(std::max(expr.parameter_index, 1)) - 1;
  if (index >= state->parameter_types.size()) {
    return Status(ErrorKind::ParameterBinding,
                  fmt::format("parameter ${} has no value: {} were given", index + 1,
                              state->parameter_types.size()));
  }
  return MakeConstant({expr.parameter_index, {}, {}}, state->parameter_types[index], state);
}

Result<NodePtr> CompileCast(const Expr& expr, CompileState* state) {
  KALAM_ASSIGN_OR_RETURN(NodePtr operand, Compile(*expr.args[0], state));
  if (operand->type() == expr.type) return operand;
  return CastTo(std::move(operand), expr.type, state->constants);
}

Result<NodePtr> CompileBooleanTest(const Expr& expr, CompileState* state) {
  KALAM_ASSIGN_OR_RETURN(NodePtr operand, CompileCondition(*expr.args[0], state));
  const int wanted = expr.op == "true" ? 1 : expr.op == "false" ? 0 : -1;
  return MakeBooleanTest(std::move(operand), wanted, expr.negated);
}

Result<NodePtr> CompileExtract(const Expr& expr, CompileState* state) {
  KALAM_ASSIGN_OR_RETURN(NodePtr operand, Compile(*expr.args[0], state));
  const DataType& type = operand->type();
  if (type.is_text()) operand = CastTo(std::move(operand), TimestampType(), state->constants);
  if (!operand->type().is_temporal() && operand->type().kind != TypeKind::kInterval &&
      operand->type().kind != TypeKind::kNull) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("EXTRACT does not take a value of type {}",
                              TypeNameForMessage(operand->type())))
        .WithPosition(expr.position);
  }
  return NodePtr(std::make_unique<ExtractNode>(expr.name, std::move(operand)));
}

Result<NodePtr> CompileByKind(const Expr& expr, CompileState* state) {
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return MakeConstant({0, expr.value, {}}, TypeOfValue(expr.value), state);
    case ExprKind::kParameter:
      return CompileParameter(expr, state);
    case ExprKind::kColumn:
      return CompileColumn(expr, state);
    case ExprKind::kUnary:
      return CompileUnary(expr, state);
    case ExprKind::kBinary:
      return CompileBinary(expr, state);
    case ExprKind::kIsNull: {
      KALAM_ASSIGN_OR_RETURN(NodePtr operand, Compile(*expr.args[0], state));
      return MakeIsNull(std::move(operand), expr.negated);
    }
    case ExprKind::kBooleanTest:
      return CompileBooleanTest(expr, state);
    case ExprKind::kIn:
      return CompileIn(expr, state);
    case ExprKind::kBetween:
      return CompileBetween(expr, state);
    case ExprKind::kFunction:
      return CompileFunction(expr, state);
    case ExprKind::kCase:
      return CompileCase(expr, state);
    case ExprKind::kCast:
      return CompileCast(expr, state);
    case ExprKind::kCurrentUser:
      return MakeFunctionCall("kdb_current_user", {}, state, expr.position);
    case ExprKind::kCurrentRole:
      return MakeFunctionCall("kdb_current_role", {}, state, expr.position);
    case ExprKind::kExtract:
      return CompileExtract(expr, state);
    case ExprKind::kExists:
    case ExprKind::kScalarSubquery:
    case ExprKind::kInSubquery:
    case ExprKind::kQuantified:
      return NotNative(state, "a subquery", expr.position);
    case ExprKind::kArray:
    case ExprKind::kRow:
      return NotNative(state, "an array or row value", expr.position);
    case ExprKind::kStar:
      return Status(ErrorKind::InvalidSql, "* is not allowed here").WithPosition(expr.position);
    case ExprKind::kDefault:
      return Status(ErrorKind::InvalidSql, "DEFAULT is not allowed in this context")
          .WithPosition(expr.position);
  }
  return Status(ErrorKind::Internal, "unknown kind of expression");
}

}  // namespace

Result<NodePtr> Compile(const Expr& expr, CompileState* state) {
  if (state->depth >= kDepthMax)
    return Status(ErrorKind::InvalidSql, "the expression is nested too deeply");
  ++state->depth;
  Result<NodePtr> node = CompileByKind(expr, state);
  --state->depth;
  return node;
}

Result<NodePtr> CompileCondition(const Expr& expr, CompileState* state) {
  KALAM_ASSIGN_OR_RETURN(NodePtr node, Compile(expr, state));
  const DataType& type = node->type();
  if (type.kind == TypeKind::kBoolean || type.kind == TypeKind::kNull) return node;
  if (type.is_text() && AsConstant(node) != nullptr)
    return CastTo(std::move(node), BooleanType(), state->constants);
  return Status(
             ErrorKind::InvalidOperation,
             fmt::format("a condition must be of type boolean, not {}", TypeNameForMessage(type)))
      .WithPosition(expr.position);
}

bool IsAggregateName(std::string_view name) {
  constexpr std::array<std::string_view, 27> kNames = {
      "count",           "sum",        "avg",         "min",         "max",
      "string_agg",      "array_agg",  "bool_and",    "bool_or",     "every",
      "stddev",          "stddev_pop", "stddev_samp", "variance",    "var_pop",
      "var_samp",        "median",     "mode",        "first_value", "last_value",
      "approx_distinct", "corr",       "covar_pop",   "covar_samp",  "bit_and",
      "bit_or",          "json_agg"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

bool ContainsAggregate(const Expr& expr) {
  if (expr.kind == ExprKind::kFunction && expr.over == nullptr && IsAggregateName(expr.name))
    return true;
  const auto contains = [](const sql::ExprPtr& child) {
    return child != nullptr && ContainsAggregate(*child);
  };
  return std::any_of(expr.args.begin(), expr.args.end(), contains) || contains(expr.operand) ||
         contains(expr.else_expr);
}

}  // namespace kalam::query
