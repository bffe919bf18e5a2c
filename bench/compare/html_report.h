// One self-contained HTML page with the figures of a run: charts that need no script and no
// network.
#pragma once

#include <string>
#include <vector>

#include "compare/runner.h"

namespace kalam::bench {

/// `machine` and `when` are shown as they are.
std::string HtmlReport(const std::vector<Outcome>& outcomes,
                       const std::vector<std::unique_ptr<Peer>>& peers, const std::string& machine,
                       const std::string& when);

}  // namespace kalam::bench
