// The JSON of cells, on the path of every answer: appends into the caller's buffer and allocates
// nothing of its own.
#include <emmintrin.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "types/convert.h"
#include "types/decimal.h"
#include "types/number_text.h"

namespace kalam {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Length of the run at the front that needs no escape: ASCII without controls, quotes and
/// backslashes.
size_t PlainRun(const char* at, const char* end) {
  const char* begin = at;
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i space = _mm_set1_epi8(' ');
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // The signed comparison finds controls and everything from 0x80 on at once.
    __m128i special =
        _mm_or_si128(_mm_cmplt_epi8(bytes, space),
                     _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
    uint32_t mask = static_cast<uint32_t>(_mm_movemask_epi8(special));
    if (mask != 0) return static_cast<size_t>(at - begin) + std::countr_zero(mask);
  }
  while (at < end && static_cast<signed char>(*at) >= ' ' && *at != '"' && *at != '\\') ++at;
  return static_cast<size_t>(at - begin);
}

/// Length of the valid UTF-8 sequence (2 to 4 bytes) at the front, 0 when it is none (RFC 3629).
inline size_t SequenceLength(const char* at, const char* end) {
  auto byte = [at](int i) { return static_cast<uint8_t>(at[i]); };
  auto continues = [&](int i) { return (byte(i) & 0xC0) == 0x80; };
  ptrdiff_t left = end - at;
  uint8_t lead = byte(0);
  if (lead >= 0xC2 && lead <= 0xDF) return left >= 2 && continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (left < 3 || !continues(1) || !continues(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (lead == 0xED && byte(1) > 0x9F) return 0;  // surrogates
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;  // overlong
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

void AppendEscape(char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    case '\b':
      out->append("\\b");
      return;
    case '\f':
      out->append("\\f");
      return;
    default:
      break;
  }
  char escape[] = "\\u0000";
  escape[4] = kHexDigits[c >> 4 & 0xF];
  escape[5] = kHexDigits[c & 0xF];
  out->append(escape, 6);
}

void AppendJsonDouble(double value, std::string* out) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  size_t begin = out->size();
  AppendDouble(value, out);
  // A whole number keeps its point, so that readers that tell integers from floats see a float.
  if (out->find_first_of(".e", begin) == std::string::npos) out->append(".0");
}

void AppendQuotedInteger(int64_t value, std::string* out) {
  out->push_back('"');
  AppendInteger(value, out);
  out->push_back('"');
}

void AppendByteArray(std::string_view bytes, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendInteger(static_cast<uint8_t>(bytes[i]), out);
  }
  out->push_back(']');
}

void AppendEmbedding(std::string_view bytes, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i + sizeof(float) <= bytes.size(); i += sizeof(float)) {
    if (i > 0) out->push_back(',');
    float number;
    std::memcpy(&number, bytes.data() + i, sizeof number);
    AppendJsonDouble(number, out);
  }
  out->push_back(']');
}

void AppendUuid(std::string_view bytes, std::string* out) {
  char text[36];
  char* at = text;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
    *at++ = kHexDigits[static_cast<uint8_t>(bytes[i]) >> 4];
    *at++ = kHexDigits[static_cast<uint8_t>(bytes[i]) & 0xF];
  }
  out->push_back('"');
  out->append(text, sizeof text);
  out->push_back('"');
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  const char* at = text.data();
  const char* end = at + text.size();
  out->push_back('"');
  while (at < end) {
    const char* run = at;
    // One append covers plain bytes and whole UTF-8 sequences alike.
    bool valid = true;
    while (valid) {
      at += PlainRun(at, end);
      if (at == end || static_cast<signed char>(*at) >= 0) break;
      // Foreign text comes in words: stay here until the next ASCII byte.
      while (valid && at < end && static_cast<signed char>(*at) < 0) {
        size_t length = SequenceLength(at, end);
        at += length;
        valid = length != 0;
      }
    }
    out->append(run, static_cast<size_t>(at - run));
    if (at == end) break;
    if (static_cast<signed char>(*at) < 0) {
      out->append(kReplacement);
    } else {
      AppendEscape(*at, out);
    }
    ++at;
  }
  out->push_back('"');
}

void AppendCellJson(const Datum& cell, const DataType&, std::string* out) {
  if (cell.is_null) {
    out->append("null");
    return;
  }
  switch (cell.kind) {
    case TypeKind::kBoolean:
      out->append(cell.boolean() ? "true" : "false");
      return;
    case TypeKind::kBigInt:
      AppendQuotedInteger(cell.i, out);
      return;
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kDate:
    case TypeKind::kTime:
      AppendInteger(cell.i, out);
      return;
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      AppendJsonDouble(cell.d, out);
      return;
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      AppendJsonString(cell.text(), out);
      return;
    case TypeKind::kBytes:
      AppendByteArray(cell.text(), out);
      return;
    case TypeKind::kEmbedding:
      AppendEmbedding(cell.text(), out);
      return;
    case TypeKind::kUuid:
      AppendUuid(cell.text(), out);
      return;
    case TypeKind::kDecimal:
      out->push_back('"');
      AppendDecimal(cell.decimal(), cell.scale, out);
      out->push_back('"');
      return;
    case TypeKind::kInterval:
      AppendJsonString(ToText(cell), out);
      return;
    case TypeKind::kNull:
      out->append("null");
      return;
  }
}

}  // namespace kalam
