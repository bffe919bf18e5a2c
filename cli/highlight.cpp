// See highlight.h. A scanner of its own: the server's lexer refuses text that is not finished yet.
#include "highlight.h"

#include <cctype>

#include "vocabulary.h"

namespace kalam::cli {
namespace {

constexpr const char* kKeywordColor = "1;34";
constexpr const char* kTypeColor = "35";
constexpr const char* kNumberColor = "33";
constexpr const char* kStringColor = "32";
constexpr const char* kCommentColor = "2";
constexpr const char* kCommandColor = "36";

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)); }

struct Token {
  size_t end;
  const char* color;  // null: as it is
};

// A quote within doubles itself; what has no end goes on to the end.
size_t EndOfQuoted(std::string_view text, size_t begin) {
  const char quote = text[begin];
  for (size_t at = begin + 1; at < text.size(); ++at) {
    if (text[at] != quote) continue;
    if (at + 1 < text.size() && text[at + 1] == quote) {
      ++at;
    } else {
      return at + 1;
    }
  }
  return text.size();
}

size_t EndAt(size_t found, size_t length, size_t size) {
  return found == std::string_view::npos ? size : found + length;
}

Token TokenAt(std::string_view text, size_t begin) {
  const std::string_view rest = text.substr(begin);
  if (begin == 0 && rest[0] == '\\') {
    return {EndAt(text.find_first_of(" \t\n"), 0, text.size()), kCommandColor};
  }
  if (rest.starts_with("--")) return {EndAt(text.find('\n', begin), 0, text.size()), kCommentColor};
  if (rest.starts_with("/*")) {
    return {EndAt(text.find("*/", begin + 2), 2, text.size()), kCommentColor};
  }
  if (rest[0] == '\'') return {EndOfQuoted(text, begin), kStringColor};
  if (rest[0] == '"' || rest[0] == '`') return {EndOfQuoted(text, begin), nullptr};
  size_t end = begin;
  if (IsDigit(rest[0])) {
    while (end < text.size() && (IsWord(text[end]) || text[end] == '.')) ++end;
    return {end, kNumberColor};
  }
  while (end < text.size() && IsWord(text[end])) ++end;
  if (end == begin) return {begin + 1, nullptr};
  // The parts of `a.user` are names, whatever else the words mean.
  const bool is_name =
      (begin > 0 && text[begin - 1] == '.') || (end < text.size() && text[end] == '.');
  const std::string_view word = text.substr(begin, end - begin);
  if (is_name) return {end, nullptr};
  if (IsTypeName(word)) return {end, kTypeColor};
  return {end, IsKeyword(word) ? kKeywordColor : nullptr};
}

}  // namespace

std::string Highlight(std::string_view before, std::string_view line) {
  std::string text(before);
  if (!before.empty()) text += '\n';
  const size_t shown_from = text.size();
  text += line;
  std::string painted;
  for (size_t begin = 0; begin < text.size();) {
    const Token token = TokenAt(text, begin);
    const size_t from = std::max(begin, shown_from);
    if (token.end > from) {
      const std::string piece = text.substr(from, token.end - from);
      painted += token.color == nullptr
                     ? piece
                     : "\x1b[" + std::string(token.color) + "m" + piece + "\x1b[0m";
    }
    begin = token.end;
  }
  return painted;
}

}  // namespace kalam::cli
