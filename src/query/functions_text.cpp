// Text functions. Positions count code points from 1, as PostgreSQL does.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "query/functions.h"
#include "query/unicode.h"
#include "types/convert.h"

namespace kalam::query {

namespace {

/// Longest text that one call may build: REPEAT and LPAD must not be able to ask for all memory.
constexpr size_t kTextBytesMax = 16u << 20;

Status TooLong() { return Status(ErrorKind::Execution, "the resulting text is too long"); }

template <char32_t (*Map)(char32_t)>
Status MapCase(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string_view text = arguments[0].text();
  std::string mapped;
  mapped.reserve(text.size());
  while (!text.empty()) AppendUtf8(Map(NextCodePoint(&text)), &mapped);
  SetText(context, mapped, out);
  return {};
}

Status InitCap(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string_view text = arguments[0].text();
  std::string mapped;
  bool inside_word = false;
  while (!text.empty()) {
    const char32_t c = NextCodePoint(&text);
    AppendUtf8(inside_word ? ToLower(c) : ToUpper(c), &mapped);
    inside_word = IsLetterOrDigit(c);
  }
  SetText(context, mapped, out);
  return {};
}

Status Length(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::BigInt(static_cast<int64_t>(CountCodePoints(arguments[0].text())));
  return {};
}

Status OctetLength(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::BigInt(arguments[0].size);
  return {};
}

/// The code points from `begin` (0-based, may be negative) up to `end` (not inside) that exist.
std::string_view Slice(std::string_view text, int64_t begin, int64_t end) {
  begin = std::max<int64_t>(begin, 0);
  if (end <= begin) return {};
  text.remove_prefix(BytesOfCodePoints(text, static_cast<size_t>(begin)));
  return text.substr(0, BytesOfCodePoints(text, static_cast<size_t>(end - begin)));
}

Status Substring(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  int64_t begin = arguments[1].i, end = INT64_MAX;
  if (arguments.size() == 3) {
    if (arguments[2].i < 0)
      return Status(ErrorKind::Execution, "negative substring length not allowed");
    if (__builtin_add_overflow(begin, arguments[2].i, &end)) end = INT64_MAX;
  }
  if (__builtin_sub_overflow(begin, int64_t{1}, &begin)) begin = 0;
  if (end != INT64_MAX) --end;
  *out = Datum::Text(Slice(arguments[0].text(), begin, end));
  return {};
}

Status Left(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const std::string_view text = arguments[0].text();
  int64_t count = arguments[1].i;
  if (count < 0) count += static_cast<int64_t>(CountCodePoints(text));
  *out = Datum::Text(Slice(text, 0, count));
  return {};
}

Status Right(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const std::string_view text = arguments[0].text();
  const int64_t length = static_cast<int64_t>(CountCodePoints(text));
  const int64_t count = arguments[1].i;
  const int64_t begin = count >= 0 ? length - std::min(count, length) : -std::max(count, -length);
  *out = Datum::Text(Slice(text, begin, length));
  return {};
}

bool Contains(std::string_view characters, char32_t wanted) {
  while (!characters.empty()) {
    if (NextCodePoint(&characters) == wanted) return true;
  }
  return false;
}

std::string_view TrimLeft(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    std::string_view rest = text;
    if (!Contains(characters, NextCodePoint(&rest))) break;
    text = rest;
  }
  return text;
}

std::string_view TrimRight(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    std::string_view last = text.substr(begin);
    if (!Contains(characters, NextCodePoint(&last))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string_view TrimCharacters(std::span<const Datum> arguments) {
  return arguments.size() > 1 ? arguments[1].text() : std::string_view(" ");
}

Status TrimBoth(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const std::string_view characters = TrimCharacters(arguments);
  *out = Datum::Text(TrimRight(TrimLeft(arguments[0].text(), characters), characters));
  return {};
}

Status TrimLeading(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Text(TrimLeft(arguments[0].text(), TrimCharacters(arguments)));
  return {};
}

Status TrimTrailing(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Text(TrimRight(arguments[0].text(), TrimCharacters(arguments)));
  return {};
}

Status Concat(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string text;
  for (const Datum& argument : arguments) {
    if (!argument.is_null) text += argument.text();
    if (text.size() > kTextBytesMax) return TooLong();
  }
  SetText(context, text, out);
  return {};
}

Status ConcatWithSeparator(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  if (arguments[0].is_null) return {};
  std::string text;
  bool first = true;
  for (const Datum& argument : arguments.subspan(1)) {
    if (argument.is_null) continue;
    if (!first) text += arguments[0].text();
    first = false;
    text += argument.text();
    if (text.size() > kTextBytesMax) return TooLong();
  }
  SetText(context, text, out);
  return {};
}

Status Replace(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const std::string_view text = arguments[0].text(), from = arguments[1].text(),
                         to = arguments[2].text();
  if (from.empty()) {
    *out = arguments[0];
    return {};
  }
  std::string replaced;
  size_t begin = 0;
  while (true) {
    const size_t at = text.find(from, begin);
    replaced += text.substr(begin, at == std::string_view::npos ? at : at - begin);
    if (at == std::string_view::npos) break;
    replaced += to;
    if (replaced.size() > kTextBytesMax) return TooLong();
    begin = at + from.size();
  }
  SetText(context, replaced, out);
  return {};
}

/// The position of arguments[1] in arguments[0], 0 when it is not there (the argument order of
/// POSITION and STRPOS).
Status Position(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const size_t at = arguments[0].text().find(arguments[1].text());
  *out = Datum::BigInt(
      at == std::string_view::npos
          ? 0
          : static_cast<int64_t>(CountCodePoints(arguments[0].text().substr(0, at))) + 1);
  return {};
}

Status Pad(EvalContext& context, std::span<const Datum> arguments, bool left, Datum* out) {
  const std::string_view text = arguments[0].text();
  const std::string_view fill = arguments.size() > 2 ? arguments[2].text() : std::string_view(" ");
  const int64_t wanted = std::max<int64_t>(arguments[1].i, 0);
  const int64_t length = static_cast<int64_t>(CountCodePoints(text));
  if (wanted <= length || fill.empty()) {
    *out = Datum::Text(Slice(text, 0, wanted));
    return {};
  }
  if (static_cast<uint64_t>(wanted) > kTextBytesMax / 4) return TooLong();
  std::string padding;
  std::string_view rest;
  for (int64_t i = 0; i < wanted - length; ++i) {
    if (rest.empty()) rest = fill;
    AppendUtf8(NextCodePoint(&rest), &padding);
  }
  SetText(context, left ? padding + std::string(text) : std::string(text) + padding, out);
  return {};
}

Status PadLeft(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  return Pad(context, arguments, true, out);
}

Status PadRight(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  return Pad(context, arguments, false, out);
}

Status Repeat(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const std::string_view text = arguments[0].text();
  const uint64_t count = static_cast<uint64_t>(std::max<int64_t>(arguments[1].i, 0));
  if (!text.empty() && count > kTextBytesMax / text.size()) return TooLong();
  std::string repeated;
  repeated.reserve(text.size() * (text.empty() ? 0 : count));
  if (!text.empty()) {
    for (uint64_t i = 0; i < count; ++i) repeated += text;
  }
  SetText(context, repeated, out);
  return {};
}

Status Reverse(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string_view text = arguments[0].text();
  char* bytes = context.arena->Allocate(text.size());
  size_t end = text.size();
  while (!text.empty()) {
    const char* begin = text.data();
    NextCodePoint(&text);
    const size_t width = static_cast<size_t>(text.data() - begin);
    end -= width;
    std::memcpy(bytes + end, begin, width);
  }
  *out = Datum::Text({bytes, arguments[0].size});
  return {};
}

Status StartsWith(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Boolean(arguments[0].text().starts_with(arguments[1].text()));
  return {};
}

Status EndsWith(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Boolean(arguments[0].text().ends_with(arguments[1].text()));
  return {};
}

Status ContainsText(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = Datum::Boolean(arguments[0].text().find(arguments[1].text()) != std::string_view::npos);
  return {};
}

/// Field n (from 1; negative counts from the end) of a text split at a delimiter.
Status SplitPart(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const std::string_view text = arguments[0].text(), delimiter = arguments[1].text();
  int64_t field = arguments[2].i;
  if (field == 0) return Status(ErrorKind::Execution, "field position must not be zero");
  std::vector<std::string_view> parts;
  size_t begin = 0;
  while (!delimiter.empty()) {
    const size_t at = text.find(delimiter, begin);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(begin, at - begin));
    begin = at + delimiter.size();
  }
  parts.push_back(text.substr(begin));
  const int64_t count = static_cast<int64_t>(parts.size());
  if (field < 0) field = field < -count ? 0 : count + field + 1;
  *out = Datum::Text(field >= 1 && field <= count ? parts[static_cast<size_t>(field - 1)]
                                                  : std::string_view());
  return {};
}

Status Ascii(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  std::string_view text = arguments[0].text();
  *out = Datum::BigInt(text.empty() ? 0 : static_cast<int64_t>(NextCodePoint(&text)));
  return {};
}

Status Chr(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  const int64_t code = arguments[0].i;
  if (code <= 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    return Status(ErrorKind::Execution, fmt::format("requested character not valid: {}", code));
  }
  std::string text;
  AppendUtf8(static_cast<char32_t>(code), &text);
  SetText(context, text, out);
  return {};
}

Status ToHex(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  SetText(context, fmt::format("{:x}", static_cast<uint64_t>(arguments[0].i)), out);
  return {};
}

/// Replaces each character of `from` by the one at the same place in `to`, or drops it.
Status Translate(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string_view text = arguments[0].text();
  std::string translated;
  while (!text.empty()) {
    const char32_t c = NextCodePoint(&text);
    std::string_view from = arguments[1].text(), to = arguments[2].text();
    bool found = false;
    while (!from.empty() && !found) {
      found = NextCodePoint(&from) == c;
      if (found && !to.empty()) AppendUtf8(NextCodePoint(&to), &translated);
      if (!found && !to.empty()) NextCodePoint(&to);
    }
    if (!found) AppendUtf8(c, &translated);
  }
  SetText(context, translated, out);
  return {};
}

constexpr FunctionSpec kFunctions[] = {
    {"lower", "t:t", MapCase<ToLower>},
    {"upper", "t:t", MapCase<ToUpper>},
    {"initcap", "t:t", InitCap},
    {"length", "t:i", Length},
    {"char_length", "t:i", Length},
    {"character_length", "t:i", Length},
    {"octet_length", "t:i", OctetLength},
    {"substring", "ti?i:t", Substring},
    {"substr", "ti?i:t", Substring},
    {"left", "ti:t", Left},
    {"right", "ti:t", Right},
    {"btrim", "t?t:t", TrimBoth},
    {"trim", "t?t:t", TrimBoth},
    {"ltrim", "t?t:t", TrimLeading},
    {"rtrim", "t?t:t", TrimTrailing},
    {"concat", "t*:t", Concat, NullRule::kCalled},
    {"concat_ws", "tt*:t", ConcatWithSeparator, NullRule::kCalled},
    {"replace", "ttt:t", Replace},
    {"position", "tt:i", Position},
    {"strpos", "tt:i", Position},
    {"instr", "tt:i", Position},
    {"lpad", "ti?t:t", PadLeft},
    {"rpad", "ti?t:t", PadRight},
    {"repeat", "ti:t", Repeat},
    {"reverse", "t:t", Reverse},
    {"starts_with", "tt:b", StartsWith},
    {"ends_with", "tt:b", EndsWith},
    {"contains", "tt:b", ContainsText},
    {"split_part", "tti:t", SplitPart},
    {"ascii", "t:i", Ascii},
    {"chr", "i:t", Chr},
    {"to_hex", "i:t", ToHex},
    {"translate", "ttt:t", Translate},
};

}  // namespace

std::span<const FunctionSpec> TextFunctions() { return kFunctions; }

}  // namespace kalam::query
