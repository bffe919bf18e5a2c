// LIKE and ILIKE.
#include "query/like.h"

#include "query/unicode.h"

namespace kalam::query {

namespace {

enum class Element : uint8_t { kEnd, kCharacter, kAnyOne, kAnyMany };

/// Reads one element of the pattern. False when the escape character stands at the end.
bool ReadElement(std::string_view* pattern, const LikeOptions& options, Element* element,
                 char32_t* character) {
  if (pattern->empty()) {
    *element = Element::kEnd;
    return true;
  }
  *character = NextCodePoint(pattern);
  if (options.escape.has_value() && *character == *options.escape) {
    if (pattern->empty()) return false;
    *character = NextCodePoint(pattern);
    *element = Element::kCharacter;
  } else {
    *element = *character == U'%'   ? Element::kAnyMany
               : *character == U'_' ? Element::kAnyOne
                                    : Element::kCharacter;
  }
  return true;
}

}  // namespace

Status ParseLikeEscape(std::string_view text, LikeOptions* options) {
  if (text.empty()) {
    options->escape = std::nullopt;
    return {};
  }
  options->escape = NextCodePoint(&text);
  if (!text.empty())
    return Status(ErrorKind::InvalidSql,
                  "invalid escape string: it must be empty or one character");
  return {};
}

std::string LikePrefix(std::string_view pattern, const LikeOptions& options) {
  // Invalid bytes read as this; they match each other, so they stand for no bytes in particular.
  constexpr char32_t kReplacement = 0xFFFD;
  std::string prefix;
  Element element = Element::kEnd;
  char32_t character = 0;
  while (ReadElement(&pattern, options, &element, &character) && element == Element::kCharacter &&
         character != kReplacement) {
    AppendUtf8(character, &prefix);
  }
  return prefix;
}

Status MatchLike(std::string_view subject, std::string_view pattern, const LikeOptions& options,
                 bool* matches) {
  // On a mismatch only the last % can take one character more: earlier ones have found their
  // shortest match already.
  std::string_view retry_subject, retry_pattern;
  bool has_retry = false;
  while (true) {
    Element element = Element::kEnd;
    char32_t wanted = 0;
    std::string_view rest = pattern;
    if (!ReadElement(&rest, options, &element, &wanted)) {
      return Status(ErrorKind::Execution, "LIKE pattern must not end with escape character");
    }
    if (element == Element::kAnyMany) {
      pattern = rest;
      has_retry = true;
      retry_pattern = pattern;
      retry_subject = subject;
      continue;
    }
    if (element == Element::kEnd && subject.empty()) {
      *matches = true;
      return {};
    }
    if (element != Element::kEnd && !subject.empty()) {
      const char32_t given = NextCodePoint(&subject);
      const bool equal = element == Element::kAnyOne || given == wanted ||
                         (options.ignore_case && ToLower(given) == ToLower(wanted));
      if (equal) {
        pattern = rest;
        continue;
      }
    }
    if (!has_retry || retry_subject.empty()) {
      *matches = false;
      return {};
    }
    NextCodePoint(&retry_subject);
    subject = retry_subject;
    pattern = retry_pattern;
  }
}

}  // namespace kalam::query
