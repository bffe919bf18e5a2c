// See engine_dialect.h. The engine is DuckDB 1.4; where it and PostgreSQL differ, PostgreSQL's
// meaning is written out.
#include "sql/engine_dialect.h"

#include "sql/engine_functions.h"
#include "sql/tree_writer.h"
#include "types/convert.h"
#include "types/datetime.h"
#include "types/decimal.h"

namespace kalam::sql {
namespace {

constexpr int64_t kUsPerDay = 86'400'000'000;

bool IsComparison(std::string_view op) {
  return op == "=" || op == "<>" || op == "<" || op == "<=" || op == ">" || op == ">=" ||
         op == "is distinct from" || op == "is not distinct from";
}

bool IsText(const Expr& expr) {
  return expr.kind == ExprKind::kLiteral && !expr.value.is_null() &&
         expr.value.kind() == TypeKind::kText;
}

std::string EngineTypeName(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      return "BOOLEAN";
    case TypeKind::kSmallInt:
      return "SMALLINT";
    case TypeKind::kInt:
      return "INTEGER";
    case TypeKind::kBigInt:
      return "BIGINT";
    case TypeKind::kFloat:
      return "FLOAT";
    case TypeKind::kDouble:
      return "DOUBLE";
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return "TIMESTAMP";
    case TypeKind::kDate:
      return "DATE";
    case TypeKind::kTime:
      return "TIME";
    case TypeKind::kInterval:
      return "INTERVAL";
    case TypeKind::kBytes:
      return "BLOB";
    case TypeKind::kUuid:
      return "UUID";
    case TypeKind::kDecimal:
      return "DECIMAL(" + std::to_string(type.precision) + ", " + std::to_string(type.scale) + ")";
    case TypeKind::kEmbedding:
      return "FLOAT[" + std::to_string(type.dimension) + "]";
    default:
      return "VARCHAR";
  }
}

// SIMILAR TO's pattern as a regular expression: % and _ are wildcards, everything else of SIMILAR
// TO means the same.
std::string RegexOfSimilar(std::string_view pattern) {
  std::string regex;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      regex.append({'\\', pattern[++i]});
    } else if (c == '%') {
      regex.append(".*");
    } else if (c == '_') {
      regex.push_back('.');
    } else if (c == '.' || c == '^' || c == '$') {
      regex.append({'\\', c});
    } else {
      regex.push_back(c);
    }
  }
  return regex;
}

class EngineWriter : public TreeWriter {
 public:
  explicit EngineWriter(const EngineNames& names) : names_(names) {}

 protected:
  bool always_parenthesises() const override { return true; }

  // The engine reserves words that PostgreSQL does not, so that every name is quoted.
  Status WriteName(std::string_view name) override {
    WriteText("\"");
    for (char c : name) {
      if (c == '"') WriteText("\"");
      WriteText({&c, 1});
    }
    WriteText("\"");
    return {};
  }

  Status WriteLiteral(const Value& value) override;
  Status WriteFunction(const Expr& expr) override;
  Status WriteBinary(const Expr& expr) override;
  Status WriteCast(const Expr& expr) override;
  Status WriteExtract(const Expr& expr) override;
  Status WriteIdentity(const Expr& expr) override;
  Status WriteTable(const FromItem& item) override;
  Status WriteTableFunction(const FromItem& item) override;
  Status WriteOrderItem(const OrderItem& item) override;
  Status WriteSelectItem(const SelectItem& item) override;
  Status WriteValues(const Query& query) override;
  Status WriteInOperand(const Expr& expr) override { return WriteComparedOperand(expr); }
  Status WriteCount(const Expr& expr) override { return WriteBareNumber(expr); }
  Status WriteDefault(const Expr& expr) override {
    return Status(ErrorKind::InvalidSql, "DEFAULT is not allowed in this context")
        .WithPosition(expr.position);
  }
  Status WriteTest(const Expr& expr) override;

 private:
  Status Unsupported(const std::string& what, int position) const {
    return Status(ErrorKind::InvalidSql, what).WithPosition(position);
  }
  // A whole number without its type: where the engine wants a constant, or compares and can adapt
  // it.
  Status WriteBareNumber(const Expr& expr);
  Status WriteComparedOperand(const Expr& expr) { return WriteBareNumber(expr); }
  Status WriteCall(std::string_view function, const Expr& first, const Expr& second);
  Status WritePattern(const Expr& expr);
  Status WriteSimilar(const Expr& expr);
  Status WriteRegex(const Expr& expr);
  Status WritePathOperator(const Expr& expr);
  Status WriteAsText(const Expr& expr);

