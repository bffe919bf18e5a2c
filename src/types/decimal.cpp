// Exact decimal arithmetic within 38 digits, on 128-bit integers and a 256-bit product.
#include "types/decimal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace kalam {
namespace {

using Uint128 = unsigned __int128;

constexpr int kDigitsMax = 38;
constexpr int kDivisionDigits = 16;  // PostgreSQL's NUMERIC_MIN_SIG_DIGITS

constexpr std::array<Uint128, kDigitsMax + 1> MakePowers() {
  std::array<Uint128, kDigitsMax + 1> powers{};
  powers[0] = 1;
  for (int i = 1; i <= kDigitsMax; ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}
constexpr std::array<Uint128, kDigitsMax + 1> kPowers = MakePowers();
constexpr Uint128 kUnscaledMax = kPowers[kDigitsMax] - 1;

Status OutOfRange() { return Status(ErrorKind::Execution, "numeric value out of range"); }

Uint128 Magnitude(Int128 value) {
  return value < 0 ? -static_cast<Uint128>(value) : static_cast<Uint128>(value);
}

Int128 Signed(Uint128 magnitude, bool negative) {
  return negative ? -static_cast<Int128>(magnitude) : static_cast<Int128>(magnitude);
}

int DigitCount(Uint128 magnitude) {
  int count = 1;
  while (count <= kDigitsMax && magnitude >= kPowers[count]) ++count;
  return count;
}

/// magnitude / 10^digits, half away from zero.
Uint128 DropDigits(Uint128 magnitude, int digits) {
  if (digits <= 0) return magnitude;
  if (digits > kDigitsMax) return 0;
  Uint128 quotient = magnitude / kPowers[digits];
  Uint128 rest = magnitude % kPowers[digits];
  return rest >= kPowers[digits] - rest ? quotient + 1 : quotient;
}

/// magnitude * 10^digits; false when the result has more than 38 digits.
bool AddDigits(Uint128 magnitude, int digits, Uint128* result) {
  if (magnitude == 0) {
    *result = 0;
    return true;
  }
  if (digits > kDigitsMax || magnitude > kUnscaledMax / kPowers[digits]) return false;
  *result = magnitude * kPowers[digits];
  return true;
}

/// Brings both to the greater scale.
Status Align(DecimalValue* a, DecimalValue* b) {
  uint8_t scale = std::max(a->scale, b->scale);
  for (DecimalValue* value : {a, b}) {
    Uint128 magnitude = 0;
    if (!AddDigits(Magnitude(value->unscaled), scale - value->scale, &magnitude)) {
      return OutOfRange();
    }
    *value = {Signed(magnitude, value->unscaled < 0), scale};
  }
  return Status::Ok();
}

/// An unsigned integer of four 64-bit limbs, least significant first: a product before it is cut to
/// 38 digits.
struct Product {
  std::array<uint64_t, 4> limbs{};

  static Product Of(Uint128 a, Uint128 b) {
    const uint64_t a_limbs[2] = {static_cast<uint64_t>(a), static_cast<uint64_t>(a >> 64)};
    const uint64_t b_limbs[2] = {static_cast<uint64_t>(b), static_cast<uint64_t>(b >> 64)};
    Product product;
    for (int i = 0; i < 2; ++i) {
      uint64_t carry = 0;
      for (int j = 0; j < 2; ++j) {
        Uint128 sum = static_cast<Uint128>(a_limbs[i]) * b_limbs[j] + product.limbs[i + j] + carry;
        product.limbs[i + j] = static_cast<uint64_t>(sum);
        carry = static_cast<uint64_t>(sum >> 64);
      }
      product.limbs[i + 2] += carry;
    }
    return product;
  }

  /// Divides in place and returns the remainder.
  uint32_t DivideByTen() {
    Uint128 rest = 0;
    for (int i = 3; i >= 0; --i) {
      Uint128 current = rest << 64 | limbs[i];
      limbs[i] = static_cast<uint64_t>(current / 10);
      rest = current % 10;
    }
    return static_cast<uint32_t>(rest);
  }

  bool fits() const { return limbs[2] == 0 && limbs[3] == 0 && low() <= kUnscaledMax; }
  Uint128 low() const { return static_cast<Uint128>(limbs[1]) << 64 | limbs[0]; }
};

/// Exponent of the first digit: 0 for 1..9, -1 for 0.1..0.9.
int LeadingExponent(Uint128 magnitude, int scale) { return DigitCount(magnitude) - 1 - scale; }

/// PostgreSQL counts numeric digits in groups of four: the group that holds the first digit, and
/// its value.
struct LeadingGroup {
  int weight = 0;
  int64_t value = 0;
};

LeadingGroup LeadingGroupOf(Uint128 magnitude, int scale) {
  if (magnitude == 0) return {};
  int exponent = LeadingExponent(magnitude, scale);
  int weight = exponent >= 0 ? exponent / 4 : -((3 - exponent) / 4);
  int digits_wanted = exponent - 4 * weight + 1;
  int digits_there = DigitCount(magnitude);
  Uint128 leading = digits_there > digits_wanted
                        ? magnitude / kPowers[digits_there - digits_wanted]
                        : magnitude * kPowers[digits_wanted - digits_there];
  return {weight, static_cast<int64_t>(leading)};
}

/// The scale of a quotient: at least 16 significant digits and never fewer decimals than the
/// operands have.
int QuotientScale(Uint128 a, int a_scale, Uint128 b, int b_scale) {
  LeadingGroup a_group = LeadingGroupOf(a, a_scale);
  LeadingGroup b_group = LeadingGroupOf(b, b_scale);
  int weight = a_group.weight - b_group.weight - (a_group.value <= b_group.value ? 1 : 0);
  int scale = std::max({kDivisionDigits - 4 * weight, a_scale, b_scale});
  int integer_digits = std::max(0, LeadingExponent(a, a_scale) - LeadingExponent(b, b_scale) + 1);
  return std::clamp(scale, 0, std::max(0, kDigitsMax - integer_digits));
}

/// The next digit of a long division: replaces `rest` (< divisor) by (10 rest) mod divisor.
uint32_t NextDigit(Uint128 divisor, Uint128* rest) {
  uint32_t digit = 0;
  auto reduce = [&](Uint128 value) {
    if (value >= divisor) {
      value -= divisor;
      ++digit;
    }
    return value;
  };
  // 10 r = 2 (4 r + r), each step reduced at once: divisor < 2^127 keeps every sum within 128 bits.
  Uint128 start = *rest;
  Uint128 value = reduce(start * 2);
  digit *= 2;
  value = reduce(value * 2);
  value = reduce(value + start);
  digit *= 2;
  *rest = reduce(value * 2);
  return digit;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

}  // namespace

Result<DecimalValue> ParseDecimal(std::string_view text) {
  auto malformed = [&] {
    return Status(ErrorKind::Execution, "invalid number '" + std::string(text.substr(0, 64)) + "'");
  };
  std::string_view in = Trim(text);
  bool negative = in.starts_with('-');
  if (negative || in.starts_with('+')) in.remove_prefix(1);

  Uint128 magnitude = 0;
  int64_t scale = 0;
  int64_t dropped = 0;  // digits after the 38th significant one
  bool round_up = false;
  bool any_digit = false;
  bool after_point = false;
  for (; !in.empty() && (IsDigit(in[0]) || (in[0] == '.' && !after_point)); in.remove_prefix(1)) {
    if (in[0] == '.') {
      after_point = true;
      continue;
    }
    any_digit = true;
    int digit = in[0] - '0';
    if (dropped == 0 && magnitude <= (kUnscaledMax - 9) / 10) {
      magnitude = magnitude * 10 + digit;
      scale += after_point;
    } else {
      if (dropped++ == 0) round_up = digit >= 5;
      scale += after_point;
    }
  }
  if (!any_digit) return malformed();
  if (!in.empty()) {
    if (in[0] != 'e' && in[0] != 'E') return malformed();
    in.remove_prefix(1);
    if (in.starts_with('+') && in.size() > 1 && in[1] != '-') in.remove_prefix(1);
    int exponent = 0;
    auto [end, error] = std::from_chars(in.data(), in.data() + in.size(), exponent);
    if (end != in.data() + in.size() || in.empty()) return malformed();
    if (error != std::errc()) return OutOfRange();
    scale -= exponent;
  }
  scale -= dropped;
  magnitude += round_up;
  if (magnitude == 0)
    return DecimalValue{0, static_cast<uint8_t>(std::clamp<int64_t>(scale, 0, kDigitsMax))};
  if (scale > kDigitsMax) {
    magnitude = DropDigits(magnitude, static_cast<int>(std::min<int64_t>(scale - kDigitsMax, 100)));
    scale = kDigitsMax;
  }
  if (scale < 0) {
    if (-scale > kDigitsMax || !AddDigits(magnitude, static_cast<int>(-scale), &magnitude)) {
      return OutOfRange();
    }
    scale = 0;
  }
  if (magnitude > kUnscaledMax) return OutOfRange();
  return DecimalValue{Signed(magnitude, negative), static_cast<uint8_t>(scale)};
}

std::string FormatDecimal(Int128 unscaled, uint8_t scale) {
  std::string text;
  AppendDecimal(unscaled, scale, &text);
  return text;
}

void AppendDecimal(Int128 unscaled, uint8_t scale, std::string* out) {
  char buffer[48 + UINT8_MAX];
  char* end = buffer + sizeof buffer;
  char* at = end;
  Uint128 magnitude = Magnitude(unscaled);
  int written = 0;
  while (magnitude != 0 || written <= scale) {
    if (written == scale && scale > 0) *--at = '.';
    // 128-bit division is slow: leave it as soon as the rest fits a register.
    if (magnitude <= UINT64_MAX) {
      uint64_t small = static_cast<uint64_t>(magnitude);
      *--at = static_cast<char>('0' + small % 10);
      magnitude = small / 10;
    } else {
      *--at = static_cast<char>('0' + static_cast<int>(magnitude % 10));
      magnitude /= 10;
    }
    ++written;
  }
  if (unscaled < 0) *--at = '-';
  out->append(at, static_cast<size_t>(end - at));
}

Result<Int128> RescaleDecimal(DecimalValue value, uint8_t precision, uint8_t scale) {
  Uint128 magnitude = Magnitude(value.unscaled);
  if (scale >= value.scale) {
    if (!AddDigits(magnitude, scale - value.scale, &magnitude)) return OutOfRange();
  } else {
    magnitude = DropDigits(magnitude, value.scale - scale);
  }
  if (magnitude >= kPowers[std::min<int>(precision, kDigitsMax)]) return OutOfRange();
  return Signed(magnitude, value.unscaled < 0);
}

Result<DecimalValue> AddDecimals(DecimalValue a, DecimalValue b) {
  KALAM_RETURN_IF_ERROR(Align(&a, &b));
  Int128 sum = a.unscaled + b.unscaled;  // both below 10^38: no overflow of 2^127
  if (Magnitude(sum) > kUnscaledMax) return OutOfRange();
  return DecimalValue{sum, a.scale};
}

Result<DecimalValue> SubtractDecimals(DecimalValue a, DecimalValue b) {
  b.unscaled = -b.unscaled;
  return AddDecimals(a, b);
}

Result<DecimalValue> MultiplyDecimals(DecimalValue a, DecimalValue b) {
  Product product = Product::Of(Magnitude(a.unscaled), Magnitude(b.unscaled));
  int scale = a.scale + b.scale;
  uint32_t last_dropped = 0;
  while (scale > kDigitsMax || (!product.fits() && scale > std::max(a.scale, b.scale))) {
    last_dropped = product.DivideByTen();
    --scale;
  }
  if (!product.fits()) return OutOfRange();
  Uint128 magnitude = product.low() + (last_dropped >= 5 ? 1 : 0);
  if (magnitude > kUnscaledMax) return OutOfRange();
  return DecimalValue{Signed(magnitude, (a.unscaled < 0) != (b.unscaled < 0)),
                      static_cast<uint8_t>(scale)};
}

Result<DecimalValue> DivideDecimals(DecimalValue a, DecimalValue b) {
  if (b.unscaled == 0) return Status(ErrorKind::Execution, "division by zero");
  Uint128 dividend = Magnitude(a.unscaled);
  Uint128 divisor = Magnitude(b.unscaled);
  int scale = QuotientScale(dividend, a.scale, divisor, b.scale);
  int digits = scale + b.scale - a.scale;
  Uint128 quotient = dividend / divisor;
  Uint128 rest = dividend % divisor;
  for (int i = 0; i < digits; ++i) {
    uint32_t digit = NextDigit(divisor, &rest);
    if (quotient > (kUnscaledMax - digit) / 10) return OutOfRange();
    quotient = quotient * 10 + digit;
  }
  if (digits < 0) {
    quotient = DropDigits(quotient, -digits);
  } else if (rest >= divisor - rest) {
    ++quotient;
  }
  if (quotient > kUnscaledMax) return OutOfRange();
  return DecimalValue{Signed(quotient, (a.unscaled < 0) != (b.unscaled < 0)),
                      static_cast<uint8_t>(scale)};
}

Result<DecimalValue> RemainderDecimals(DecimalValue a, DecimalValue b) {
  if (b.unscaled == 0) return Status(ErrorKind::Execution, "division by zero");
  uint8_t scale = std::max(a.scale, b.scale);
  Uint128 dividend = Magnitude(a.unscaled);
  Uint128 divisor = Magnitude(b.unscaled);
  Uint128 rest = 0;
  if (b.scale >= a.scale) {
    rest = dividend % divisor;
    for (int i = a.scale; i < scale; ++i) NextDigit(divisor, &rest);
  } else if (AddDigits(divisor, scale - b.scale, &divisor)) {
    rest = dividend % divisor;
  } else {
    rest = dividend;  // the divisor has more digits than any dividend
  }
  if (rest > kUnscaledMax) return OutOfRange();
  return DecimalValue{Signed(rest, a.unscaled < 0), scale};
}

int CompareDecimals(DecimalValue a, DecimalValue b) {
  bool a_negative = a.unscaled < 0;
  if (a_negative != (b.unscaled < 0)) return a_negative ? -1 : 1;
  Uint128 a_magnitude = Magnitude(a.unscaled);
  Uint128 b_magnitude = Magnitude(b.unscaled);
  int order = 0;
  uint8_t scale = std::max(a.scale, b.scale);
  // The one that outgrows 38 digits at the common scale is the greater one: the other has at most
  // 38 there.
  if (!AddDigits(a_magnitude, scale - a.scale, &a_magnitude)) {
    order = 1;
  } else if (!AddDigits(b_magnitude, scale - b.scale, &b_magnitude)) {
    order = -1;
  } else {
    order = a_magnitude < b_magnitude ? -1 : a_magnitude > b_magnitude ? 1 : 0;
  }
  return a_negative ? -order : order;
}

double DecimalToDouble(DecimalValue value) {
  Uint128 magnitude = Magnitude(value.unscaled);
  constexpr Uint128 kExactMax = Uint128{1} << 53;
  double result = 0;
  if (magnitude <= kExactMax && value.scale <= 22) {
    // Both operands are exact doubles, so that the one rounding of the division is the right one.
    result = static_cast<double>(magnitude) / static_cast<double>(kPowers[value.scale]);
  } else {
    std::string text = FormatDecimal(Signed(magnitude, false), value.scale);
    std::from_chars(text.data(), text.data() + text.size(), result);
  }
  return value.unscaled < 0 ? -result : result;
}

Result<DecimalValue> DecimalFromDouble(double value) {
  if (!std::isfinite(value)) return OutOfRange();
  char text[32];
  auto [end, error] = std::to_chars(text, text + sizeof text, value);
  if (error != std::errc()) return OutOfRange();
  return ParseDecimal({text, static_cast<size_t>(end - text)});
}

}  // namespace kalam
