// LIKE and ILIKE: patterns with % and _, matched without recursion, so that no pattern can exhaust
// the stack.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::query {

struct LikeOptions {
  /// The escape character as a code point; nullopt: ESCAPE '' (none).
  std::optional<char32_t> escape = U'\\';
  bool ignore_case = false;
};

/// Sets `options->escape` from the text after ESCAPE. Errors: InvalidSql (more than one character).
Status ParseLikeEscape(std::string_view text, LikeOptions* options);

/// The text that everything that matches `pattern` (without ignore_case) begins with.
std::string LikePrefix(std::string_view pattern, const LikeOptions& options);

/// Whether `subject` matches `pattern` as a whole; `_` stands for one code point. At most |subject|
/// x |pattern| steps. Errors: Execution (the pattern ends with the escape character).
Status MatchLike(std::string_view subject, std::string_view pattern, const LikeOptions& options,
                 bool* matches);

}  // namespace kalam::query
