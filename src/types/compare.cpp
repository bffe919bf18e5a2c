// Order of values across kinds, as PostgreSQL has it, but exact between integers and doubles.
#include <fmt/format.h>

#include <cmath>
#include <tuple>

#include "types/convert.h"
#include "types/decimal.h"

namespace kalam {
namespace {

constexpr int64_t kUsPerDay = int64_t{86'400} * 1'000'000;

template <typename T>
int Order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int OrderBytes(std::string_view a, std::string_view b) {
  int order = a.compare(b);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

/// NaN equals itself and is greater than every number.
int OrderDoubles(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return Order(std::isnan(a), std::isnan(b));
  return Order(a, b);
}

/// Exact: the integer never passes through a double, which would lose digits above 2^53.
int OrderIntegerDouble(int64_t a, double b) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (std::isnan(b) || b >= kTwoTo63) return -1;
  if (b < -kTwoTo63) return 1;
  double whole = std::trunc(b);
  int order = Order(a, static_cast<int64_t>(whole));
  return order != 0 ? order : Order(0.0, b - whole);
}

DecimalValue AsDecimal(const Datum& number) {
  if (number.kind == TypeKind::kDecimal) return {number.decimal(), number.scale};
  return {number.i, 0};
}

int OrderNumbers(const Datum& a, const Datum& b) {
  bool a_floats = a.kind == TypeKind::kFloat || a.kind == TypeKind::kDouble;
  bool b_floats = b.kind == TypeKind::kFloat || b.kind == TypeKind::kDouble;
  if (a_floats && b_floats) return OrderDoubles(a.d, b.d);
  if (b_floats) {
    // A decimal meets a double as a double: a parameter 19.9 must equal the decimal 19.90.
    if (a.kind == TypeKind::kDecimal) return OrderDoubles(DecimalToDouble(AsDecimal(a)), b.d);
    return OrderIntegerDouble(a.i, b.d);
  }
  if (a_floats) return -OrderNumbers(b, a);
  if (a.kind == TypeKind::kDecimal || b.kind == TypeKind::kDecimal) {
    return CompareDecimals(AsDecimal(a), AsDecimal(b));
  }
  return Order(a.i, b.i);
}

bool IsInstant(TypeKind kind) {
  return kind == TypeKind::kTimestamp || kind == TypeKind::kDateTime || kind == TypeKind::kDate;
}

__int128 InstantUs(const Datum& instant) {
  return instant.kind == TypeKind::kDate ? static_cast<__int128>(instant.i) * kUsPerDay : instant.i;
}

/// Months count 30 days and days 24 hours, as PostgreSQL compares intervals.
__int128 IntervalUs(const Datum::Interval& interval) {
  __int128 days = static_cast<__int128>(interval.months) * 30 + interval.days;
  return days * kUsPerDay + interval.us;
}

Status NotComparable(const Datum& a, const Datum& b) {
  return Status(ErrorKind::Execution,
                fmt::format("cannot compare {} with {}", SqlName(DataType::Of(a.kind)),
                            SqlName(DataType::Of(b.kind))));
}

Result<int> CompareTextWith(const Datum& text, const Datum& other) {
  if (other.kind == TypeKind::kNull) return NotComparable(text, other);
  Datum parsed;
  Arena arena;
  if (DataType::Of(other.kind).is_integer() || other.kind == TypeKind::kDecimal) {
    // Read in full, not at the other's scale: '1.5' is greater than 1.
    KALAM_ASSIGN_OR_RETURN(DecimalValue value, ParseDecimal(text.text()));
    parsed = Datum::Decimal(value.unscaled, value.scale);
  } else {
    KALAM_ASSIGN_OR_RETURN(parsed, Cast(text, DataType::Of(other.kind), &arena));
  }
  return CompareValues(parsed, other);
}

}  // namespace

Result<int> CompareValues(const Datum& a, const Datum& b) {
  DataType a_type = DataType::Of(a.kind);
  DataType b_type = DataType::Of(b.kind);
  if (a_type.is_numeric() && b_type.is_numeric()) return OrderNumbers(a, b);
  if (a_type.is_bytes_like() && b_type.is_bytes_like()) {
    bool comparable = a.kind == b.kind || (a.kind != TypeKind::kUuid && b.kind != TypeKind::kUuid);
    if (comparable) return OrderBytes(a.text(), b.text());
  }
  if (IsInstant(a.kind) && IsInstant(b.kind)) return Order(InstantUs(a), InstantUs(b));
  // Raw microseconds or days, as cells show them, compare with the temporal kinds they came from.
  if (a_type.is_temporal() && (b_type.is_integer() || a.kind == b.kind)) return Order(a.i, b.i);
  if (b_type.is_temporal() && a_type.is_integer()) return Order(a.i, b.i);
  if (a.kind == TypeKind::kBoolean && b.kind == TypeKind::kBoolean) return Order(a.i, b.i);
  if (a.kind == TypeKind::kInterval && b.kind == TypeKind::kInterval) {
    return Order(IntervalUs(a.interval), IntervalUs(b.interval));
  }
  if (a_type.is_text()) return CompareTextWith(a, b);
  if (b_type.is_text()) {
    KALAM_ASSIGN_OR_RETURN(int order, CompareTextWith(b, a));
    return -order;
  }
  return NotComparable(a, b);
}

}  // namespace kalam
