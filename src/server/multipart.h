// multipart/form-data bodies (RFC 7578).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::server {

/// One part; views into the body.
struct FormPart {
  std::string name;
  std::string file_name;
  std::string content_type;
  std::string_view content;
};

/// Parts of `body` by the boundary that the Content-Type header names. At most 100. Errors:
/// InvalidInput.
Result<std::vector<FormPart>> ParseMultipart(std::string_view content_type, std::string_view body);

}  // namespace kalam::server
