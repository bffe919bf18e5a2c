// Expressions as text; see tree_writer.h.
#include "sql/tree_writer.h"

#include "types/convert.h"
#include "types/datetime.h"
#include "types/decimal.h"

namespace kalam::sql {
namespace {

// Binding strength, as in PostgreSQL's table of operators.
enum Precedence {
  kOr = 1,
  kAnd,
  kNot,
  kIs,
  kComparison,
  kPattern,
  kOtherOperator,
  kSum,
  kProduct,
  kPower,
  kSign,
  kPrimary,
};

int BinaryPrecedence(std::string_view op) {
  if (op == "or") return kOr;
  if (op == "and") return kAnd;
  if (op == "is distinct from" || op == "is not distinct from") return kIs;
  if (op == "=" || op == "<>" || op == "<" || op == "<=" || op == ">" || op == ">=")
    return kComparison;
  if (op == "like" || op == "ilike" || op == "not like" || op == "not ilike" || op == "similar to")
    return kPattern;
  if (op == "+" || op == "-") return kSum;
  if (op == "*" || op == "/" || op == "%") return kProduct;
  if (op == "^") return kPower;
  return kOtherOperator;
}

int PrecedenceOf(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kUnary:
      return expr.op == "not" ? kNot : kSign;
    case ExprKind::kBinary:
      return BinaryPrecedence(expr.op);
    case ExprKind::kIsNull:
    case ExprKind::kBooleanTest:
      return kIs;
    case ExprKind::kIn:
    case ExprKind::kBetween:
    case ExprKind::kInSubquery:
      return kPattern;
    case ExprKind::kQuantified:
      return kComparison;
    default:
      return kPrimary;
  }
}

bool IsNumber(TypeKind kind) { return DataType::Of(kind).is_numeric(); }

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return upper;
}

}  // namespace

void TreeWriter::WriteQuoted(std::string_view text) {
  out_.push_back('\'');
  for (char c : text) {
    if (c == '\'') out_.push_back('\'');
    out_.push_back(c);
  }
  out_.push_back('\'');
}

Status TreeWriter::WriteName(std::string_view name) {
  bool is_plain = !name.empty() && !(name[0] >= '0' && name[0] <= '9');
  for (char c : name)
    is_plain = is_plain && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
  if (is_plain) {
    out_.append(name);
    return {};
  }
  out_.push_back('"');
  for (char c : name) {
    if (c == '"') out_.push_back('"');
    out_.push_back(c);
  }
  out_.push_back('"');
  return {};
}

Status TreeWriter::WriteNames(const std::vector<std::string>& names) {
  bool first = true;
  for (const std::string& name : names) {
    if (!first) WriteText(", ");
    first = false;
    KALAM_RETURN_IF_ERROR(WriteName(name));
  }
  return {};
}

Status TreeWriter::WriteColumn(const Expr& expr) {
  bool first = true;
  for (const std::string& part : expr.name_parts) {
    if (!first) out_.push_back('.');
    first = false;
    KALAM_RETURN_IF_ERROR(WriteName(part));
  }
  return {};
}

Status TreeWriter::WriteLiteral(const Value& value) {
  if (value.is_null()) {
    WriteText("NULL");
    return {};
  }
  Datum datum = value.datum();
  switch (datum.kind) {
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      WriteQuoted(datum.text());
      return {};
    case TypeKind::kBoolean:
      WriteText(datum.boolean() ? "true" : "false");
      return {};
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      WriteText("TIMESTAMP '" + FormatTimestamp(datum.i) + "'");
      return {};
    case TypeKind::kDate:
      WriteText("DATE '" + FormatDate(static_cast<int32_t>(datum.i)) + "'");
      return {};
    case TypeKind::kTime:
      WriteText("TIME '" + FormatTime(datum.i) + "'");
      return {};
    case TypeKind::kInterval:
      WriteText("INTERVAL '" + FormatInterval(datum.interval) + "'");
      return {};
    case TypeKind::kBytes: {
      static constexpr char kHex[] = "0123456789abcdef";
      WriteText("X'");
      for (char c : datum.text()) {
        out_.push_back(kHex[static_cast<uint8_t>(c) >> 4]);
        out_.push_back(kHex[static_cast<uint8_t>(c) & 15]);
      }
      WriteText("'");
      return {};
    }
    default:
      WriteText(kalam::ToText(datum));
      return {};
  }
}

