// Turns a statement of our dialect into text that PostgreSQL's grammar accepts, remembering where
// every token came from.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace kalam::sql {

/// Nesting beyond this is refused before any recursive code sees it.
inline constexpr int kNestingDepthMax = 512;
/// Tokens of one statement that goes through the grammar (the VALUES rows of a lifted insert do
/// not).
inline constexpr int kTokensMax = 200'000;

struct RewrittenSql {
  std::string text;
  /// (offset in `text`, offset in the source) of every token, ascending.
  std::vector<std::pair<int, int>> offsets;
  int parameter_count = 0;  // the highest $n; `?` markers count from 1 in order

  /// The source offset of a byte of `text`.
  int SourceOffset(int offset) const;
  /// The same for a 1-based character position, as the grammar reports errors.
  int SourceOffsetOfCharacter(int character) const;
};

/// What changes: `user` becomes a name; CURRENT_USER(), CURRENT_USER_ID() and CURRENT_ROLE() lose
/// their parentheses; a comma before `)` disappears; `?` where an operand stands becomes $n;
/// comments go. Errors: InvalidSql with a source position (unterminated tokens, NUL bytes, too
/// deep, too many tokens, mixed ? and $n).
Result<RewrittenSql> RewriteForGrammar(std::string_view source);

}  // namespace kalam::sql
