// What this binary was built from.
#pragma once

#include <string_view>

namespace kalam {

struct BuildFacts {
  std::string_view version;  // of the project
  std::string_view date;     // YYYY-MM-DD, UTC
  std::string_view commit;   // short hash; "unknown" outside of a git repository
  std::string_view branch;   // "HEAD" when no branch was checked out
};

/// The same for the whole process. Thread-safety: any thread.
const BuildFacts& ThisBuild();

}  // namespace kalam
