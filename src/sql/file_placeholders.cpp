// See file_placeholders.h.
#include "sql/file_placeholders.h"

#include "sql/lexer.h"

namespace kalam::sql {
namespace {

// Whether `file` stands before some parenthesis; nearly always answered without a lexer.
bool MayHavePlaceholder(std::string_view text) {
  for (size_t at = text.find('('); at != std::string_view::npos; at = text.find('(', at + 1)) {
    size_t end = at;
    while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t' || text[end - 1] == '\n' ||
                       text[end - 1] == '\r')) {
      --end;
    }
    if (end >= 4 && EqualsLower(text.substr(end - 4, 4), "file")) return true;
    // A comment between the two would be strange, but legal.
    if (end >= 2 && text.substr(end - 2, 2) == "*/") return true;
  }
  return false;
}

}  // namespace

std::vector<FilePlaceholder> FindFilePlaceholders(std::string_view text) {
  std::vector<FilePlaceholder> placeholders;
  if (!MayHavePlaceholder(text)) return placeholders;
  Lexer lexer(text);
  const auto is = [&](const Token& token, std::string_view mark) {
    return token.kind == TokenKind::kPunctuation && lexer.TextOf(token) == mark;
  };
  Token previous;
  for (Token token = lexer.Next();
       token.kind != TokenKind::kEnd && token.kind != TokenKind::kError;) {
    // `schema.file(...)` is somebody's function.
    const bool word = token.kind == TokenKind::kWord && EqualsLower(lexer.TextOf(token), "file") &&
                      !is(previous, ".");
    previous = token;
    const Token file = token;
    token = lexer.Next();
    if (!word || !is(token, "(")) continue;
    const Token name = lexer.Next();
    if (name.kind != TokenKind::kString && name.kind != TokenKind::kQuotedName) {
      previous = token;
      token = name;
      continue;
    }
    const Token close = lexer.Next();
    if (is(close, ")")) {
      placeholders.push_back({file.begin, close.end, Unquote(name.kind, lexer.TextOf(name))});
    }
    previous = name;
    token = is(close, ")") ? lexer.Next() : close;
  }
  return placeholders;
}

std::string ReplaceFilePlaceholders(std::string_view text,
                                    const std::vector<FilePlaceholder>& placeholders,
                                    const std::vector<std::string>& values) {
  std::string replaced;
  size_t at = 0;
  for (size_t i = 0; i < placeholders.size(); ++i) {
    const auto begin = static_cast<size_t>(placeholders[i].begin);
    replaced += text.substr(at, begin - at);
    replaced += '\'';
    for (const char c : values[i]) {
      if (c == '\'') replaced += '\'';
      replaced += c;
    }
    replaced += '\'';
    at = static_cast<size_t>(placeholders[i].end);
  }
  replaced += text.substr(at);
  return replaced;
}

}  // namespace kalam::sql
