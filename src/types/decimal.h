// Exact decimals: 128-bit unscaled integers with a scale of 0..38.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam {

using Int128 = __int128;

/// A decimal of any scale; precision up to 38 digits.
struct DecimalValue {
  Int128 unscaled = 0;
  uint8_t scale = 0;
};

/// Parses `[+-]digits[.digits][e[+-]n]`, exactly up to 38 significant digits; further decimals are rounded half away from
/// zero. Errors: Execution (not a number, more than 38 digits before the point).
Result<DecimalValue> ParseDecimal(std::string_view text);
/// Exactly `scale` digits after the point: "-0.05", "19.90", "7".
std::string FormatDecimal(Int128 unscaled, uint8_t scale);
void AppendDecimal(Int128 unscaled, uint8_t scale, std::string* out);
/// Changes the scale; rounds half away from zero when digits are lost. Errors: Execution on overflow of `precision`.
Result<Int128> RescaleDecimal(DecimalValue value, uint8_t precision, uint8_t scale);
/// Arithmetic as PostgreSQL's numeric within 38 digits; division gives at least 16 significant digits. The scale of a
/// result depends on its operands: sums have the greater one; products the sum of both, less what does not fit 38 digits.
/// Errors: Execution (overflow: "numeric value out of range", division by zero: "division by zero").
Result<DecimalValue> AddDecimals(DecimalValue a, DecimalValue b);
Result<DecimalValue> SubtractDecimals(DecimalValue a, DecimalValue b);
Result<DecimalValue> MultiplyDecimals(DecimalValue a, DecimalValue b);
Result<DecimalValue> DivideDecimals(DecimalValue a, DecimalValue b);
Result<DecimalValue> RemainderDecimals(DecimalValue a, DecimalValue b);
/// <0, 0, >0, exact over different scales.
int CompareDecimals(DecimalValue a, DecimalValue b);
double DecimalToDouble(DecimalValue value);
/// Errors: Execution (not finite or out of range). Uses the shortest decimal text of the double.
Result<DecimalValue> DecimalFromDouble(double value);

}  // namespace kalam
