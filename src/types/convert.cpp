// Conversions of values, one function a target kind; writes and casts differ only in the few places
// that ask for `Mode`.
#include "types/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "types/datetime.h"
#include "types/decimal.h"
#include "types/number_text.h"

namespace kalam {
namespace {

constexpr int64_t kUsPerDay = int64_t{86'400} * 1'000'000;
constexpr size_t kUuidBytes = 16;

enum class Mode : uint8_t { kWrite, kCast };

bool IsFloat(TypeKind kind) { return kind == TypeKind::kFloat || kind == TypeKind::kDouble; }
bool IsInstant(TypeKind kind) {
  return kind == TypeKind::kTimestamp || kind == TypeKind::kDateTime;
}

Status CannotCast(const Datum& value, const DataType& type, std::string_view reason) {
  std::string text = ToText(value);
  constexpr size_t kShownMax = 80;
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "...";
  return Status(ErrorKind::Execution,
                fmt::format("Unable to cast value '{}' to {}: {}", text, SqlName(type), reason));
}

Status NoConversion(const Datum& value, const DataType& type) {
  return CannotCast(
      value, type,
      fmt::format("there is no conversion from {}", SqlName(DataType::Of(value.kind))));
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

std::string FoldCase(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return folded;
}

bool FitsKind(__int128 value, TypeKind kind) {
  switch (kind) {
    case TypeKind::kSmallInt:
      return value >= INT16_MIN && value <= INT16_MAX;
    case TypeKind::kInt:
    case TypeKind::kDate:
      return value >= INT32_MIN && value <= INT32_MAX;
    default:
      return value >= INT64_MIN && value <= INT64_MAX;
  }
}

Result<Datum> ToBoolean(const Datum& value, const DataType& type) {
  if (DataType::Of(value.kind).is_integer()) return Datum::Boolean(value.i != 0);
  if (!DataType::Of(value.kind).is_text()) return NoConversion(value, type);
  std::string text = FoldCase(Trim(value.text()));
  for (std::string_view yes : {"true", "t", "yes", "y", "on", "1"}) {
    if (text == yes) return Datum::Boolean(true);
  }
  for (std::string_view no : {"false", "f", "no", "n", "off", "0"}) {
    if (text == no) return Datum::Boolean(false);
  }
  return CannotCast(value, type, "not a boolean");
}

Result<Datum> IntegerFromFloat(const Datum& value, const DataType& type, Mode mode) {
  // nearbyint rounds half to even in the default rounding mode, which nothing of ours changes.
  double whole = mode == Mode::kWrite ? std::trunc(value.d) : std::nearbyint(value.d);
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (!(whole >= -kTwoTo63 && whole < kTwoTo63) ||
      !FitsKind(static_cast<int64_t>(whole), type.kind)) {
    return CannotCast(value, type, "out of range");
  }
  return Datum::OfInt(type.kind, static_cast<int64_t>(whole));
}

Result<Datum> IntegerFromDecimal(const Datum& value, const DataType& type, Mode mode) {
  DecimalValue decimal{value.decimal(), value.scale};
  __int128 whole = decimal.unscaled;
  if (mode == Mode::kWrite) {
    for (int i = 0; i < decimal.scale; ++i) whole /= 10;
  } else {
    KALAM_ASSIGN_OR_RETURN(whole, RescaleDecimal(decimal, 38, 0));
  }
  if (!FitsKind(whole, type.kind)) return CannotCast(value, type, "out of range");
  return Datum::OfInt(type.kind, static_cast<int64_t>(whole));
}

Result<Datum> ToInteger(const Datum& value, const DataType& type, Mode mode) {
  DataType from = DataType::Of(value.kind);
  if (from.is_integer() || from.is_temporal() || from.kind == TypeKind::kBoolean) {
    if (!FitsKind(value.i, type.kind)) return CannotCast(value, type, "out of range");
    return Datum::OfInt(type.kind, value.i);
  }
  if (IsFloat(from.kind)) return IntegerFromFloat(value, type, mode);
  if (from.kind == TypeKind::kDecimal) return IntegerFromDecimal(value, type, mode);
  if (!from.is_text()) return NoConversion(value, type);
  std::string_view text = Trim(value.text());
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error == std::errc::invalid_argument || end != text.data() + text.size()) {
    return CannotCast(value, type, "not an integer");
  }
  if (error != std::errc() || !FitsKind(number, type.kind)) {
    return CannotCast(value, type, "out of range");
  }
  return Datum::OfInt(type.kind, number);
}

Result<Datum> FloatFromText(const Datum& value, const DataType& type) {
  std::string_view text = Trim(value.text());
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double number = 0;
  // from_chars reads NaN, inf and infinity in any case, and no hexadecimal form.
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) return CannotCast(value, type, "out of range");
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return CannotCast(value, type, "not a number");
  }
  return Datum::Double(number);
}

Result<Datum> ToFloat(const Datum& value, const DataType& type) {
  DataType from = DataType::Of(value.kind);
  Datum result;
  if (from.is_integer()) {
    result = Datum::Double(static_cast<double>(value.i));
  } else if (IsFloat(from.kind)) {
    result = Datum::Double(value.d);
  } else if (from.kind == TypeKind::kDecimal) {
    result = Datum::Double(DecimalToDouble({value.decimal(), value.scale}));
  } else if (from.is_text()) {
    KALAM_ASSIGN_OR_RETURN(result, FloatFromText(value, type));
  } else {
    return NoConversion(value, type);
  }
  if (type.kind == TypeKind::kFloat) {
    constexpr double kFloatMax = std::numeric_limits<float>::max();
    if (std::isfinite(result.d) && std::abs(result.d) > kFloatMax) {
      return CannotCast(value, type, "out of range");
    }
    result.d = static_cast<float>(result.d);
    result.kind = TypeKind::kFloat;
  }
  return result;
}

Result<Datum> ToDecimal(const Datum& value, const DataType& type) {
  DataType from = DataType::Of(value.kind);
  Result<DecimalValue> decimal = DecimalValue{};
  if (from.is_integer()) {
    decimal = DecimalValue{value.i, 0};
  } else if (IsFloat(from.kind)) {
    // A FLOAT counts by its own shortest text, not by the digits that widening uncovers.
    decimal = from.kind == TypeKind::kFloat && std::isfinite(value.d) ? ParseDecimal(ToText(value))
                                                                      : DecimalFromDouble(value.d);
  } else if (from.kind == TypeKind::kDecimal) {
    decimal = DecimalValue{value.decimal(), value.scale};
  } else if (from.is_text()) {
    decimal = ParseDecimal(value.text());
  } else {
    return NoConversion(value, type);
  }
  if (!decimal.ok()) return CannotCast(value, type, decimal.status().message());
  if (type.precision == 0) return Datum::Decimal(decimal->unscaled, decimal->scale);
  Result<Int128> rescaled = RescaleDecimal(*decimal, type.precision, type.scale);
  if (!rescaled.ok()) return CannotCast(value, type, rescaled.status().message());
  return Datum::Decimal(*rescaled, type.scale);
}

Result<Datum> ToInstant(const Datum& value, const DataType& type) {
  DataType from = DataType::Of(value.kind);
  if (from.is_integer() || IsInstant(from.kind)) return Datum::OfInt(type.kind, value.i);
  if (from.kind == TypeKind::kDate) {
    __int128 us = static_cast<__int128>(value.i) * kUsPerDay;
    if (!FitsKind(us, type.kind)) return CannotCast(value, type, "out of range");
    return Datum::OfInt(type.kind, static_cast<int64_t>(us));
  }
  if (!from.is_text()) return NoConversion(value, type);
  Result<int64_t> us = ParseTimestampUs(value.text());
  if (!us.ok()) return CannotCast(value, type, us.status().message());
  return Datum::OfInt(type.kind, *us);
}

Result<Datum> ToDate(const Datum& value, const DataType& type) {
  DataType from = DataType::Of(value.kind);
  if (from.is_integer()) {
    if (!FitsKind(value.i, type.kind)) return CannotCast(value, type, "out of range");
    return Datum::OfInt(type.kind, value.i);
  }
  if (IsInstant(from.kind)) {
    int64_t days = value.i / kUsPerDay - (value.i % kUsPerDay < 0);
    return Datum::OfInt(type.kind, days);
  }
  if (!from.is_text()) return NoConversion(value, type);
  Result<int32_t> days = ParseDateDays(value.text());
  if (!days.ok()) return CannotCast(value, type, days.status().message());
  return Datum::OfInt(type.kind, *days);
}

Result<Datum> ToTime(const Datum& value, const DataType& type) {
  DataType from = DataType::Of(value.kind);
  if (from.is_integer()) {
    if (value.i < 0 || value.i >= kUsPerDay) return CannotCast(value, type, "out of range");
    return Datum::OfInt(type.kind, value.i);
  }
  if (IsInstant(from.kind)) {
    return Datum::OfInt(type.kind, (value.i % kUsPerDay + kUsPerDay) % kUsPerDay);
  }
  if (!from.is_text()) return NoConversion(value, type);
  Result<int64_t> us = ParseTimeUs(value.text());
  if (!us.ok()) return CannotCast(value, type, us.status().message());
  return Datum::OfInt(type.kind, *us);
}

Result<Datum> ToInterval(const Datum& value, const DataType& type) {
  if (value.kind == TypeKind::kTime) return Datum::OfInterval(0, 0, value.i);
  if (!DataType::Of(value.kind).is_text()) return NoConversion(value, type);
  Result<Datum::Interval> interval = ParseInterval(value.text());
  if (!interval.ok()) return CannotCast(value, type, interval.status().message());
  return Datum::OfInterval(interval->months, interval->days, interval->us);
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Hyphenated 8-4-4-4-12, 32 digits, either in braces or after `urn:uuid:`.
bool ParseUuid(std::string_view text, char* bytes) {
  text = Trim(text);
  if (FoldCase(text.substr(0, 9)) == "urn:uuid:") text.remove_prefix(9);
  if (text.starts_with('{') && text.ends_with('}')) text = text.substr(1, text.size() - 2);
  if (text.size() != 32 && text.size() != 36) return false;
  bool hyphens = text.size() == 36;
  for (size_t i = 0, digit = 0; i < text.size(); ++i) {
    if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (text[i] != '-') return false;
      continue;
    }
    int value = HexValue(text[i]);
    if (value < 0) return false;
    char& byte = bytes[digit / 2];
    byte = static_cast<char>(digit % 2 == 0 ? value << 4 : byte | value);
    ++digit;
  }
  return true;
}

Result<Datum> ToUuid(const Datum& value, const DataType& type, Arena* arena) {
  if (value.kind == TypeKind::kBytes && value.size == kUuidBytes) {
    return Datum::Bytes(type.kind, value.text());
  }
  if (!DataType::Of(value.kind).is_text()) return NoConversion(value, type);
  char bytes[kUuidBytes];
  if (!ParseUuid(value.text(), bytes)) {
    return Status(ErrorKind::Execution,
                  fmt::format("Invalid UUID literal '{}'", value.text().substr(0, 64)));
  }
  return Datum::Bytes(type.kind, arena->Copy({bytes, kUuidBytes}));
}

/// Reads `[n, n, ...]` and appends each number as four bytes; false when it is malformed or a
/// number is not finite.
bool ParseEmbedding(std::string_view text, std::string* bytes) {
  text = Trim(text);
  if (!text.starts_with('[') || !text.ends_with(']') || text.size() < 2) return false;
  text = Trim(text.substr(1, text.size() - 2));
  while (!text.empty()) {
    float number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || !std::isfinite(number)) return false;
    char raw[sizeof number];
    std::memcpy(raw, &number, sizeof number);
    bytes->append(raw, sizeof raw);
    text = Trim(text.substr(static_cast<size_t>(end - text.data())));
    if (text.empty()) return true;
    if (!text.starts_with(',')) return false;
    text = Trim(text.substr(1));
    if (text.empty()) return false;
  }
  return true;
}

