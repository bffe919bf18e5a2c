// Which paths an object may have: the one check between a caller's text and a storage.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::objects {

inline constexpr size_t kObjectPathBytesMax = 900;  // object stores take 1,024 with the base
inline constexpr size_t kPathPartBytesMax = 255;    // what file systems take

/// Errors: InvalidOperation for an empty path or part, a leading or trailing `/`, `.`, `..`, a
/// control character, `\`, a part that begins like a temporary file (".kalamdb-tmp-"), and lengths
/// beyond the bounds.
Status CheckObjectPath(std::string_view path);
/// The same for the prefix of a listing, which may be empty or end anywhere.
Status CheckObjectPrefix(std::string_view prefix);

inline constexpr std::string_view kTemporaryPrefix = ".kalamdb-tmp-";

/// `base` and `path` with exactly one `/` between them; `path` alone when `base` is empty.
std::string JoinPath(std::string_view base, std::string_view path);

}  // namespace kalam::objects
