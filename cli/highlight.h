// Colors of a statement that is being typed.
#pragma once

#include <string>
#include <string_view>

namespace kalam::cli {

/// `line` with terminal colors: keywords, types, numbers, strings and comments. `before` is what
/// was typed on the lines above, where a string or a comment may have begun. Nothing but colors is
/// added: without them the text is `line`.
std::string Highlight(std::string_view before, std::string_view line);

}  // namespace kalam::cli
