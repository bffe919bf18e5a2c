// Just enough of Unicode for SQL's text functions: code points in UTF-8 and simple case mapping.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kalam::query {

/// Reads one code point from the front of `*text` (not empty) and drops it; an invalid byte counts
/// as one character.
char32_t NextCodePoint(std::string_view* text);
void AppendUtf8(char32_t code_point, std::string* out);
size_t CountCodePoints(std::string_view text);
/// The bytes of the first `count` code points (all when there are fewer).
size_t BytesOfCodePoints(std::string_view text, size_t count);

/// One-to-one case mapping of Latin, Greek, Cyrillic and Armenian letters; everything else stays.
char32_t ToLower(char32_t code_point);
char32_t ToUpper(char32_t code_point);
bool IsLetterOrDigit(char32_t code_point);

}  // namespace kalam::query
