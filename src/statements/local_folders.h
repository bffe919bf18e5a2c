// Which folders of this machine a statement may name.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace kalam::statements {

struct FolderRules {
  std::vector<std::string> allowed;  // empty: all but those of the system
  std::string data_directory;
};

/// The absolute form of `path`, links resolved as far as it exists. Errors: InvalidOperation when
/// it is empty, holds `..` or a control character, is a folder of the system or of the server
/// itself, or is not below an allowed one.
Result<std::string> CheckLocalFolder(const std::string& path, const FolderRules& rules);

}  // namespace kalam::statements
