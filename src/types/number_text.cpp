// Shortest round-trip digits from the standard library, put into PostgreSQL's notation.
#include "types/number_text.h"

#include <charconv>
#include <cmath>

namespace kalam {
namespace {

/// Splits `digits[.digits]e±exponent`, as to_chars writes it, and appends it as PostgreSQL would.
template <typename Number>
void AppendShortest(Number value, int fixed_exponent_max, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
    return;
  }
  if (std::isinf(value)) {
    out->append(value < 0 ? "-Infinity" : "Infinity");
    return;
  }
  constexpr Number kExactIntegerMax = 1e6;
  if (value == std::trunc(value) && std::abs(value) < kExactIntegerMax && !std::signbit(value)) {
    AppendInteger(static_cast<int64_t>(value), out);  // the common small whole numbers
    return;
  }
  char text[40];
  const char* end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  const char* at = text;
  if (*at == '-') out->push_back(*at++);
  char digits[24];
  int digit_count = 0;
  for (; *at != 'e'; ++at) {
    if (*at != '.') digits[digit_count++] = *at;
  }
  const char* exponent_text = at;
  int exponent = 0;
  ++at;
  bool negative = *at++ == '-';
  std::from_chars(at, end, exponent);
  if (negative) exponent = -exponent;

  if (exponent < -4 || exponent >= fixed_exponent_max) {
    out->push_back(digits[0]);
    if (digit_count > 1) {
      out->push_back('.');
      out->append(digits + 1, digit_count - 1);
    }
    out->append(exponent_text, end - exponent_text);
  } else if (exponent < 0) {
    out->append("0.");
    out->append(-exponent - 1, '0');
    out->append(digits, digit_count);
  } else if (digit_count <= exponent + 1) {
    out->append(digits, digit_count);
    out->append(exponent + 1 - digit_count, '0');
  } else {
    out->append(digits, exponent + 1);
    out->push_back('.');
    out->append(digits + exponent + 1, digit_count - exponent - 1);
  }
}

}  // namespace

void AppendInteger(int64_t value, std::string* out) {
  char text[24];
  const char* end = std::to_chars(text, text + sizeof text, value).ptr;
  out->append(text, end - text);
}

void AppendDouble(double value, std::string* out) { AppendShortest(value, 15, out); }
void AppendFloat(float value, std::string* out) { AppendShortest(value, 6, out); }

}  // namespace kalam
