// Reading members of JSON documents held as text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "types/value.h"

namespace kalam::query {

enum class JsonKind : uint8_t { kNull, kBoolean, kInteger, kDouble, kString, kArray, kObject };

/// What stands at the end of a path.
struct JsonMember {
  JsonKind kind = JsonKind::kNull;
  std::string text;  // strings: unquoted; everything else: minified JSON
  int64_t integer = 0;
  double number = 0;
  bool boolean = false;
  int64_t length = 0;  // of arrays and objects
  std::vector<std::string>
      parts;  // elements as JSON texts (arrays), keys (objects); filled when asked for
};

/// Follows `path` (texts are keys, integers indexes; negative ones count from the end) in
/// `document`. nullopt when the document is not JSON, is too deep, or has no such member.
std::optional<JsonMember> FindJsonMember(std::string_view document, std::span<const Datum> path,
                                         bool with_parts);

}  // namespace kalam::query