Result<Datum> ToEmbedding(const Datum& value, const DataType& type, Arena* arena) {
  std::string parsed;
  std::string_view bytes = value.text();
  if (DataType::Of(value.kind).is_text()) {
    if (!ParseEmbedding(value.text(), &parsed)) {
      return Status(ErrorKind::Execution, "Invalid embedding JSON: expected an array of numbers");
    }
    bytes = parsed;
  } else if (value.kind != TypeKind::kEmbedding && value.kind != TypeKind::kBytes) {
    return NoConversion(value, type);
  }
  size_t dimension = bytes.size() / sizeof(float);
  if (dimension != type.dimension || bytes.size() % sizeof(float) != 0) {
    return Status(ErrorKind::Execution,
                  fmt::format("Embedding dimension mismatch: expected {}, got {}", type.dimension,
                              dimension));
  }
  return Datum::Bytes(type.kind, parsed.empty() ? bytes : arena->Copy(parsed));
}

Result<Datum> Convert(const Datum& value, const DataType& type, Mode mode, Arena* arena) {
  if (value.is_null) return Datum::Null(type.kind);
  switch (type.kind) {
    case TypeKind::kNull:
      return value;
    case TypeKind::kBoolean:
      return value.kind == TypeKind::kBoolean ? value : ToBoolean(value, type);
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
      return ToInteger(value, type, mode);
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return ToFloat(value, type);
    case TypeKind::kDecimal:
      return ToDecimal(value, type);
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return ToInstant(value, type);
    case TypeKind::kDate:
      return value.kind == TypeKind::kDate ? value : ToDate(value, type);
    case TypeKind::kTime:
      return value.kind == TypeKind::kTime ? value : ToTime(value, type);
    case TypeKind::kInterval:
      return value.kind == TypeKind::kInterval ? value : ToInterval(value, type);
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      if (DataType::Of(value.kind).is_text()) return Datum::Bytes(type.kind, value.text());
      return Datum::Bytes(type.kind, arena->Copy(ToText(value)));
    case TypeKind::kBytes:
      if (!DataType::Of(value.kind).is_bytes_like()) return NoConversion(value, type);
      return Datum::Bytes(type.kind, value.text());
    case TypeKind::kUuid:
      return value.kind == TypeKind::kUuid ? value : ToUuid(value, type, arena);
    case TypeKind::kEmbedding:
      return ToEmbedding(value, type, arena);
  }
  return NoConversion(value, type);
}

