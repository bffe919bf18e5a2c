// Order and equality of values on the hot path: same representation compares inline, the rest
// through CompareValues.
#pragma once

#include <cstring>

#include "types/convert.h"
#include "types/value.h"

namespace kalam::query {

inline int CompareText(std::string_view a, std::string_view b) {
  const int order = a.compare(b);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

/// Compares two non-NULL values. Errors: Execution when they are not comparable.
inline Status CompareDatums(const Datum& a, const Datum& b, int* order) {
  const bool a_integer =
      a.kind == TypeKind::kBigInt || a.kind == TypeKind::kInt || a.kind == TypeKind::kSmallInt;
  const bool b_integer =
      b.kind == TypeKind::kBigInt || b.kind == TypeKind::kInt || b.kind == TypeKind::kSmallInt;
  if (a_integer && b_integer) {
    *order = a.i < b.i ? -1 : a.i > b.i ? 1 : 0;
    return {};
  }
  if (a.kind == b.kind) {
    switch (a.kind) {
      case TypeKind::kText:
      case TypeKind::kJson:
      case TypeKind::kFile:
      case TypeKind::kBytes:
      case TypeKind::kUuid:
        *order = CompareText(a.text(), b.text());
        return {};
      case TypeKind::kBoolean:
      case TypeKind::kTimestamp:
      case TypeKind::kDateTime:
      case TypeKind::kDate:
      case TypeKind::kTime:
        *order = a.i < b.i ? -1 : a.i > b.i ? 1 : 0;
        return {};
      default:
        break;
    }
  }
  Result<int> result = CompareValues(a, b);
  if (!result.ok()) return std::move(result).status();
  *order = *result;
  return {};
}

}  // namespace kalam::query