  const EngineNames& names_;
};

Status EngineWriter::WriteLiteral(const Value& value) {
  if (value.is_null()) {
    WriteText("NULL");
    return {};
  }
  const Datum datum = value.datum();
  switch (datum.kind) {
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
      // Whole numbers are BIGINT here and the smallest that fits there.
      WriteText("CAST(" + std::to_string(datum.i) + " AS BIGINT)");
      return {};
    case TypeKind::kFloat:
    case TypeKind::kDouble: {
      std::string digits = kalam::ToText(datum);
      if (digits.find_first_not_of("0123456789.-+eE") != std::string::npos) {
        WriteText("CAST('" + digits + "' AS DOUBLE)");
        return {};
      }
      WriteText(digits);
      // Without an exponent it would be a decimal.
      if (digits.find_first_of("eE") == std::string::npos) WriteText("e0");
      return {};
    }
    case TypeKind::kInterval:
      WriteText("(to_months(" + std::to_string(datum.interval.months) + ") + to_days(" +
                std::to_string(datum.interval.days) + ") + to_microseconds(" +
                std::to_string(datum.interval.us) + "))");
      return {};
    case TypeKind::kUuid:
      WriteText("CAST('" + kalam::ToText(datum) + "' AS UUID)");
      return {};
    case TypeKind::kBytes: {
      static constexpr char kHex[] = "0123456789ABCDEF";
      std::string text = "CAST('";
      for (char c : datum.text()) {
        text += {'\\', 'x', kHex[static_cast<uint8_t>(c) >> 4], kHex[static_cast<uint8_t>(c) & 15]};
      }
      WriteText(text + "' AS BLOB)");
      return {};
    }
    case TypeKind::kDecimal:
      WriteText("CAST(" + FormatDecimal(datum.decimal(), datum.scale) + " AS DECIMAL(38, " +
                std::to_string(datum.scale) + "))");
      return {};
    default:
      return TreeWriter::WriteLiteral(value);
  }
}

Status EngineWriter::WriteBareNumber(const Expr& expr) {
  const bool is_whole =
      expr.kind == ExprKind::kLiteral && !expr.value.is_null() &&
      (expr.value.kind() == TypeKind::kBigInt || expr.value.kind() == TypeKind::kInt);
  if (!is_whole) return WriteExpr(expr);
  WriteText(std::to_string(expr.value.datum().i));
  return {};
}

Status EngineWriter::WriteCall(std::string_view function, const Expr& first, const Expr& second) {
  WriteText(function);
  WriteText("(");
  KALAM_RETURN_IF_ERROR(WriteExpr(first));
  WriteText(", ");
  KALAM_RETURN_IF_ERROR(WriteExpr(second));
  WriteText(")");
  return {};
}

Status EngineWriter::WriteFunction(const Expr& expr) {
  const EngineFunction function = FindEngineFunction(expr.name);
  switch (function.form) {
    case EngineForm::kUnknown:
      return Unsupported("function " + expr.name + " does not exist or is not available",
                         expr.position);
    case EngineForm::kTimestamp:
      WriteText("TIMESTAMP '" + FormatTimestamp(names_.now_us) + "'");
      return {};
    case EngineForm::kDate: {
      int64_t days = names_.now_us / kUsPerDay - (names_.now_us % kUsPerDay < 0 ? 1 : 0);
      WriteText("DATE '" + FormatDate(static_cast<int32_t>(days)) + "'");
      return {};
    }
    case EngineForm::kTime:
      WriteText("TIME '" + FormatTime((names_.now_us % kUsPerDay + kUsPerDay) % kUsPerDay) + "'");
      return {};
    case EngineForm::kUser:
      WriteQuoted(names_.current_user);
      return {};
    case EngineForm::kRole:
      WriteQuoted(names_.current_role);
      return {};
    case EngineForm::kSum:
    case EngineForm::kCall:
    case EngineForm::kRename:
      break;
  }
  const bool narrows = function.form == EngineForm::kSum;
  if (narrows) WriteText("kalam_bigint(");
  WriteText(function.name);
  WriteText("(");
  if (expr.star) WriteText("*");
  if (expr.distinct) WriteText("DISTINCT ");
  KALAM_RETURN_IF_ERROR(WriteArguments(expr.args));
  KALAM_RETURN_IF_ERROR(WriteFunctionTail(expr));
  if (narrows) WriteText(")");
  return {};
}