Status TreeWriter::WriteExpr(const Expr& expr, int precedence_min) {
  const int precedence = PrecedenceOf(expr);
  const bool parenthesise =
      precedence < precedence_min || (always_parenthesises() && precedence < kPrimary);
  if (parenthesise) out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteBare(expr));
  if (parenthesise) out_.push_back(')');
  return {};
}

Status TreeWriter::WriteBare(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return WriteLiteral(expr.value);
    case ExprKind::kParameter:
      WriteText("$" + std::to_string(expr.parameter_index));
      return {};
    case ExprKind::kColumn:
      return WriteColumn(expr);
    case ExprKind::kStar:
      for (const std::string& part : expr.name_parts) {
        KALAM_RETURN_IF_ERROR(WriteName(part));
        out_.push_back('.');
      }
      out_.push_back('*');
      return {};
    case ExprKind::kUnary:
      return WriteUnary(expr);
    case ExprKind::kBinary:
      return WriteBinary(expr);
    case ExprKind::kFunction:
      return WriteFunction(expr);
    case ExprKind::kCase:
      return WriteCase(expr);
    case ExprKind::kCast:
      return WriteCast(expr);
    case ExprKind::kExists:
      WriteText("EXISTS ");
      return WriteSubquery(*expr.subquery);
    case ExprKind::kScalarSubquery:
      return WriteSubquery(*expr.subquery);
    case ExprKind::kArray:
      return WriteArray(expr);
    case ExprKind::kRow:
      WriteText(expr.args.size() < 2 ? "ROW(" : "(");
      KALAM_RETURN_IF_ERROR(WriteArguments(expr.args));
      out_.push_back(')');
      return {};
    case ExprKind::kDefault:
      return WriteDefault(expr);
    case ExprKind::kBooleanTest:
      return WriteTest(expr);
    case ExprKind::kCurrentUser:
    case ExprKind::kCurrentRole:
      return WriteIdentity(expr);
    case ExprKind::kExtract:
      return WriteExtract(expr);
    default:
      return WritePredicate(expr);
  }
}

Status TreeWriter::WriteDefault(const Expr&) {
  WriteText("DEFAULT");
  return {};
}

Status TreeWriter::WriteTest(const Expr& expr) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0], kPredicateOperand));
  WriteText((expr.negated ? " IS NOT " : " IS ") + Upper(expr.op));
  return {};
}

Status TreeWriter::WritePredicate(const Expr& expr) {
  KALAM_RETURN_IF_ERROR(WriteInOperand(*expr.args[0]));
  switch (expr.kind) {
    case ExprKind::kIsNull:
      WriteText(expr.negated ? " IS NOT NULL" : " IS NULL");
      return {};
    case ExprKind::kIn:
      WriteText(expr.negated ? " NOT IN (" : " IN (");
      for (size_t i = 1; i < expr.args.size(); ++i) {
        if (i > 1) WriteText(", ");
        KALAM_RETURN_IF_ERROR(WriteInOperand(*expr.args[i]));
      }
      out_.push_back(')');
      return {};
    case ExprKind::kBetween:
      WriteText(expr.negated ? " NOT BETWEEN " : " BETWEEN ");
      KALAM_RETURN_IF_ERROR(WriteInOperand(*expr.args[1]));
      WriteText(" AND ");
      return WriteInOperand(*expr.args[2]);
    case ExprKind::kInSubquery:
      WriteText(expr.negated ? " NOT IN " : " IN ");
      return WriteSubquery(*expr.subquery);
    case ExprKind::kQuantified:
      WriteText(" " + Upper(expr.op) + " " + Upper(expr.name) + " ");
      if (expr.subquery) return WriteSubquery(*expr.subquery);
      out_.push_back('(');
      KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[1]));
      out_.push_back(')');
      return {};
    default:
      return Status(ErrorKind::Internal, "an expression of an unknown kind cannot be written");
  }
}

