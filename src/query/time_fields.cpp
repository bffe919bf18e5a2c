// EXTRACT, DATE_TRUNC and AGE.
#include "query/time_fields.h"

#include <fmt/core.h>

#include <cctype>
#include <string>

#include "types/datetime.h"

namespace kalam::query {

namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kMinuteUs = 60 * kSecondUs;
constexpr int64_t kHourUs = 60 * kMinuteUs;
constexpr int64_t kDayUs = 24 * kHourUs;

std::string Fold(std::string_view text) {
  std::string folded(text);
  for (char& c : folded) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return folded;
}

int64_t FloorDivide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

int64_t DayOf(int64_t us) { return FloorDivide(us, kDayUs); }

/// Monday 0 .. Sunday 6.
int IsoWeekday(int64_t day) { return static_cast<int>(((day + 3) % 7 + 7) % 7); }

struct IsoWeek {
  int32_t year;
  int32_t week;
};

/// ISO 8601: a week belongs to the year of its Thursday.
IsoWeek IsoWeekOf(int64_t us) {
  const int64_t thursday = DayOf(us) - IsoWeekday(DayOf(us)) + 3;
  const CivilTime civil = ToCivil(thursday * kDayUs);
  return {civil.year, (civil.day_of_year - 1) / 7 + 1};
}

Status UnknownField(std::string_view field, std::string_view type) {
  return Status(ErrorKind::Execution,
                fmt::format("unit \"{}\" not recognized for type {}", field, type));
}

Result<double> TimeField(const std::string& field, int64_t us_of_day, std::string_view type) {
  const double seconds = static_cast<double>(us_of_day % kMinuteUs) / 1e6;
  if (field == "hour") return static_cast<double>(us_of_day / kHourUs);
  if (field == "minute") return static_cast<double>(us_of_day / kMinuteUs % 60);
  if (field == "second") return seconds;
  if (field == "millisecond" || field == "milliseconds") return seconds * 1e3;
  if (field == "microsecond" || field == "microseconds")
    return static_cast<double>(us_of_day % kMinuteUs);
  return UnknownField(field, type);
}

Result<double> InstantField(const std::string& field, int64_t us) {
  const CivilTime civil = ToCivil(us);
  const int year = civil.year;
  if (field == "year") return year;
  if (field == "month") return civil.month;
  if (field == "day") return civil.day;
  if (field == "quarter") return (civil.month - 1) / 3 + 1;
  if (field == "week") return IsoWeekOf(us).week;
  if (field == "isoyear") return IsoWeekOf(us).year;
  if (field == "dow") return civil.weekday;
  if (field == "isodow") return IsoWeekday(DayOf(us)) + 1;
  if (field == "doy") return civil.day_of_year;
  if (field == "decade") return static_cast<double>(FloorDivide(year, 10));
  if (field == "century") return year > 0 ? (year + 99) / 100 : -((99 - (year - 1)) / 100);
  if (field == "millennium") return year > 0 ? (year + 999) / 1000 : -((999 - (year - 1)) / 1000);
  if (field == "epoch") return static_cast<double>(us) / 1e6;
  return TimeField(field, us - DayOf(us) * kDayUs, "timestamp");
}

Result<double> IntervalField(const std::string& field, const Datum::Interval& interval) {
  if (field == "year") return interval.months / 12;
  if (field == "month") return interval.months % 12;
  if (field == "day") return interval.days;
  if (field == "quarter") return interval.months % 12 / 3 + 1;
  if (field == "epoch") {
    const double years = interval.months / 12, months = interval.months % 12;
    return (years * 365.25 + months * 30 + interval.days) * 86400 +
           static_cast<double>(interval.us) / 1e6;
  }
  if (field == "hour") return static_cast<double>(interval.us / kHourUs);
  return TimeField(field, interval.us % kHourUs, "interval");
}

}  // namespace

Result<double> ExtractField(std::string_view field, const Datum& value) {
  const std::string name = Fold(field);
  switch (value.kind) {
    case TypeKind::kInterval:
      return IntervalField(name, value.interval);
    case TypeKind::kTime:
      if (name == "epoch") return static_cast<double>(value.i) / 1e6;
      return TimeField(name, value.i, "time");
    case TypeKind::kDate:
      return InstantField(name, value.i * kDayUs);
    default:
      return InstantField(name, value.i);
  }
}

Result<int64_t> TruncateInstant(std::string_view unit_text, int64_t us) {
  const std::string unit = Fold(unit_text);
  if (unit == "microsecond" || unit == "microseconds") return us;
  if (unit == "millisecond" || unit == "milliseconds") return FloorDivide(us, 1000) * 1000;
  if (unit == "second") return FloorDivide(us, kSecondUs) * kSecondUs;
  if (unit == "minute") return FloorDivide(us, kMinuteUs) * kMinuteUs;
  if (unit == "hour") return FloorDivide(us, kHourUs) * kHourUs;
  if (unit == "day") return DayOf(us) * kDayUs;
  if (unit == "week") return (DayOf(us) - IsoWeekday(DayOf(us))) * kDayUs;
  CivilTime civil = ToCivil(us);
  civil.day = 1;
  civil.hour = civil.minute = civil.second = civil.microsecond = 0;
  if (unit == "month") return FromCivil(civil);
  if (unit == "quarter") {
    civil.month = (civil.month - 1) / 3 * 3 + 1;
    return FromCivil(civil);
  }
  civil.month = 1;
  if (unit == "year") return FromCivil(civil);
  const int years = unit == "decade"       ? 10
                    : unit == "century"    ? 100
                    : unit == "millennium" ? 1000
                                           : 0;
  if (years == 0) return UnknownField(unit_text, "timestamp");
  // Decades begin with year 0, centuries and millennia with year 1.
  const int first = years == 10 ? 0 : 1;
  civil.year = static_cast<int32_t>(FloorDivide(civil.year - first, years) * years + first);
  return FromCivil(civil);
}

Datum SymbolicAge(int64_t later_us, int64_t earlier_us) {
  const bool negative = later_us < earlier_us;
  if (negative) std::swap(later_us, earlier_us);
  const CivilTime later = ToCivil(later_us), earlier = ToCivil(earlier_us);
  int32_t months = (later.year - earlier.year) * 12 + later.month - earlier.month;
  if (AddInterval(earlier_us, {months, 0, 0}, 1) > later_us) --months;
  const int64_t rest = later_us - AddInterval(earlier_us, {months, 0, 0}, 1);
  const int sign = negative ? -1 : 1;
  return Datum::OfInterval(sign * months, static_cast<int32_t>(sign * (rest / kDayUs)),
                           sign * (rest % kDayUs));
}

}  // namespace kalam::query