std::string HexText(std::string_view bytes) {
  std::string text = "\\x";
  for (char byte : bytes)
    fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<uint8_t>(byte));
  return text;
}

std::string EmbeddingText(std::string_view bytes) {
  std::string text = "[";
  for (size_t i = 0; i + sizeof(float) <= bytes.size(); i += sizeof(float)) {
    float number;
    std::memcpy(&number, bytes.data() + i, sizeof number);
    if (i > 0) text.push_back(',');
    AppendFloat(number, &text);
  }
  text.push_back(']');
  return text;
}

}  // namespace

Result<Datum> CoerceForWrite(const Datum& value, const DataType& type, Arena* arena) {
  return Convert(value, type, Mode::kWrite, arena);
}

Result<Datum> Cast(const Datum& value, const DataType& type, Arena* arena) {
  return Convert(value, type, Mode::kCast, arena);
}

std::string ToText(const Datum& value) {
  std::string text;
  switch (value.kind) {
    case TypeKind::kBoolean:
      return value.boolean() ? "true" : "false";
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
      AppendInteger(value.i, &text);
      return text;
    case TypeKind::kDouble:
      AppendDouble(value.d, &text);
      return text;
    case TypeKind::kFloat:
      AppendFloat(static_cast<float>(value.d), &text);
      return text;
    case TypeKind::kDecimal:
      return FormatDecimal(value.decimal(), value.scale);
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return FormatTimestamp(value.i);
    case TypeKind::kDate:
      return FormatDate(static_cast<int32_t>(value.i));
    case TypeKind::kTime:
      return FormatTime(value.i);
    case TypeKind::kInterval:
      return FormatInterval(value.interval);
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      return std::string(value.text());
    case TypeKind::kBytes:
      return HexText(value.text());
    case TypeKind::kEmbedding:
      return EmbeddingText(value.text());
    case TypeKind::kUuid: {
      text = HexText(value.text()).substr(2);
      for (size_t hyphen : {20, 16, 12, 8}) text.insert(std::min(hyphen, text.size()), 1, '-');
      return text;
    }
    case TypeKind::kNull:
      break;
  }
  return text;
}

}  // namespace kalam
