// The words of the language, as completion offers and the editor paints them.
#pragma once

#include <span>
#include <string_view>

namespace kalam::cli {

/// In upper case; some are several words ("GROUP BY").
std::span<const char* const> Keywords();
/// Functions that are worth completing.
std::span<const char* const> FunctionNames();
std::span<const char* const> TypeNames();
std::span<const char* const> MetaCommands();

/// `word` in any case.
bool IsKeyword(std::string_view word);
bool IsTypeName(std::string_view word);

}  // namespace kalam::cli
