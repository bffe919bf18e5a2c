// Columns from their specification, and defaults as text.
#include "statements/column_definitions.h"

#include <array>
#include <utility>

#include "sql/parser.h"
#include "types/convert.h"

namespace kalam::statements {
namespace {

using catalog::ColumnDefault;
using Kind = ColumnDefault::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 7> kFunctions = {{
    {"now", Kind::kNow},
    {"current_timestamp", Kind::kNow},
    {"snowflake_id", Kind::kSnowflakeId},
    {"uuid_v7", Kind::kUuidV7},
    {"ulid", Kind::kUlid},
    {"current_user", Kind::kCurrentUser},
    {"current_user_id", Kind::kCurrentUser},
}};

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// The function that `text` names, with or without empty parentheses.
std::optional<Kind> FunctionKind(std::string_view text) {
  std::string_view name = Trim(text);
  if (name.ends_with(")")) {
    name = Trim(name.substr(0, name.size() - 1));
    if (!name.ends_with("(")) return std::nullopt;
    name = Trim(name.substr(0, name.size() - 1));
  }
  const std::string folded = catalog::FoldName(name);
  for (const auto& [known, kind] : kFunctions) {
    if (folded == known) return kind;
  }
  return std::nullopt;
}

Status Unsupported(std::string_view text, std::string_view column) {
  return Status(
      ErrorKind::InvalidSql,
      "Unsupported DEFAULT '" + std::string(text) + "' for column '" + std::string(column) +
          "': use a literal, NOW(), CURRENT_TIMESTAMP, SNOWFLAKE_ID(), UUID_V7(), ULID() or "
          "CURRENT_USER()");
}

/// The value of a literal, of a negative number, or of a literal with a cast around it.
Result<Value> LiteralOf(const sql::Expr& expr, std::string_view text, std::string_view column) {
  if (expr.kind == sql::ExprKind::kLiteral) return expr.value;
  if (expr.kind == sql::ExprKind::kCast && expr.args.size() == 1) {
    KALAM_ASSIGN_OR_RETURN(Value inner, LiteralOf(*expr.args[0], text, column));
    Arena arena;
    KALAM_ASSIGN_OR_RETURN(Datum cast, Cast(inner.datum(), expr.type, &arena));
    return Value(cast);
  }
  if (expr.kind == sql::ExprKind::kUnary && expr.op == "-" && expr.args.size() == 1) {
    KALAM_ASSIGN_OR_RETURN(Value inner, LiteralOf(*expr.args[0], text, column));
    Datum datum = inner.datum();
    if (!datum.is_null && datum.kind == TypeKind::kBigInt && datum.i != INT64_MIN) {
      return Value::BigInt(-datum.i);
    }
    if (!datum.is_null && datum.kind == TypeKind::kDouble) return Value::Double(-datum.d);
    if (!datum.is_null && datum.kind == TypeKind::kDecimal) {
      return Value(Datum::Decimal(-datum.decimal(), datum.scale));
    }
  }
  return Unsupported(text, column);
}

}  // namespace

Result<ColumnDefault> ParseDefault(std::string_view text, const DataType& type,
                                   std::string_view column) {
  ColumnDefault value;
  if (std::optional<Kind> kind = FunctionKind(text)) {
    value.kind = *kind;
    return value;
  }
  KALAM_ASSIGN_OR_RETURN(sql::ExprPtr expr, sql::ParseExpression(Trim(text)));
  KALAM_ASSIGN_OR_RETURN(Value literal, LiteralOf(*expr, text, column));
  Arena arena;
  Result<Datum> coerced = CoerceForWrite(literal.datum(), type, &arena);
  if (!coerced.ok()) {
    return Status(ErrorKind::InvalidSql, "Invalid DEFAULT for column '" + std::string(column) +
                                             "': " + coerced.status().message());
  }
  value.kind = Kind::kLiteral;
  value.literal = Value(*coerced);
  return value;
}

Result<catalog::ColumnDefinition> ColumnFromSpec(const sql::ColumnSpec& spec) {
  catalog::ColumnDefinition column;
  column.name = catalog::FoldName(spec.name);
  KALAM_ASSIGN_OR_RETURN(column.type, DataTypeFromSql(spec.type));
  column.primary_key = spec.primary_key;
  column.nullable = spec.nullable.value_or(true) && !spec.primary_key;
  if (!spec.default_text.empty()) {
    KALAM_ASSIGN_OR_RETURN(column.default_value,
                           ParseDefault(spec.default_text, column.type, column.name));
  } else if (spec.auto_increment) {
    column.default_value.kind = Kind::kSnowflakeId;
  }
  const bool too_narrow =
      column.type.kind == TypeKind::kSmallInt || column.type.kind == TypeKind::kInt;
  if (too_narrow && column.default_value.kind == Kind::kSnowflakeId) {
    column.type = DataType::Of(TypeKind::kBigInt);
  }
  return column;
}

catalog::ColumnDefinition SeqColumn(uint32_t column_id) {
  catalog::ColumnDefinition column;
  column.column_id = column_id;
  column.name = catalog::kSeqColumn;
  column.type = DataType::Of(TypeKind::kBigInt);
  column.nullable = false;
  return column;
}

catalog::ColumnDefinition DeletedColumn(uint32_t column_id) {
  catalog::ColumnDefinition column;
  column.column_id = column_id;
  column.name = catalog::kDeletedColumn;
  column.type = DataType::Of(TypeKind::kBoolean);
  column.nullable = false;
  column.default_value.kind = Kind::kLiteral;
  column.default_value.literal = Value::Boolean(false);
  return column;
}

std::string_view DefaultFunctionName(const ColumnDefault& value) {
  switch (value.kind) {
    case Kind::kNow:
      return "NOW";
    case Kind::kSnowflakeId:
      return "SNOWFLAKE_ID";
    case Kind::kUuidV7:
      return "UUID_V7";
    case Kind::kUlid:
      return "ULID";
    case Kind::kCurrentUser:
      return "CURRENT_USER";
    case Kind::kNone:
    case Kind::kLiteral:
      return {};
  }
  return {};
}

std::optional<std::string> DefaultText(const ColumnDefault& value) {
  if (value.kind == Kind::kNone) return std::nullopt;
  if (value.kind != Kind::kLiteral) return std::string(DefaultFunctionName(value)) + "()";
  if (value.literal.is_null()) return "NULL";
  const Datum datum = value.literal.datum();
  if (datum.kind == TypeKind::kBoolean) return datum.boolean() ? "TRUE" : "FALSE";
  const std::string text = ToText(datum);
  if (DataType::Of(datum.kind).is_numeric()) return text;
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'') quoted.push_back('\'');
    quoted.push_back(c);
  }
  return quoted + "'";
}

std::optional<std::string> DefaultDebugText(const ColumnDefault& value) {
  if (value.kind == Kind::kNone) return std::nullopt;
  if (value.kind != Kind::kLiteral) return std::string(DefaultFunctionName(value)) + "()";
  if (value.literal.is_null()) return "Null";
  const Datum datum = value.literal.datum();
  if (datum.kind == TypeKind::kBoolean) return datum.boolean() ? "Bool(true)" : "Bool(false)";
  if (DataType::Of(datum.kind).is_numeric()) return "Number(" + ToText(datum) + ")";
  std::string quoted;
  AppendJsonString(ToText(datum), &quoted);
  return "String(" + quoted + ")";
}

}  // namespace kalam::statements
