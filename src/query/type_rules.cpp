// The typing of expressions: common types and comparability.
#include "query/type_rules.h"

#include <algorithm>
#include <cctype>

namespace kalam::query {

namespace {

constexpr uint8_t kDecimalDigitsMax = 38;

int IntegerDigits(TypeKind kind) {
  switch (kind) {
    case TypeKind::kSmallInt:
      return 5;
    case TypeKind::kInt:
      return 10;
    default:
      return 19;
  }
}

DataType AsDecimal(const DataType& type) {
  if (type.kind == TypeKind::kDecimal) return type;
  return DataType::Decimal(static_cast<uint8_t>(IntegerDigits(type.kind)), 0);
}

DataType WiderDecimal(const DataType& a, const DataType& b) {
  const DataType x = AsDecimal(a), y = AsDecimal(b);
  const int scale = std::max(x.scale, y.scale);
  const int whole = std::max(x.precision - x.scale, y.precision - y.scale);
  return DataType::Decimal(static_cast<uint8_t>(std::min<int>(whole + scale, kDecimalDigitsMax)),
                           static_cast<uint8_t>(scale));
}

int IntegerRank(TypeKind kind) {
  return kind == TypeKind::kSmallInt ? 0 : kind == TypeKind::kInt ? 1 : 2;
}

}  // namespace

std::optional<DataType> CommonType(const DataType& a, const DataType& b) {
  if (a == b || b.kind == TypeKind::kNull) return a;
  if (a.kind == TypeKind::kNull) return b;
  if (a.is_integer() && b.is_integer()) return IntegerRank(a.kind) >= IntegerRank(b.kind) ? a : b;
  if (a.is_numeric() && b.is_numeric()) {
    const auto is_floating = [](const DataType& type) {
      return type.kind == TypeKind::kDouble || type.kind == TypeKind::kFloat;
    };
    if (is_floating(a) || is_floating(b)) {
      return a.kind == TypeKind::kFloat && b.kind == TypeKind::kFloat
                 ? a
                 : DataType::Of(TypeKind::kDouble);
    }
    return WiderDecimal(a, b);
  }
  if (a.is_text() && b.is_text()) return DataType::Of(TypeKind::kText);
  const auto is_instant = [](const DataType& type) {
    return type.kind == TypeKind::kTimestamp || type.kind == TypeKind::kDateTime ||
           type.kind == TypeKind::kDate;
  };
  if (is_instant(a) && is_instant(b)) {
    if (a.kind == TypeKind::kDateTime || b.kind == TypeKind::kDateTime)
      return DataType::Of(TypeKind::kDateTime);
    return DataType::Of(TypeKind::kTimestamp);
  }
  return std::nullopt;
}

bool AreComparable(const DataType& a, const DataType& b) {
  if (a.kind == TypeKind::kNull || b.kind == TypeKind::kNull) return true;
  if (a.kind == b.kind) return true;
  if (a.is_numeric() && b.is_numeric()) return true;
  if (a.is_text() && b.is_text()) return true;
  if (a.is_temporal() && b.is_temporal()) {
    return (a.kind == TypeKind::kTime) == (b.kind == TypeKind::kTime);
  }
  return false;
}

std::string TypeNameForMessage(const DataType& type) {
  if (type.kind == TypeKind::kNull) return "unknown";
  std::string name = SqlName(type);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace kalam::query
