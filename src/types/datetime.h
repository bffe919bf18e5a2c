// Dates, times, timestamps and intervals from and to text, in UTC (spec: sql.md 3.2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "types/value.h"

namespace kalam {

/// `YYYY-MM-DD[(T| )hh:mm[:ss[.f]]][Z|±hh[:mm]]`: the instant in microseconds; text without a zone is UTC; date only is
/// midnight. Errors: Execution naming the text.
Result<int64_t> ParseTimestampUs(std::string_view text);
/// Days since 1970-01-01; a time part is accepted and dropped.
Result<int32_t> ParseDateDays(std::string_view text);
/// `hh:mm[:ss[.f]]`: microseconds since midnight.
Result<int64_t> ParseTimeUs(std::string_view text);
/// PostgreSQL's interval text: '1 day', '2 hours 30 minutes', '1 year -2 mons', '01:30:00'.
Result<Datum::Interval> ParseInterval(std::string_view text);

/// `YYYY-MM-DD hh:mm:ss[.ffffff]` (no trailing zeros), the text of a TIMESTAMP cast to TEXT.
std::string FormatTimestamp(int64_t us);
/// RFC 3339 with `+00:00`, as the authentication answers carry it.
std::string FormatRfc3339(int64_t us);
std::string FormatDate(int32_t days);
std::string FormatTime(int64_t us);
std::string FormatInterval(const Datum::Interval& interval);

struct CivilTime {
  int32_t year;
  int32_t month;  // 1..12
  int32_t day;    // 1..31
  int32_t hour, minute, second;
  int32_t microsecond;
  int32_t weekday;      // 0 = Sunday
  int32_t day_of_year;  // 1..366
};
CivilTime ToCivil(int64_t us);
int64_t FromCivil(const CivilTime& time);
/// Adds months (clamping the day), days and microseconds, as PostgreSQL does.
int64_t AddInterval(int64_t us, const Datum::Interval& interval, int sign);

}  // namespace kalam
