// See token_cursor.h.
#include "sql/token_cursor.h"

#include <charconv>

namespace kalam::sql {

Result<TokenCursor> TokenCursor::Open(std::string_view text) {
  TokenCursor cursor;
  cursor.source_ = text;
  Lexer lexer(text);
  for (;;) {
    Token token = lexer.Next();
    if (token.kind == TokenKind::kError) {
      return Status(ErrorKind::InvalidSql, lexer.error()).WithPosition(token.begin);
    }
    cursor.tokens_.push_back(token);
    if (token.kind == TokenKind::kEnd) return cursor;
  }
}

std::string_view TokenCursor::text(size_t ahead) const {
  const Token& at = token(ahead);
  return source_.substr(static_cast<size_t>(at.begin), static_cast<size_t>(at.end - at.begin));
}

bool TokenCursor::PeekWord(std::string_view lower, size_t ahead) const {
  return token(ahead).kind == TokenKind::kWord && EqualsLower(text(ahead), lower);
}

bool TokenCursor::PeekPunctuation(std::string_view punctuation, size_t ahead) const {
  return token(ahead).kind == TokenKind::kPunctuation && text(ahead) == punctuation;
}

bool TokenCursor::PeekText(size_t ahead) const {
  const TokenKind kind = token(ahead).kind;
  return kind == TokenKind::kString || kind == TokenKind::kEscapeString ||
         kind == TokenKind::kDollarString;
}

bool TokenCursor::AcceptWord(std::string_view lower) {
  if (!PeekWord(lower)) return false;
  ++at_;
  return true;
}

bool TokenCursor::AcceptWords(std::initializer_list<std::string_view> lower) {
  size_t ahead = 0;
  for (std::string_view word : lower) {
    if (!PeekWord(word, ahead++)) return false;
  }
  at_ += ahead;
  return true;
}

bool TokenCursor::AcceptPunctuation(std::string_view punctuation) {
  if (!PeekPunctuation(punctuation)) return false;
  ++at_;
  return true;
}

bool TokenCursor::AcceptOperator(std::string_view op) {
  if (token().kind != TokenKind::kOperator || text() != op) return false;
  ++at_;
  return true;
}

Status TokenCursor::Error(std::string message) const {
  return Status(ErrorKind::InvalidSql, std::move(message)).WithPosition(token().begin);
}

Status TokenCursor::SyntaxError() const {
  if (AtEnd()) return Error("syntax error at end of input");
  return Error("syntax error at or near \"" + std::string(text()) + "\"");
}

Status TokenCursor::ExpectWord(std::string_view lower) {
  return AcceptWord(lower) ? Status() : SyntaxError();
}

Status TokenCursor::ExpectPunctuation(std::string_view punctuation) {
  return AcceptPunctuation(punctuation) ? Status() : SyntaxError();
}

Status TokenCursor::ExpectEnd() const { return AtEnd() ? Status() : SyntaxError(); }

Result<std::string> TokenCursor::RawName() {
  const TokenKind kind = token().kind;
  if (kind != TokenKind::kWord && kind != TokenKind::kQuotedName) return SyntaxError();
  std::string name = kind == TokenKind::kWord ? std::string(text()) : Unquote(kind, text());
  ++at_;
  return name;
}

Result<std::string> TokenCursor::Name() {
  if (token().kind == TokenKind::kQuotedName) return RawName();
  KALAM_ASSIGN_OR_RETURN(std::string raw, RawName());
  std::string folded;
  AppendLower(raw, &folded);
  return folded;
}

Result<QualifiedName> TokenCursor::Qualified() {
  QualifiedName qualified;
  KALAM_ASSIGN_OR_RETURN(qualified.name, Name());
  for (int parts = 1; AcceptPunctuation("."); ++parts) {
    if (parts == 3 || (parts == 2 && qualified.namespace_id != "kalam")) return SyntaxError();
    qualified.namespace_id = std::move(qualified.name);
    KALAM_ASSIGN_OR_RETURN(qualified.name, Name());
  }
  return qualified;
}

Result<std::string> TokenCursor::Id() {
  if (PeekText() || token().kind == TokenKind::kQuotedName) {
    std::string id = Unquote(token().kind, text());
    ++at_;
    return id;
  }
  std::string id;
  for (int end = token().begin; !AtEnd() && token().begin == end; ++at_) {
    const TokenKind kind = token().kind;
    const bool is_part = kind == TokenKind::kWord || kind == TokenKind::kInteger ||
                         kind == TokenKind::kNumber || kind == TokenKind::kJunkNumber ||
                         text() == "-" || text() == "." || text() == "@";
    if (!is_part) break;
    id.append(text());
    end = token().end;
  }
  if (id.empty()) return SyntaxError();
  return id;
}

Result<std::string> TokenCursor::Text() {
  if (!PeekText()) return SyntaxError();
  std::string characters = Unquote(token().kind, text());
  ++at_;
  return characters;
}

Result<std::string> TokenCursor::Scalar() {
  if (PeekText()) return Text();
  std::string value;
  if (AcceptOperator("-")) value = "-";
  const TokenKind kind = token().kind;
  const bool is_scalar = kind == TokenKind::kInteger || kind == TokenKind::kNumber ||
                         kind == TokenKind::kJunkNumber || kind == TokenKind::kWord ||
                         kind == TokenKind::kQuotedName;
  if (!is_scalar) return SyntaxError();
  value += kind == TokenKind::kQuotedName ? Unquote(kind, text()) : std::string(text());
  ++at_;
  return value;
}

Result<int64_t> TokenCursor::Integer() {
  const Token start = token();
  KALAM_ASSIGN_OR_RETURN(std::string digits, Scalar());
  int64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return Status(ErrorKind::InvalidSql, "a whole number is expected, not \"" + digits + "\"")
        .WithPosition(start.begin);
  }
  return number;
}

Status TokenCursor::SkipParentheses() {
  for (int depth = 1; !AtEnd(); ++at_) {
    if (PeekPunctuation("(")) ++depth;
    if (PeekPunctuation(")") && --depth == 0) {
      ++at_;
      return {};
    }
  }
  return SyntaxError();
}

std::string_view TokenCursor::Rest() const {
  if (AtEnd()) return {};
  return source_.substr(static_cast<size_t>(token().begin),
                        static_cast<size_t>(tokens_[tokens_.size() - 2].end - token().begin));
}

}  // namespace kalam::sql
