// Expressions of GrammarTree.
#include <pg_query/pg_query.pb-c.h>

#include <algorithm>
#include <iterator>

#include "sql/grammar_tree.h"
#include "sql/lexer.h"
#include "types/datetime.h"

namespace kalam::sql {
namespace {

// The grammar's depth was bounded before; this bounds what we make of it, whatever the guard
// missed.
constexpr int kTreeDepthMax = 4 * kNestingDepthMax;

// What the grammar calls a type, as our types layer spells it.
std::string_view SpellingOf(std::string_view name) {
  if (name == "bpchar") return "char";
  if (name == "timestamptz") return "timestamp with time zone";
  if (name == "timetz") return "time with time zone";
  return name;
}

// A typed literal as a value, or nullopt when the text does not parse (evaluation will say why).
std::optional<Value> FoldTypedLiteral(const Value& text, const DataType& type) {
  std::string_view characters = text.datum().text();
  switch (type.kind) {
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime: {
      Result<int64_t> us = ParseTimestampUs(characters);
      if (us.ok()) return Value(Datum::OfInt(type.kind, *us));
      return std::nullopt;
    }
    case TypeKind::kDate: {
      Result<int32_t> days = ParseDateDays(characters);
      if (days.ok()) return Value(Datum::OfInt(type.kind, *days));
      return std::nullopt;
    }
    case TypeKind::kTime: {
      Result<int64_t> us = ParseTimeUs(characters);
      if (us.ok()) return Value(Datum::OfInt(type.kind, *us));
      return std::nullopt;
    }
    case TypeKind::kInterval: {
      Result<Datum::Interval> interval = ParseInterval(characters);
      if (interval.ok())
        return Value(Datum::OfInterval(interval->months, interval->days, interval->us));
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

const PgQuery__String* StringOf(const PgQuery__Node* node) {
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_STRING ? node->string : nullptr;
}

ExprPtr GrammarTree::Make(ExprKind kind, int location) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->position = Position(location);
  return expr;
}

Status GrammarTree::Unsupported(std::string_view what, int location) const {
  return Status(ErrorKind::InvalidSql, "Unsupported " + std::string(what))
      .WithPosition(Position(location));
}

Status GrammarTree::BuildExprs(Nodes nodes, size_t count, std::vector<ExprPtr>* exprs) {
  exprs->reserve(exprs->size() + count);
  for (size_t i = 0; i < count; ++i) {
    KALAM_ASSIGN_OR_RETURN(ExprPtr expr, BuildExpr(nodes[i]));
    exprs->push_back(std::move(expr));
  }
  return {};
}

Result<ExprPtr> GrammarTree::BuildOptional(const PgQuery__Node* node) {
  if (node == nullptr) return ExprPtr();
  return BuildExpr(node);
}

Result<ExprPtr> GrammarTree::BuildExpr(const PgQuery__Node* node) {
  if (node == nullptr) return Status(ErrorKind::InvalidSql, "Unsupported expression");
  if (depth_ >= kTreeDepthMax)
    return Status(ErrorKind::InvalidSql, "statement is nested too deeply (maximum 512)");
  ++depth_;
  Result<ExprPtr> expr = BuildBareExpr(*node);
  --depth_;
  return expr;
}

Result<ExprPtr> GrammarTree::BuildBareExpr(const PgQuery__Node& node) {
  ExprPtr expr;
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
      return BuildColumn(*node.column_ref);
    case PG_QUERY__NODE__NODE_A_CONST:
      return BuildConstant(*node.a_const);
    case PG_QUERY__NODE__NODE_A_EXPR:
      return BuildOperation(*node.a_expr);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
      return BuildBoolean(*node.bool_expr);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
      return BuildFunction(*node.func_call);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
      return BuildCast(*node.type_cast);
    case PG_QUERY__NODE__NODE_SUB_LINK:
      return BuildSublink(*node.sub_link);
    case PG_QUERY__NODE__NODE_CASE_EXPR:
      return BuildCase(*node.case_expr);
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      return BuildValueFunction(*node.sqlvalue_function);
    case PG_QUERY__NODE__NODE_PARAM_REF:
      expr = Make(ExprKind::kParameter, node.param_ref->location);
      expr->parameter_index = node.param_ref->number;
      return expr;
    case PG_QUERY__NODE__NODE_NULL_TEST: {
      expr = Make(ExprKind::kIsNull, node.null_test->location);
      expr->negated = node.null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL;
      KALAM_RETURN_IF_ERROR(BuildExprs(&node.null_test->arg, 1, &expr->args));
      return expr;
    }
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST: {
      expr = Make(ExprKind::kBooleanTest, node.boolean_test->location);
      const auto test = node.boolean_test->booltesttype;
      const bool is_true = test == PG_QUERY__BOOL_TEST_TYPE__IS_TRUE ||
                           test == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE;
      const bool is_false = test == PG_QUERY__BOOL_TEST_TYPE__IS_FALSE ||
                            test == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE;
      expr->op = is_true ? "true" : (is_false ? "false" : "unknown");
      expr->negated = test == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE ||
                      test == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE ||
                      test == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN;
      KALAM_RETURN_IF_ERROR(BuildExprs(&node.boolean_test->arg, 1, &expr->args));
      return expr;
    }
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      expr = Make(ExprKind::kFunction, node.coalesce_expr->location);
      expr->name = "coalesce";
      KALAM_RETURN_IF_ERROR(
          BuildExprs(node.coalesce_expr->args, node.coalesce_expr->n_args, &expr->args));
      return expr;
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
      expr = Make(ExprKind::kFunction, node.min_max_expr->location);
      expr->name =
          node.min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST ? "greatest" : "least";
      KALAM_RETURN_IF_ERROR(
          BuildExprs(node.min_max_expr->args, node.min_max_expr->n_args, &expr->args));
      return expr;
    case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
      expr = Make(ExprKind::kArray, node.a_array_expr->location);
      KALAM_RETURN_IF_ERROR(
          BuildExprs(node.a_array_expr->elements, node.a_array_expr->n_elements, &expr->args));
      return expr;
    case PG_QUERY__NODE__NODE_ROW_EXPR:
      expr = Make(ExprKind::kRow, node.row_expr->location);
      KALAM_RETURN_IF_ERROR(BuildExprs(node.row_expr->args, node.row_expr->n_args, &expr->args));
      return expr;
    case PG_QUERY__NODE__NODE_SET_TO_DEFAULT:
      if (!default_allowed_) {
        return Status(ErrorKind::InvalidSql, "DEFAULT is not allowed in this context")
            .WithPosition(Position(node.set_to_default->location));
      }
      return Make(ExprKind::kDefault, node.set_to_default->location);
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
      return BuildCollation(*node.collate_clause);
    case PG_QUERY__NODE__NODE_GROUPING_SET:
      return BuildGroupingSet(*node.grouping_set);
    case PG_QUERY__NODE__NODE_A_INDIRECTION:
      return BuildSubscript(*node.a_indirection);
    case PG_QUERY__NODE__NODE_NAMED_ARG_EXPR:
      return Unsupported("expression: named arguments", node.named_arg_expr->location);
    default:
      return Unsupported("expression", -1);
  }
}

// Text is ordered by its bytes here: that is what the collation "C" asks for, and there is no
// other.
Result<ExprPtr> GrammarTree::BuildCollation(const PgQuery__CollateClause& clause) {
  const PgQuery__String* name =
      clause.n_collname > 0 ? StringOf(clause.collname[clause.n_collname - 1]) : nullptr;
  const std::string_view collation = name == nullptr ? "" : name->sval;
  if (collation != "C" && collation != "POSIX" && collation != "ucs_basic") {
    return Unsupported("collation: text is ordered by its bytes, COLLATE \"C\"", clause.location);
  }
  return BuildExpr(clause.arg);
}

// One element, counted from 1, of an expression that is an array: columns are none.
Result<ExprPtr> GrammarTree::BuildSubscript(const PgQuery__AIndirection& indirection) {
  constexpr std::string_view kArrays[] = {"array_agg",       "json_get_array",
                                          "json_keys",       "json_object_keys",
                                          "string_to_array", "regexp_split_to_array"};
  const auto refuse = [this] {
    return Unsupported("expression: field selection, and subscripts other than [n] of an array",
                       -1);
  };
  const PgQuery__Node* index =
      indirection.n_indirection == 1 ? indirection.indirection[0] : nullptr;
  if (index == nullptr || index->node_case != PG_QUERY__NODE__NODE_A_INDICES ||
      index->a_indices->is_slice) {
    return refuse();
  }
  ExprPtr expr = Make(ExprKind::kFunction, -1);
  expr->name = "list_extract";
  KALAM_RETURN_IF_ERROR(BuildExprs(&indirection.arg, 1, &expr->args));
  const Expr& array = *expr->args[0];
  const bool is_array =
      array.kind == ExprKind::kArray ||
      (array.kind == ExprKind::kFunction &&
       std::find(std::begin(kArrays), std::end(kArrays), array.name) != std::end(kArrays));
  expr->position = array.position;
  KALAM_ASSIGN_OR_RETURN(ExprPtr at, BuildExpr(index->a_indices->uidx));
  const bool is_number = at->kind == ExprKind::kLiteral && !at->value.is_null() &&
                         at->value.kind() == TypeKind::kBigInt && at->value.datum().i >= 1;
  if (!is_array || !is_number) return refuse();
  expr->args.push_back(std::move(at));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildColumn(const PgQuery__ColumnRef& column) {
  ExprPtr expr = Make(ExprKind::kColumn, column.location);
  for (size_t i = 0; i < column.n_fields; ++i) {
    const PgQuery__Node& field = *column.fields[i];
    if (field.node_case == PG_QUERY__NODE__NODE_A_STAR) {
      expr->kind = ExprKind::kStar;
    } else if (const PgQuery__String* part = StringOf(&field)) {
      expr->name_parts.emplace_back(part->sval);
    }
  }
  if (expr->name_parts.size() > (expr->kind == ExprKind::kStar ? 3u : 4u)) {
    return Unsupported("name: too many parts", column.location);
  }
  return expr;
}

Result<ExprPtr> GrammarTree::BuildConstant(const PgQuery__AConst& constant) {
  ExprPtr expr = Make(ExprKind::kLiteral, constant.location);
  if (constant.isnull) return expr;
  switch (constant.val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL:
      expr->value = Value::BigInt(constant.ival->ival);
      return expr;
    case PG_QUERY__A__CONST__VAL_FVAL: {
      std::string_view digits = constant.fval->fval;
      const bool negative = !digits.empty() && digits[0] == '-';
      expr->value = NumberValue(negative ? digits.substr(1) : digits, negative);
      return expr;
    }
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
      expr->value = Value::Boolean(constant.boolval->boolval != 0);
      return expr;
    case PG_QUERY__A__CONST__VAL_SVAL:
      expr->value = Value::Text(constant.sval->sval);
      return expr;
    case PG_QUERY__A__CONST__VAL_BSVAL: {
      std::string_view digits = constant.bsval->bsval;
      if (digits.empty() || digits[0] != 'x' || digits.size() % 2 == 0) {
        return Unsupported("literal: bit string", constant.location);
      }
      std::string bytes;
      for (size_t i = 1; i + 1 < digits.size(); i += 2) {
        bytes.push_back(
            static_cast<char>(std::strtol(std::string(digits.substr(i, 2)).c_str(), nullptr, 16)));
      }
      expr->value = Value(Datum::Bytes(TypeKind::kBytes, bytes));
      return expr;
    }
    default:
      return Unsupported("literal", constant.location);
  }
}

Result<ExprPtr> GrammarTree::BuildFunction(const PgQuery__FuncCall& call) {
  ExprPtr expr = Make(ExprKind::kFunction, call.location);
  const PgQuery__String* schema = call.n_funcname > 1 ? StringOf(call.funcname[0]) : nullptr;
  const PgQuery__String* name =
      call.n_funcname > 0 ? StringOf(call.funcname[call.n_funcname - 1]) : nullptr;
  if (name == nullptr || call.n_funcname > 2 ||
      (schema != nullptr && std::string_view(schema->sval) != "pg_catalog")) {
    return Unsupported("function: names of functions have no schema", call.location);
  }
  if (call.agg_within_group) return Unsupported("clause: WITHIN GROUP", call.location);
  if (call.func_variadic) return Unsupported("argument: VARIADIC", call.location);
  expr->name = name->sval;
  expr->star = call.agg_star != 0;
  expr->distinct = call.agg_distinct != 0;
  KALAM_RETURN_IF_ERROR(BuildExprs(call.args, call.n_args, &expr->args));
  KALAM_RETURN_IF_ERROR(BuildOrderBy(call.agg_order, call.n_agg_order, &expr->order_by));
  KALAM_ASSIGN_OR_RETURN(expr->filter, BuildOptional(call.agg_filter));
  if (call.over != nullptr) {
    KALAM_ASSIGN_OR_RETURN(WindowSpec window, BuildWindow(*call.over));
    if (window.reference_name.empty() && call.over->name != nullptr)
      window.reference_name = call.over->name;
    expr->over = std::make_unique<WindowSpec>(std::move(window));
  }
  if (call.funcformat != PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX) return expr;
  // The spellings with keywords between their arguments.
  if (expr->name == "extract" && expr->args.size() == 2 &&
      expr->args[0]->kind == ExprKind::kLiteral) {
    expr->kind = ExprKind::kExtract;
    std::string field(expr->args[0]->value.datum().text());
    expr->name.clear();
    AppendLower(field, &expr->name);
    expr->args.erase(expr->args.begin());
  } else if (expr->name == "position") {
    expr->name = "strpos";
  } else if (expr->name == "btrim") {
    expr->name = "trim";
  }
  return expr;
}

Result<DataType> GrammarTree::BuildType(const PgQuery__TypeName& type) {
  const PgQuery__String* name = type.n_names > 0 ? StringOf(type.names[type.n_names - 1]) : nullptr;
  if (name == nullptr || type.setof || type.pct_type) return Unsupported("type", type.location);
  TypeSpelling spelling;
  spelling.name = SpellingOf(name->sval);
  spelling.is_array = type.n_array_bounds > 0;
  if (spelling.name == "interval" && !spelling.is_array) return DataType::Of(TypeKind::kInterval);
  for (size_t i = 0; i < type.n_typmods && i < 2; ++i) {
    const PgQuery__Node& modifier = *type.typmods[i];
    if (modifier.node_case == PG_QUERY__NODE__NODE_A_CONST &&
        modifier.a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
      spelling.modifiers[i] = modifier.a_const->ival->ival;
    }
  }
  Result<DataType> mapped = DataTypeFromSql(spelling);
  if (!mapped.ok()) {
    return Status(ErrorKind::InvalidSql, mapped.status().message())
        .WithPosition(Position(type.location));
  }
  return mapped;
}

Result<ExprPtr> GrammarTree::BuildCast(const PgQuery__TypeCast& cast) {
  if (cast.type_name == nullptr) return Unsupported("type", cast.location);
  KALAM_ASSIGN_OR_RETURN(DataType type, BuildType(*cast.type_name));
  KALAM_ASSIGN_OR_RETURN(ExprPtr operand, BuildExpr(cast.arg));
  if (operand->kind == ExprKind::kLiteral && operand->value.kind() == TypeKind::kText &&
      !operand->value.is_null()) {
    if (std::optional<Value> folded = FoldTypedLiteral(operand->value, type)) {
      operand->value = std::move(*folded);
      return operand;
    }
  }
  ExprPtr expr = Make(ExprKind::kCast, cast.location);
  if (expr->position < 0) expr->position = operand->position;
  expr->type = type;
  expr->args.push_back(std::move(operand));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildSublink(const PgQuery__SubLink& link) {
  ExprPtr expr = Make(ExprKind::kScalarSubquery, link.location);
  switch (link.sub_link_type) {
    case PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK:
      expr->kind = ExprKind::kExists;
      break;
    case PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK:
      break;
    case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
    case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK: {
      KALAM_RETURN_IF_ERROR(BuildExprs(&link.testexpr, 1, &expr->args));
      if (link.n_oper_name == 0) {
        expr->kind = ExprKind::kInSubquery;
        break;
      }
      expr->kind = ExprKind::kQuantified;
      expr->name = link.sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK ? "any" : "all";
      KALAM_ASSIGN_OR_RETURN(expr->op,
                             OperatorName(link.oper_name, link.n_oper_name, link.location));
      break;
    }
    default:
      return Unsupported("subquery: ARRAY(SELECT ...)", link.location);
  }
  KALAM_ASSIGN_OR_RETURN(expr->subquery, BuildSubquery(link.subselect));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildCase(const PgQuery__CaseExpr& node) {
  ExprPtr expr = Make(ExprKind::kCase, node.location);
  KALAM_ASSIGN_OR_RETURN(expr->operand, BuildOptional(node.arg));
  for (size_t i = 0; i < node.n_args; ++i) {
    if (node.args[i]->node_case != PG_QUERY__NODE__NODE_CASE_WHEN)
      return Unsupported("expression", node.location);
    KALAM_RETURN_IF_ERROR(BuildExprs(&node.args[i]->case_when->expr, 1, &expr->args));
    KALAM_RETURN_IF_ERROR(BuildExprs(&node.args[i]->case_when->result, 1, &expr->args));
  }
  KALAM_ASSIGN_OR_RETURN(expr->else_expr, BuildOptional(node.defresult));
  return expr;
}

Result<ExprPtr> GrammarTree::BuildValueFunction(const PgQuery__SQLValueFunction& function) {
  ExprPtr expr = Make(ExprKind::kFunction, function.location);
  switch (function.op) {
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE:
      expr->name = "current_date";
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIME:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIME_N:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIME:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIME_N:
      expr->name = "current_time";
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP_N:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N:
      expr->name = "current_timestamp";
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_ROLE:
      expr->kind = ExprKind::kCurrentRole;
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_USER:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_USER:
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_SESSION_USER:
      expr->kind = ExprKind::kCurrentUser;
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_CATALOG:
      expr->kind = ExprKind::kLiteral;
      expr->value = Value::Text("kalam");
      return expr;
    case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_SCHEMA:
      expr->name = "current_schema";
      return expr;
    default:
      return Unsupported("function", function.location);
  }
}

}  // namespace kalam::sql