// Text and everything else in the words of our own casts.
Status EngineWriter::WriteAsText(const Expr& expr) {
  if (IsText(expr)) return WriteExpr(expr);
  WriteText("kalam_text(");
  KALAM_RETURN_IF_ERROR(WriteExpr(expr));
  WriteText(")");
  return {};
}

Status EngineWriter::WriteBinary(const Expr& expr) {
  const std::string& op = expr.op;
  const Expr& left = *expr.args[0];
  const Expr& right = *expr.args[1];
  if (op == "/") return WriteCall("kalam_divide", left, right);
  if (op == "%") return WriteCall("kalam_modulo", left, right);
  if (op == "^") return WriteCall("power", left, right);
  if (op == "#") return WriteCall("xor", left, right);
  if (op == "->") return WriteCall("json_get_json", left, right);
  if (op == "->>") return WriteCall("json_as_text", left, right);
  if (op == "?") return WriteCall("json_contains", left, right);
  if (op == "#>" || op == "#>>") return WritePathOperator(expr);
  if (op == "||") {
    KALAM_RETURN_IF_ERROR(WriteAsText(left));
    WriteText(" || ");
    return WriteAsText(right);
  }
  if (op == "like" || op == "ilike" || op == "not like" || op == "not ilike")
    return WritePattern(expr);
  if (op == "similar to") return WriteSimilar(expr);
  if (op == "~" || op == "~*" || op == "!~" || op == "!~*") return WriteRegex(expr);
  if (IsComparison(op)) {
    KALAM_RETURN_IF_ERROR(WriteComparedOperand(left));
    WriteText(" " + op + " ");
    return WriteComparedOperand(right);
  }
  for (std::string_view known : {"and", "or", "+", "-", "*", "&", "|", "<<", ">>"}) {
    if (op == known) return TreeWriter::WriteBinary(expr);
  }
  return Unsupported("Unsupported operator: " + op, expr.position);
}

// `doc #> '{a,b}'`: the elements of a literal path.
Status EngineWriter::WritePathOperator(const Expr& expr) {
  const Expr& path = *expr.args[1];
  if (!IsText(path))
    return Unsupported("Unsupported operator: " + expr.op + " takes a literal path", expr.position);
  std::string_view elements = path.value.datum().text();
  if (elements.size() < 2 || elements.front() != '{' || elements.back() != '}') {
    return Unsupported("malformed path '" + std::string(elements) + "': write it as '{a,b}'",
                       path.position);
  }
  elements = elements.substr(1, elements.size() - 2);
  WriteText(expr.op == "#>" ? "json_get_json(" : "json_as_text(");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  while (!elements.empty()) {
    const size_t comma = std::min(elements.find(','), elements.size());
    const std::string_view element = elements.substr(0, comma);
    elements.remove_prefix(std::min(comma + 1, elements.size()));
    WriteText(", ");
    const bool is_index =
        !element.empty() && element.find_first_not_of("0123456789") == element.npos;
    if (is_index && element.size() < 10) {
      WriteText(element);
    } else {
      WriteQuoted(element);
    }
  }
  WriteText(")");
  return {};
}

// A backslash escapes in PostgreSQL unless ESCAPE says otherwise; in the engine nothing does.
Status EngineWriter::WritePattern(const Expr& expr) {
  const Expr& pattern = *expr.args[1];
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(expr.op == "like"       ? " LIKE "
            : expr.op == "not like" ? " NOT LIKE "
            : expr.op == "ilike"    ? " ILIKE "
                                    : " NOT ILIKE ");
  KALAM_RETURN_IF_ERROR(WriteExpr(pattern));
  if (expr.args.size() > 2) {
    const Expr& escape = *expr.args[2];
    if (IsText(escape) && escape.value.datum().size == 0) return {};
    WriteText(" ESCAPE ");
    return WriteExpr(escape);
  }
  const bool may_escape =
      !IsText(pattern) || pattern.value.datum().text().find('\\') != std::string_view::npos;
  if (may_escape) WriteText(" ESCAPE '\\'");
  return {};
}

