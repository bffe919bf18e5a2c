// UTF-8 decoding and simple case mapping.
#include "query/unicode.h"

namespace kalam::query {

namespace {

/// Invalid bytes are mapped out of Unicode's range, so that they compare equal only to themselves.
constexpr char32_t kInvalidByteBase = 0x110000;

bool InRange(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

}  // namespace

char32_t NextCodePoint(std::string_view* text) {
  const auto byte = [&](size_t index) { return static_cast<unsigned char>((*text)[index]); };
  const unsigned char lead = byte(0);
  const int length = lead < 0x80                   ? 1
                     : lead >= 0xC2 && lead < 0xE0 ? 2
                     : lead >= 0xE0 && lead < 0xF0 ? 3
                     : lead >= 0xF0 && lead < 0xF5 ? 4
                                                   : 0;
  if (length == 1) {
    text->remove_prefix(1);
    return lead;
  }
  if (length > 1 && text->size() >= static_cast<size_t>(length)) {
    char32_t code_point = lead & (0x7F >> length);
    bool valid = true;
    for (int i = 1; i < length; ++i) {
      valid = valid && (byte(i) & 0xC0) == 0x80;
      code_point = (code_point << 6) | (byte(i) & 0x3F);
    }
    if (valid) {
      text->remove_prefix(static_cast<size_t>(length));
      return code_point;
    }
  }
  text->remove_prefix(1);
  return kInvalidByteBase + lead;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  if (code_point >= kInvalidByteBase) {
    out->push_back(static_cast<char>(code_point - kInvalidByteBase));
  } else if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else if (code_point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    out->push_back(static_cast<char>(0x80 | ((code_point >> 12) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  }
}

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  while (!text.empty()) {
    NextCodePoint(&text);
    ++count;
  }
  return count;
}

size_t BytesOfCodePoints(std::string_view text, size_t count) {
  const size_t size = text.size();
  while (count > 0 && !text.empty()) {
    NextCodePoint(&text);
    --count;
  }
  return size - text.size();
}

char32_t ToLower(char32_t c) {
  if (c < 0x80) return InRange(c, 'A', 'Z') ? c + 32 : c;
  if (InRange(c, 0xC0, 0xDE) && c != 0xD7) return c + 32;
  if ((InRange(c, 0x100, 0x137) && c != 0x130) || InRange(c, 0x14A, 0x177)) return c | 1;
  if ((InRange(c, 0x139, 0x148) || InRange(c, 0x179, 0x17E)) && (c & 1) != 0) return c + 1;
  if (c == 0x178) return 0xFF;
  if (InRange(c, 0x391, 0x3AB) && c != 0x3A2) return c + 32;
  if (c == 0x386) return 0x3AC;
  if (InRange(c, 0x388, 0x38A)) return c + 37;
  if (InRange(c, 0x410, 0x42F)) return c + 32;
  if (InRange(c, 0x400, 0x40F)) return c + 80;
  if (InRange(c, 0x460, 0x481) || InRange(c, 0x48A, 0x4BF) || InRange(c, 0x4D0, 0x52F))
    return c | 1;
  if (InRange(c, 0x531, 0x556)) return c + 48;
  if (InRange(c, 0x1E00, 0x1E95) || InRange(c, 0x1EA0, 0x1EFF)) return c | 1;
  return c;
}

char32_t ToUpper(char32_t c) {
  if (c < 0x80) return InRange(c, 'a', 'z') ? c - 32 : c;
  if (InRange(c, 0xE0, 0xFE) && c != 0xF7) return c - 32;
  if (c == 0xFF) return 0x178;
  if ((InRange(c, 0x100, 0x137) && c != 0x131) || InRange(c, 0x14A, 0x177)) return c & ~char32_t{1};
  if ((InRange(c, 0x139, 0x148) || InRange(c, 0x179, 0x17E)) && (c & 1) == 0) return c - 1;
  if (InRange(c, 0x3B1, 0x3CB) && c != 0x3C2) return c - 32;
  if (c == 0x3AC) return 0x386;
  if (InRange(c, 0x3AD, 0x3AF)) return c - 37;
  if (InRange(c, 0x430, 0x44F)) return c - 32;
  if (InRange(c, 0x450, 0x45F)) return c - 80;
  if (InRange(c, 0x460, 0x481) || InRange(c, 0x48A, 0x4BF) || InRange(c, 0x4D0, 0x52F))
    return c & ~char32_t{1};
  if (InRange(c, 0x561, 0x586)) return c - 48;
  if (InRange(c, 0x1E00, 0x1E95) || InRange(c, 0x1EA0, 0x1EFF)) return c & ~char32_t{1};
  return c;
}

bool IsLetterOrDigit(char32_t c) {
  if (c < 0x80) return InRange(c, '0', '9') || InRange(c, 'a', 'z') || InRange(c, 'A', 'Z');
  return c >= 0xC0 && c < kInvalidByteBase && c != 0xD7 && c != 0xF7 && !InRange(c, 0x2000, 0x206F);
}

}  // namespace kalam::query
