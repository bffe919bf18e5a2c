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

struct UploadPlaces {
  std::string name_space;   // of unqualified tables; empty: the server's default
  std::string file_folder;  // where relative paths begin; empty: the working directory
};

/// nullopt when `sql` names no file. `~/` begins at HOME. Errors: InvalidInput naming a file that
/// cannot be read.
Result<std::optional<UploadForm>> MakeUploadForm(std::string_view sql, const UploadPlaces& places);

}  // namespace kalam::cli