Status EngineWriter::WriteSimilar(const Expr& expr) {
  if (!IsText(*expr.args[1]) || expr.args.size() > 2) {
    return Unsupported("Unsupported operator: SIMILAR TO takes a literal pattern without ESCAPE",
                       expr.position);
  }
  WriteText("regexp_full_match(");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(", ");
  WriteQuoted(RegexOfSimilar(expr.args[1]->value.datum().text()));
  WriteText(", 's')");
  return {};
}

Status EngineWriter::WriteRegex(const Expr& expr) {
  if (expr.op[0] == '!') WriteText("NOT ");
  WriteText("regexp_matches(");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(", ");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[1]));
  WriteText(expr.op.back() == '*' ? ", 'i')" : ")");
  return {};
}

Status EngineWriter::WriteTest(const Expr& expr) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  if (expr.op == "unknown") {
    WriteText(expr.negated ? " IS NOT NULL" : " IS NULL");
    return {};
  }
  WriteText(expr.negated ? " IS DISTINCT FROM " : " IS NOT DISTINCT FROM ");
  WriteText(expr.op);
  return {};
}

Status EngineWriter::WriteCast(const Expr& expr) {
  WriteText("CAST(");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(" AS " + EngineTypeName(expr.type) + ")");
  return {};
}

Status EngineWriter::WriteExtract(const Expr& expr) {
  WriteText("date_part(");
  WriteQuoted(expr.name);
  WriteText(", ");
  KALAM_RETURN_IF_ERROR(WriteExpr(*expr.args[0]));
  WriteText(")");
  return {};
}

Status EngineWriter::WriteIdentity(const Expr& expr) {
  WriteQuoted(expr.kind == ExprKind::kCurrentUser ? names_.current_user : names_.current_role);
  return {};
}

Status EngineWriter::WriteTable(const FromItem& item) {
  KALAM_ASSIGN_OR_RETURN(std::string table, names_.table(item.table));
  WriteText(table);
  WriteText(" AS ");
  KALAM_RETURN_IF_ERROR(WriteName(item.alias.empty() ? item.table.parts.back() : item.alias));
  if (item.column_aliases.empty()) return {};
  WriteText("(");
  KALAM_RETURN_IF_ERROR(WriteNames(item.column_aliases));
  WriteText(")");
  return {};
}

Status EngineWriter::WriteTableFunction(const FromItem& item) {
  const Expr& call = *item.function;
  if (!IsEngineTableFunction(call.name)) {
    return Unsupported("function " + call.name + " does not exist or is not available in FROM",
                       call.position);
  }
  WriteText(call.name);
  WriteText("(");
  KALAM_RETURN_IF_ERROR(WriteArguments(call.args));
  WriteText(") AS ");
  const std::string& alias = item.alias.empty() ? call.name : item.alias;
  KALAM_RETURN_IF_ERROR(WriteName(alias));
  // A function of one column gives it the alias's name.
  WriteText("(");
  KALAM_RETURN_IF_ERROR(item.column_aliases.empty() ? WriteName(alias)
                                                    : WriteNames(item.column_aliases));
  WriteText(")");
  return {};
}

Status EngineWriter::WriteOrderItem(const OrderItem& item) {
  KALAM_RETURN_IF_ERROR(WriteBareNumber(*item.expr));
  WriteText(item.descending ? " DESC" : " ASC");
  WriteText(item.nulls_first.value_or(item.descending) ? " NULLS FIRST" : " NULLS LAST");
  return {};
}

Status EngineWriter::WriteSelectItem(const SelectItem& item) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*item.expr));
  if (item.expr->kind == ExprKind::kStar) return {};
  WriteText(" AS ");
  return WriteName(item.alias.empty() ? ResultName(*item.expr) : item.alias);
}

// The columns of VALUES are called column1, column2, ... as in PostgreSQL.
Status EngineWriter::WriteValues(const Query& query) {
  WriteText("SELECT * FROM (");
  KALAM_RETURN_IF_ERROR(TreeWriter::WriteValues(query));
  WriteText(") AS \"values\"(");
  for (size_t i = 1; i <= query.values[0].size(); ++i) {
    WriteText((i > 1 ? ", \"column" : "\"column") + std::to_string(i) + "\"");
  }
  WriteText(")");
  return {};
}

}  // namespace

Result<std::string> WriteEngineSql(const Query& query, const EngineNames& names) {
  EngineWriter writer(names);
  KALAM_RETURN_IF_ERROR(writer.WriteQuery(query));
  return writer.Take();
}

}  // namespace kalam::sql
