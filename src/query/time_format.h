// TO_CHAR for timestamps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::query {

/// Appends the instant by a PostgreSQL pattern: YYYY YY MM MON Mon mon MONTH Month month DD DDD D
/// DAY Day day DY Dy dy HH24 HH12 HH MI SS MS US AM PM am pm Q WW IW, "quoted text" and anything
/// else as it stands.
Status FormatInstant(int64_t us, std::string_view pattern, std::string* out);

}  // namespace kalam::query
