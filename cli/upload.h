// file('path') in a statement: local files sent along as parts of a form.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::cli {

/// A multipart body in pieces, files in memory.
struct UploadForm {
  std::string content_type;
  std::vector<std::string> pieces;
};

/// nullopt when `sql` names no file. `~/` begins at HOME. `name_space`: where unqualified tables
/// are; empty: the server's default. Errors: InvalidInput naming a file that
/// cannot be read.
Result<std::optional<UploadForm>> MakeUploadForm(std::string_view sql,
                                                 const std::string& name_space);

}  // namespace kalam::cli
