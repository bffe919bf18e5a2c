// Choosing one of the statements that were typed before.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace kalam::cli {

/// The entries of which `filter` is a part (in any case), newest first, each once.
std::vector<std::string> FilterHistory(const std::vector<std::string>& entries,
                                       const std::string& filter);

/// Shows the newest of `entries` (oldest first) below the cursor's line; arrows move, typing
/// filters, Enter chooses, Esc and Ctrl+C leave. Puts the cursor back to `column` of its line.
/// nullopt: nothing was chosen.
std::optional<std::string> ChooseFromHistory(const std::vector<std::string>& entries, int column);

}  // namespace kalam::cli
