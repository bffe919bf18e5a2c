// Which folder templates a storage may have.
#pragma once

#include <string_view>

#include "base/status.h"

namespace kalam::catalog {

inline constexpr std::string_view kDefaultSharedTemplate = "{namespace}/{tableName}";
inline constexpr std::string_view kDefaultUserTemplate = "{namespace}/{tableName}/{userId}";

/// `{namespace}` must stand before `{tableName}`; no placeholder of a user. Legacy spellings
/// (`{table_name}`, `{user-id}`, ...) count. Errors: InvalidOperation ("Invalid storage template:
/// ...").
Status ValidateSharedTemplate(std::string_view text);
/// `{namespace}` before `{tableName}` before `{shard}` (if any) before `{userId}`; `{userId}` must
/// be there. Errors: as above.
Status ValidateUserTemplate(std::string_view text);

}  // namespace kalam::catalog
