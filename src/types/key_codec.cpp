// The memcomparable encodings, one per representation.
#include "types/key_codec.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace kalam {
namespace {

constexpr char kEscape = '\x00';
constexpr char kEscapedZero = '\xff';
constexpr char kTerminator = '\x01';
constexpr size_t kUuidBytes = 16;

/// Appends the low `size` bytes of `value`, most significant first.
void PutBigEndian(uint64_t value, size_t size, std::string* out) {
  char bytes[8];
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<char>(value >> (8 * (size - 1 - i)));
  }
  out->append(bytes, size);
}

uint64_t ReadBigEndian(const char* bytes, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

/// Width of a signed integer key, 0 for kinds that are encoded differently.
size_t IntegerWidth(TypeKind kind) {
  switch (kind) {
    case TypeKind::kBoolean:
      return 1;
    case TypeKind::kSmallInt:
      return 2;
    case TypeKind::kInt:
    case TypeKind::kDate:
      return 4;
    case TypeKind::kBigInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kTime:
      return 8;
    default:
      return 0;
  }
}

uint64_t SignBit(size_t width) { return uint64_t{1} << (8 * width - 1); }

uint64_t OrderedBits(double value) {
  if (value == 0) value = 0;  // -0 and 0 are one key
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  uint64_t bits = std::bit_cast<uint64_t>(value);
  return bits >> 63 ? ~bits : bits | SignBit(8);
}

double DoubleFromOrderedBits(uint64_t bits) {
  return std::bit_cast<double>(bits >> 63 ? bits & ~SignBit(8) : ~bits);
}

/// Length of the escaped run that `in` begins with, terminator included, and its unescaped length;
/// false when malformed.
bool MeasureEscaped(std::string_view in, size_t* escaped_size, size_t* plain_size) {
  size_t plain = 0;
  for (size_t i = 0; i < in.size(); ++i, ++plain) {
    if (in[i] != kEscape) continue;
    if (++i >= in.size()) return false;
    if (in[i] == kTerminator) {
      *escaped_size = i + 1;
      *plain_size = plain;
      return true;
    }
    if (in[i] != kEscapedZero) return false;
  }
  return false;
}

void Unescape(std::string_view escaped, char* out) {
  for (size_t i = 0; i + 2 < escaped.size(); ++i) {
    *out++ = escaped[i];
    if (escaped[i] == kEscape) ++i;
  }
}

void EscapeZeros(std::string_view text, std::string* out) {
  size_t begin = 0;
  for (size_t zero = text.find(kEscape); zero != std::string_view::npos;
       zero = text.find(kEscape, begin)) {
    out->append(text, begin, zero + 1 - begin);
    out->push_back(kEscapedZero);
    begin = zero + 1;
  }
  out->append(text, begin);
}

Status Malformed() { return Status(ErrorKind::Corruption, "a key is malformed"); }

Result<std::string_view> Take(std::string_view* in, size_t size) {
  if (in->size() < size) return Malformed();
  std::string_view taken = in->substr(0, size);
  in->remove_prefix(size);
  return taken;
}

}  // namespace

void EncodeBigEndian32(uint32_t value, std::string* out) { PutBigEndian(value, 4, out); }
void EncodeBigEndian64(uint64_t value, std::string* out) { PutBigEndian(value, 8, out); }
uint32_t DecodeBigEndian32(const char* bytes) {
  return static_cast<uint32_t>(ReadBigEndian(bytes, 4));
}
uint64_t DecodeBigEndian64(const char* bytes) { return ReadBigEndian(bytes, 8); }

void EncodeKeyTextPrefix(std::string_view prefix, std::string* out) { EscapeZeros(prefix, out); }

void EncodeKeyText(std::string_view text, std::string* out) {
  EscapeZeros(text, out);
  out->push_back(kEscape);
  out->push_back(kTerminator);
}
bool DecodeKeyText(std::string_view* in, std::string* text) {
  size_t escaped_size = 0;
  size_t plain_size = 0;
  if (!MeasureEscaped(*in, &escaped_size, &plain_size)) return false;
  text->resize(plain_size);
  Unescape(in->substr(0, escaped_size), text->data());
  in->remove_prefix(escaped_size);
  return true;
}

void EncodeKey(const Datum& value, std::string* out) {
  KALAM_CHECK(!value.is_null);
  if (size_t width = IntegerWidth(value.kind); width > 0) {
    PutBigEndian(static_cast<uint64_t>(value.i) ^ SignBit(width), width, out);
    return;
  }
  switch (value.kind) {
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      PutBigEndian(OrderedBits(value.d), 8, out);
      return;
    case TypeKind::kDecimal:
      PutBigEndian(static_cast<uint64_t>(value.wide.high) ^ SignBit(8), 8, out);
      PutBigEndian(value.wide.low, 8, out);
      return;
    case TypeKind::kUuid:
      out->append(value.text());
      return;
    default:
      KALAM_CHECK(DataType::Of(value.kind).is_bytes_like());
  }
  EncodeKeyText(value.text(), out);
}

Result<Datum> DecodeKey(const DataType& type, std::string_view* in, Arena* arena) {
  if (size_t width = IntegerWidth(type.kind); width > 0) {
    KALAM_ASSIGN_OR_RETURN(std::string_view bytes, Take(in, width));
    uint64_t raw = ReadBigEndian(bytes.data(), width) ^ SignBit(width);
    int unused_bits = static_cast<int>(64 - 8 * width);
    return Datum::OfInt(type.kind, static_cast<int64_t>(raw << unused_bits) >> unused_bits);
  }
  if (type.kind == TypeKind::kFloat || type.kind == TypeKind::kDouble) {
    KALAM_ASSIGN_OR_RETURN(std::string_view bytes, Take(in, 8));
    Datum datum = Datum::Double(DoubleFromOrderedBits(ReadBigEndian(bytes.data(), 8)));
    datum.kind = type.kind;
    return datum;
  }
  if (type.kind == TypeKind::kDecimal) {
    KALAM_ASSIGN_OR_RETURN(std::string_view bytes, Take(in, 16));
    Datum datum = Datum::Decimal(0, type.scale);
    datum.wide.high = static_cast<int64_t>(ReadBigEndian(bytes.data(), 8) ^ SignBit(8));
    datum.wide.low = ReadBigEndian(bytes.data() + 8, 8);
    return datum;
  }
  if (type.kind == TypeKind::kUuid) {
    KALAM_ASSIGN_OR_RETURN(std::string_view bytes, Take(in, kUuidBytes));
    return Datum::Bytes(type.kind, arena->Copy(bytes));
  }
  size_t escaped_size = 0;
  size_t plain_size = 0;
  if (!type.is_bytes_like() || !MeasureEscaped(*in, &escaped_size, &plain_size)) {
    return Malformed();
  }
  char* plain = arena->Allocate(plain_size);
  Unescape(in->substr(0, escaped_size), plain);
  in->remove_prefix(escaped_size);
  return Datum::Bytes(type.kind, {plain, plain_size});
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
  return end;
}

}  // namespace kalam
