// `kalam-bench soak`: a chat of a thousand users for half an hour, and whether memory grows.
#pragma once

#include <string>
#include <vector>

namespace kalam::bench {

/// Takes the arguments after `soak`; returns the exit code: 0 when nothing was lost and the private
/// memory after the first sixth of the time does not grow, 1 when not, 2 when it could not be
/// measured.
int RunSoak(const std::vector<std::string>& arguments, const std::string& server_binary);
extern const char kSoakUsage[];

}  // namespace kalam::bench
