// A position in the tokens of one statement: what the parsers of our own statements read from.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sql/lexer.h"
#include "sql/statement.h"

namespace kalam::sql {

/// Holds all tokens of a text, the last one being kEnd. Keeps views into the text. Not thread-safe.
class TokenCursor {
 public:
  /// Errors: InvalidSql with a position (unterminated tokens).
  static Result<TokenCursor> Open(std::string_view text);

  const Token& token(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  std::string_view text(size_t ahead = 0) const;
  std::string_view source() const { return source_; }
  bool AtEnd() const { return token().kind == TokenKind::kEnd; }
  void Skip() { at_ += AtEnd() ? 0 : 1; }

  bool PeekWord(std::string_view lower, size_t ahead = 0) const;
  bool PeekPunctuation(std::string_view text, size_t ahead = 0) const;
  bool PeekText(size_t ahead = 0) const;
  /// Takes the word or the whole sequence of words if it is next.
  bool AcceptWord(std::string_view lower);
  bool AcceptWords(std::initializer_list<std::string_view> lower);
  bool AcceptPunctuation(std::string_view text);
  bool AcceptOperator(std::string_view text);

  // Errors of these: InvalidSql "syntax error at or near ..." with a position.
  Status ExpectWord(std::string_view lower);
  Status ExpectPunctuation(std::string_view text);
  Status ExpectEnd() const;
  /// A name: a word as written or a quoted name.
  Result<std::string> RawName();
  /// The same, words folded.
  Result<std::string> Name();
  /// `[kalam.][ns.]name`, folded.
  Result<QualifiedName> Qualified();
  /// An id that may be quoted in any way or bare; a bare one may hold `-`, `.`, `@` without blanks:
  /// FL-12ab.
  Result<std::string> Id();
  /// A string literal's characters.
  Result<std::string> Text();
  /// A string literal, a number with sign, or a word as written.
  Result<std::string> Scalar();
  Result<int64_t> Integer();
  /// Moves behind the `)` that closes the `(` just taken.
  Status SkipParentheses();

  /// The source from the current token on, without trailing blanks.
  std::string_view Rest() const;
  /// The error for the current token.
  Status SyntaxError() const;
  Status Error(std::string message) const;

 private:
  std::string_view source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace kalam::sql