Status TreeWriter::WriteUnary(const Expr& expr) {
  if (expr.op == "not") {
    WriteText("NOT ");
    return WriteExpr(*expr.args[0], kNot);
  }
  WriteText(expr.op);
  const Expr& operand = *expr.args[0];
  // `--` would begin a comment.
  const bool is_number = operand.kind == ExprKind::kLiteral && !operand.value.is_null() &&
                         IsNumber(operand.value.kind());
  const bool is_negative = is_number && kalam::ToText(operand.value.datum()).front() == '-';
  const bool may_touch = operand.kind == ExprKind::kUnary || is_negative;
  if (!may_touch) return WriteExpr(operand, kSign);
  out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteExpr(operand));
  out_.push_back(')');
  return {};
}

Status TreeWriter::WriteBinary(const Expr& expr) {
  const int precedence = BinaryPrecedence(expr.op);
  // Left-associative; comparisons do not associate at all.
  const int left_min = precedence == kComparison || precedence == kIs ? precedence + 1 : precedence;
  const bool is_list = precedence <= kAnd;
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0], left_min));
  WriteText(" " + Upper(expr.op) + " ");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[1], is_list ? precedence : precedence + 1));
  if (expr.args.size() > 2) {
    WriteText(" ESCAPE ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[2], kPrimary));
  }
  return {};
}

Status TreeWriter::WriteCase(const Expr& expr) {
  WriteText("CASE");
  if (expr.operand) {
    out_.push_back(' ');
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.operand));
  }
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    WriteText(" WHEN ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[i]));
    WriteText(" THEN ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[i + 1]));
  }
  if (expr.else_expr) {
    WriteText(" ELSE ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.else_expr));
  }
  WriteText(" END");
  return {};
}

Status TreeWriter::WriteCast(const Expr& expr) {
  WriteText("CAST(");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(" AS " + SqlName(expr.type) + ")");
  return {};
}

Status TreeWriter::WriteExtract(const Expr& expr) {
  WriteText("extract(" + expr.name + " FROM ");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  out_.push_back(')');
  return {};
}

Status TreeWriter::WriteIdentity(const Expr& expr) {
  WriteText(expr.kind == ExprKind::kCurrentUser ? "current_user()" : "current_role()");
  return {};
}

Status TreeWriter::WriteArray(const Expr& expr) {
  WriteText("ARRAY[");
  KALAM_RETURN_IF_ERROR(WriteArguments(expr.args));
  out_.push_back(']');
  return {};
}

Status TreeWriter::WriteArguments(const std::vector<ExprPtr>& args, size_t begin) {
  for (size_t i = begin; i < args.size(); ++i) {
    if (i > begin) WriteText(", ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*args[i]));
  }
  return {};
}

Status TreeWriter::WriteFunction(const Expr& expr) {
  KALAM_RETURN_IF_ERROR(WriteName(expr.name));
  out_.push_back('(');
  if (expr.star) out_.push_back('*');
  if (expr.distinct) WriteText("DISTINCT ");
  KALAM_RETURN_IF_ERROR(WriteArguments(expr.args));
  return WriteFunctionTail(expr);
}

Status TreeWriter::WriteFunctionTail(const Expr& expr) {
  if (!expr.order_by.empty()) {
    out_.push_back(' ');
    KALAM_RETURN_IF_ERROR(WriteOrderBy(expr.order_by));
  }
  out_.push_back(')');
  if (expr.filter) {
    WriteText(" FILTER (WHERE ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*expr.filter));
    out_.push_back(')');
  }
  if (!expr.over) return {};
  WriteText(" OVER ");
  const WindowSpec& over = *expr.over;
  if (!over.reference_name.empty() && over.partition_by.empty() && over.order_by.empty() &&
      over.frame.empty()) {
    return WriteName(over.reference_name);
  }
  return WriteWindow(over);
}

Status TreeWriter::WriteWindow(const WindowSpec& window) {
  out_.push_back('(');
  std::string_view separator;
  if (!window.reference_name.empty()) {
    KALAM_RETURN_IF_ERROR(WriteName(window.reference_name));
    separator = " ";
  }
  if (!window.partition_by.empty()) {
    WriteText(separator);
    WriteText("PARTITION BY ");
    KALAM_RETURN_IF_ERROR(WriteArguments(window.partition_by));
    separator = " ";
  }
  if (!window.order_by.empty()) {
    WriteText(separator);
    KALAM_RETURN_IF_ERROR(WriteOrderBy(window.order_by));
    separator = " ";
  }
  if (!window.frame.empty()) {
    WriteText(separator);
    WriteText(window.frame);
  }
  out_.push_back(')');
  return {};
}

}  // namespace kalam::sql
