// Tokens of SQL text: the one place that knows quotes, comments, numbers, operators and parameters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "types/value.h"

namespace kalam::sql {

enum class TokenKind : uint8_t {
  kEnd,
  kWord,          // unquoted name or keyword
  kQuotedName,    // "..", with "" for a quote
  kBacktickName,  // `..`: recognised so that a `;` in it does not split; no statement accepts it
  kString,        // '..', with '' for a quote
  kEscapeString,  // E'..'
  kDollarString,  // $tag$..$tag$
  kBitString,     // B'..', X'..'
  kInteger,       // digits
  kNumber,        // digits with a point or an exponent
  kJunkNumber,    // digits with letters behind them: part of a bare id (KILL JOB FL-12ab), never an
                  // expression
  kParameter,     // $n
  kQuestion,      // ?
  kOperator,      // + - * / -> ->> :: <= || ...
  kPunctuation,   // ( ) [ ] , ; . :
  kError,         // Lexer::error() says why; nothing follows
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int begin = 0;  // byte offsets in the text; end is not inside
  int end = 0;
};

/// Walks over a text without copying. Comments and blanks are skipped; comments do not nest. Not
/// thread-safe.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token Next();
  /// Continues at a byte offset that an earlier token began or ended at.
  void Seek(int offset) { position_ = static_cast<size_t>(offset); }
  std::string_view TextOf(const Token& token) const {
    return text_.substr(static_cast<size_t>(token.begin),
                        static_cast<size_t>(token.end - token.begin));
  }
  std::string_view text() const { return text_; }
  /// After kError: "unterminated quoted string", ...
  const char* error() const { return error_; }

 private:
  bool SkipBlanks();
  Token Quoted(TokenKind kind, size_t begin, size_t open, char quote, bool backslashes);
  Token DollarQuoted(size_t begin);
  Token Number(size_t begin);
  Token Operator(size_t begin);
  Token Fail(size_t begin, const char* error);

  std::string_view text_;
  size_t position_ = 0;
  const char* error_ = "";
};

/// Appends `word` in ASCII lower case.
void AppendLower(std::string_view word, std::string* out);
/// ASCII case-insensitive comparison; `lower` is in lower case.
bool EqualsLower(std::string_view word, std::string_view lower);
/// The characters that a string token or quoted name stands for. `kind` is one of the string kinds
/// or kQuotedName.
std::string Unquote(TokenKind kind, std::string_view token);
/// The value of a number: BIGINT when it fits; DOUBLE up to 15 significant digits or with an
/// exponent; else DECIMAL while its 38 digits hold it, so that no digit is lost.
Value NumberValue(std::string_view token, bool negative);
/// True for keywords after which an operand must follow: SELECT, WHERE, AND, LIKE, ...
bool ExpectsOperand(std::string_view word);

}  // namespace kalam::sql
