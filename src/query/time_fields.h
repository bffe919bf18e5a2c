// Fields of instants: EXTRACT, DATE_TRUNC and AGE.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "types/value.h"

namespace kalam::query {

/// The field of a TIMESTAMP, DATETIME, DATE, TIME or INTERVAL, names in any case ("hour", "dow",
/// "epoch", "isoyear", ...). Errors: Execution (unknown field, or not a field of that type).
Result<double> ExtractField(std::string_view field, const Datum& value);
/// The instant cut to a unit ("hour", "week", "quarter", ...). Errors: Execution (unknown unit).
Result<int64_t> TruncateInstant(std::string_view unit, int64_t us);
/// later - earlier in years, months, days and time.
Datum SymbolicAge(int64_t later_us, int64_t earlier_us);

}  // namespace kalam::query
