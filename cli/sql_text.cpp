// Literals, each in the form that loses nothing.
#include "sql_text.h"

#include <fmt/format.h>

#include <cmath>

#include "types/convert.h"

namespace kalam::cli {
namespace {

std::string InQuotes(std::string_view text, char quote) {
  std::string quoted(1, quote);
  for (const char c : text) {
    if (c == quote) quoted += quote;
    quoted += c;
  }
  return quoted + quote;
}

}  // namespace

std::string Quoted(std::string_view text) { return InQuotes(text, '\''); }

std::string QuotedName(std::string_view name) { return InQuotes(name, '"'); }

std::string SqlLiteral(const Datum& value) {
  if (value.is_null) return "NULL";
  switch (value.kind) {
    case TypeKind::kBoolean:
      return value.boolean() ? "TRUE" : "FALSE";
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
    case TypeKind::kDecimal:
      return ToText(value);
    case TypeKind::kBytes: {
      std::string literal = "X'";
      for (const char c : value.text()) literal += fmt::format("{:02x}", c & 0xff);
      return literal + "'";
    }
    default:
      return Quoted(ToText(value));
  }
}

}  // namespace kalam::cli
