// `kalam-bench compare`: our server, another one, or both in turn.
#pragma once

#include <string>
#include <vector>

namespace kalam::bench {

/// Takes the arguments after `compare`; returns the exit code: 0, 1 when a benchmark failed on our
/// server, 2 when nothing could be measured.
int RunCompare(const std::vector<std::string>& arguments, const std::string& server_binary);
extern const char kCompareUsage[];

}  // namespace kalam::bench
