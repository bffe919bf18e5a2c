// Mathematical functions: on the argument's own type where PostgreSQL has them exact, else on
// doubles.
#include <algorithm>
#include <cmath>
#include <limits>

#include "query/functions.h"
#include "types/decimal.h"

namespace kalam::query {

namespace {

Status Domain(const char* message) { return Status(ErrorKind::Execution, message); }

bool IsFloating(const Datum& value) {
  return value.kind == TypeKind::kDouble || value.kind == TypeKind::kFloat;
}

Datum DoubleLike(const Datum& model, double value) {
  Datum result = Datum::Double(value);
  result.kind = model.kind;
  return result;
}

Int128 PowerOfTen(int exponent) {
  Int128 power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

Status Abs(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const Datum& value = arguments[0];
  if (IsFloating(value)) {
    *out = DoubleLike(value, std::fabs(value.d));
  } else if (value.kind == TypeKind::kDecimal) {
    *out = Datum::Decimal(value.decimal() < 0 ? -value.decimal() : value.decimal(), value.scale);
  } else {
    if (value.i == std::numeric_limits<int64_t>::min()) return Domain("bigint out of range");
    *out = Datum::OfInt(value.kind, value.i < 0 ? -value.i : value.i);
  }
  return {};
}

Status Sign(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const Datum& value = arguments[0];
  if (IsFloating(value)) {
    *out = DoubleLike(value, value.d > 0 ? 1 : value.d < 0 ? -1 : 0);
  } else if (value.kind == TypeKind::kDecimal) {
    const int sign = value.decimal() > 0 ? 1 : value.decimal() < 0 ? -1 : 0;
    *out = Datum::Decimal(sign * PowerOfTen(value.scale), value.scale);
  } else {
    *out = Datum::OfInt(value.kind, value.i > 0 ? 1 : value.i < 0 ? -1 : 0);
  }
  return {};
}

enum class Rounding : uint8_t { kHalfAway, kDown, kUp, kTowardZero };

/// Rounds to a multiple of `unit` > 0.
Int128 RoundUnscaled(Int128 value, Int128 unit, Rounding rounding) {
  Int128 quotient = value / unit;
  const Int128 remainder = value % unit;
  switch (rounding) {
    case Rounding::kHalfAway: {
      const Int128 magnitude = remainder < 0 ? -remainder : remainder;
      if (magnitude >= unit - magnitude) quotient += value < 0 ? -1 : 1;
      break;
    }
    case Rounding::kDown:
      if (remainder < 0) --quotient;
      break;
    case Rounding::kUp:
      if (remainder > 0) ++quotient;
      break;
    case Rounding::kTowardZero:
      break;
  }
  return quotient * unit;
}

double RoundDouble(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kHalfAway:
      return std::round(value);
    case Rounding::kDown:
      return std::floor(value);
    case Rounding::kUp:
      return std::ceil(value);
    case Rounding::kTowardZero:
      return std::trunc(value);
  }
  return value;
}

Status RoundTo(const Datum& value, int64_t digits, Rounding rounding, Datum* out) {
  digits = std::clamp<int64_t>(digits, -38, 38);
  if (IsFloating(value)) {
    const double factor = std::pow(10.0, static_cast<double>(std::abs(digits)));
    double scaled = digits >= 0 ? value.d * factor : value.d / factor;
    if (!std::isfinite(scaled)) {
      *out = value;
      return {};
    }
    scaled = RoundDouble(scaled, rounding);
    *out = DoubleLike(value, digits >= 0 ? scaled / factor : scaled * factor);
    return {};
  }
  const int scale = value.kind == TypeKind::kDecimal ? value.scale : 0;
  const Int128 unscaled =
      value.kind == TypeKind::kDecimal ? value.decimal() : static_cast<Int128>(value.i);
  if (digits >= scale) {
    *out = value;
    return {};
  }
  const int dropped = scale - static_cast<int>(digits);
  const Int128 rounded = dropped > 37 ? 0 : RoundUnscaled(unscaled, PowerOfTen(dropped), rounding);
  if (value.kind == TypeKind::kDecimal) {
    *out = Datum::Decimal(rounded, value.scale);
  } else {
    if (rounded != static_cast<int64_t>(rounded)) return Domain("bigint out of range");
    *out = Datum::OfInt(value.kind, static_cast<int64_t>(rounded));
  }
  return {};
}

template <Rounding rounding>
Status RoundFunction(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  return RoundTo(arguments[0], arguments.size() > 1 ? arguments[1].i : 0, rounding, out);
}

Status Mod(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const Datum &a = arguments[0], &b = arguments[1];
  if (b.i == 0) return Domain("division by zero");
  *out = Datum::BigInt(b.i == -1 ? 0 : a.i % b.i);
  return {};
}

Status ModDouble(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  if (arguments[1].d == 0) return Domain("division by zero");
  *out = Datum::Double(std::fmod(arguments[0].d, arguments[1].d));
  return {};
}

Status Power(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const double a = arguments[0].d, b = arguments[1].d;
  if (a == 0 && b < 0) return Domain("zero raised to a negative power is undefined");
  if (a < 0 && b != std::floor(b)) {
    return Domain("a negative number raised to a non-integer power yields a complex result");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b))
    return Domain("value out of range: overflow");
  *out = Datum::Double(result);
  return {};
}

Status Sqrt(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  if (arguments[0].d < 0) return Domain("cannot take square root of a negative number");
  *out = Datum::Double(std::sqrt(arguments[0].d));
  return {};
}

Status CheckLogarithm(double value) {
  if (value == 0) return Domain("cannot take logarithm of zero");
  if (value < 0) return Domain("cannot take logarithm of a negative number");
  return {};
}

Status NaturalLogarithm(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  KALAM_RETURN_IF_ERROR(CheckLogarithm(arguments[0].d));
  *out = Datum::Double(std::log(arguments[0].d));
  return {};
}

Status Logarithm(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  for (const Datum& argument : arguments) KALAM_RETURN_IF_ERROR(CheckLogarithm(argument.d));
  if (arguments.size() == 1) {
    *out = Datum::Double(std::log10(arguments[0].d));
    return {};
  }
  if (arguments[0].d == 1) return Domain("division by zero");
  *out = Datum::Double(std::log(arguments[1].d) / std::log(arguments[0].d));
  return {};
}

Status Logarithm2(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  KALAM_RETURN_IF_ERROR(CheckLogarithm(arguments[0].d));
  *out = Datum::Double(std::log2(arguments[0].d));
  return {};
}

Status Exponential(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const double result = std::exp(arguments[0].d);
  if (std::isinf(result) && std::isfinite(arguments[0].d))
    return Domain("value out of range: overflow");
  *out = Datum::Double(result);
  return {};
}

template <double (*function)(double)>
Status Unary(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Double(function(arguments[0].d));
  return {};
}

template <double (*function)(double)>
Status UnaryWithinOne(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  if (std::fabs(arguments[0].d) > 1) return Domain("input is out of range");
  *out = Datum::Double(function(arguments[0].d));
  return {};
}

Status ArcTangent2(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Double(std::atan2(arguments[0].d, arguments[1].d));
  return {};
}

Status Pi(EvalContext&, std::span<const Datum>, Datum* out) {
  *out = Datum::Double(M_PI);
  return {};
}

double ToDegrees(double radians) { return radians * 180 / M_PI; }
double ToRadians(double degrees) { return degrees * M_PI / 180; }

Status Random(EvalContext&, std::span<const Datum>, Datum* out) {
  uint64_t bits = 0;
  FillRandom(&bits, sizeof(bits));
  *out = Datum::Double(static_cast<double>(bits >> 11) * 0x1.0p-53);
  return {};
}

constexpr FunctionSpec kFunctions[] = {
    {"abs", "n:0", Abs},
    {"sign", "n:0", Sign},
    {"round", "n?i:0", RoundFunction<Rounding::kHalfAway>},
    {"trunc", "n?i:0", RoundFunction<Rounding::kTowardZero>},
    {"floor", "n:0", RoundFunction<Rounding::kDown>},
    {"ceil", "n:0", RoundFunction<Rounding::kUp>},
    {"ceiling", "n:0", RoundFunction<Rounding::kUp>},
    {"mod", "ii:i", Mod},
    {"mod", "dd:d", ModDouble},
    {"power", "dd:d", Power},
    {"pow", "dd:d", Power},
    {"sqrt", "d:d", Sqrt},
    {"cbrt", "d:d", Unary<std::cbrt>},
    {"exp", "d:d", Exponential},
    {"ln", "d:d", NaturalLogarithm},
    {"log", "d?d:d", Logarithm},
    {"log10", "d:d", Logarithm},
    {"log2", "d:d", Logarithm2},
    {"sin", "d:d", Unary<std::sin>},
    {"cos", "d:d", Unary<std::cos>},
    {"tan", "d:d", Unary<std::tan>},
    {"asin", "d:d", UnaryWithinOne<std::asin>},
    {"acos", "d:d", UnaryWithinOne<std::acos>},
    {"atan", "d:d", Unary<std::atan>},
    {"atan2", "dd:d", ArcTangent2},
    {"degrees", "d:d", Unary<ToDegrees>},
    {"radians", "d:d", Unary<ToRadians>},
    {"pi", ":d", Pi},
    {"random", ":d", Random, NullRule::kStrict, Stability::kVolatile},
};

}  // namespace

std::span<const FunctionSpec> MathFunctions() { return kFunctions; }

}  // namespace kalam::query
