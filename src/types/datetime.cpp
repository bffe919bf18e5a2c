// Strict readers and writers of dates, times and intervals, on the proleptic Gregorian calendar.
#include "types/datetime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace kalam {
namespace {

constexpr int64_t kUsPerSecond = 1'000'000;
constexpr int64_t kUsPerMinute = 60 * kUsPerSecond;
constexpr int64_t kUsPerHour = 60 * kUsPerMinute;
constexpr int64_t kUsPerDay = 24 * kUsPerHour;

int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

bool IsLeap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

int DaysInMonth(int64_t year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is the last of its year.
int64_t DaysFromCivil(int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = FloorDivide(year, 400);
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct CivilDate {
  int64_t year;
  int month;
  int day;
};

CivilDate CivilFromDays(int64_t days) {
  days += 719'468;
  int64_t era = FloorDivide(days, 146'097);
  int64_t day_of_era = days - era * 146'097;
  int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted_month = (5 * day_of_year + 2) / 153;
  int day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  int month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  return {year_of_era + era * 400 + (month <= 2), month, day};
}

int64_t Clamp(__int128 value) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  return value < kMin ? kMin : value > kMax ? kMax : static_cast<int64_t>(value);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

/// Reads fixed shapes from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool Peek(char c) const { return !rest_.empty() && rest_.front() == c; }
  bool PeekDigit() const { return !rest_.empty() && IsDigit(rest_.front()); }
  bool Take(char c) {
    if (!Peek(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// Exactly `count` digits whose value is between the bounds.
  bool Digits(int count, int minimum, int maximum, int* value) {
    if (rest_.size() < static_cast<size_t>(count)) return false;
    *value = 0;
    for (int i = 0; i < count; ++i) {
      if (!IsDigit(rest_[i])) return false;
      *value = *value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return *value >= minimum && *value <= maximum;
  }
  /// `.digits`, 1 to 9 of them, as microseconds; what is finer is dropped.
  bool Fraction(int64_t* us) {
    *us = 0;
    if (!Take('.')) return true;
    int count = 0;
    for (int64_t unit = kUsPerSecond / 10; PeekDigit(); ++count, unit /= 10) {
      *us += (rest_.front() - '0') * unit;
      rest_.remove_prefix(1);
    }
    return count >= 1 && count <= 9;
  }

 private:
  std::string_view rest_;
};

bool ReadDate(Reader* reader, int64_t* days) {
  int year, month, day;
  if (!reader->Digits(4, 1, 9999, &year) || !reader->Take('-') ||
      !reader->Digits(2, 1, 12, &month) || !reader->Take('-') || !reader->Digits(2, 1, 31, &day) ||
      day > DaysInMonth(year, month)) {
    return false;
  }
  *days = DaysFromCivil(year, month, day);
  return true;
}

bool ReadTime(Reader* reader, int64_t* us) {
  int hour, minute;
  int second = 0;
  int64_t fraction = 0;
  if (!reader->Digits(2, 0, 23, &hour) || !reader->Take(':') ||
      !reader->Digits(2, 0, 59, &minute)) {
    return false;
  }
  if (reader->Take(':')) {
    if (!reader->Digits(2, 0, 59, &second) || !reader->Fraction(&fraction)) return false;
  }
  *us = hour * kUsPerHour + minute * kUsPerMinute + second * kUsPerSecond + fraction;
  return true;
}

/// `Z`, `±hh`, `±hhmm` or `±hh:mm`, at most 15:59; absent means UTC.
bool ReadZone(Reader* reader, int64_t* offset_us) {
  *offset_us = 0;
  reader->Take(' ');
  if (reader->done()) return true;
  if (reader->Take('Z') || reader->Take('z')) return true;
  bool negative = reader->Peek('-');
  if (!reader->Take('-') && !reader->Take('+')) return false;
  int hour;
  int minute = 0;
  if (!reader->Digits(2, 0, 15, &hour)) return false;
  if (reader->Take(':') || reader->PeekDigit()) {
    if (!reader->Digits(2, 0, 59, &minute)) return false;
  }
  *offset_us = (hour * kUsPerHour + minute * kUsPerMinute) * (negative ? -1 : 1);
  return true;
}

bool ReadTimestamp(std::string_view text, int64_t* us) {
  Reader reader(Trim(text));
  int64_t days;
  if (!ReadDate(&reader, &days)) return false;
  *us = days * kUsPerDay;
  if (reader.done()) return true;
  if (!reader.Take('T') && !reader.Take('t') && !reader.Take(' ')) return false;
  int64_t time_us, offset_us;
  if (!ReadTime(&reader, &time_us) || !ReadZone(&reader, &offset_us) || !reader.done()) {
    return false;
  }
  *us += time_us - offset_us;
  return true;
}

Status Invalid(std::string_view what, std::string_view text) {
  return Status(ErrorKind::Execution, fmt::format("invalid {} '{}'", what, text.substr(0, 64)));
}

/// Months, days and microseconds of one unit of an interval.
struct IntervalUnit {
  std::string_view name;
  int64_t months;
  int64_t days;
  int64_t us;
};

constexpr IntervalUnit kUnits[] = {
    {"microsecond", 0, 0, 1},
    {"us", 0, 0, 1},
    {"usec", 0, 0, 1},
    {"millisecond", 0, 0, 1000},
    {"ms", 0, 0, 1000},
    {"msec", 0, 0, 1000},
    {"second", 0, 0, kUsPerSecond},
    {"sec", 0, 0, kUsPerSecond},
    {"s", 0, 0, kUsPerSecond},
    {"minute", 0, 0, kUsPerMinute},
    {"min", 0, 0, kUsPerMinute},
    {"m", 0, 0, kUsPerMinute},
    {"hour", 0, 0, kUsPerHour},
    {"hr", 0, 0, kUsPerHour},
    {"h", 0, 0, kUsPerHour},
    {"day", 0, 1, 0},
    {"d", 0, 1, 0},
    {"week", 0, 7, 0},
    {"w", 0, 7, 0},
    {"month", 1, 0, 0},
    {"mon", 1, 0, 0},
    {"year", 12, 0, 0},
    {"yr", 12, 0, 0},
    {"y", 12, 0, 0},
    {"decade", 120, 0, 0},
    {"century", 1200, 0, 0},
    {"centurie", 1200, 0, 0},
};

const IntervalUnit* FindUnit(std::string_view word) {
  std::string folded(word);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const IntervalUnit& unit : kUnits) {
    if (folded == unit.name) return &unit;
  }
  if (folded.size() < 2 || folded.back() != 's') return nullptr;
  folded.pop_back();
  for (const IntervalUnit& unit : kUnits) {
    if (folded == unit.name) return &unit;
  }
  return nullptr;
}

/// Sums the parts of an interval as doubles of whole units and fractions that flow into the next
/// smaller part.
class IntervalSum {
 public:
  void Add(double amount, const IntervalUnit& unit) {
    if (unit.months != 0) {
      double months = amount * static_cast<double>(unit.months);
      months_ += std::trunc(months);
      AddDays((months - std::trunc(months)) * 30);
    } else if (unit.days != 0) {
      AddDays(amount * static_cast<double>(unit.days));
    } else {
      us_ += amount * static_cast<double>(unit.us);
    }
  }
  void AddUs(int64_t us) { us_ += static_cast<double>(us); }
  void Negate() {
    months_ = -months_;
    days_ = -days_;
    us_ = -us_;
  }

  Result<Datum::Interval> Finish(std::string_view text) const {
    constexpr double kInt32Max = std::numeric_limits<int32_t>::max();
    constexpr double kUsMax = 9.2e18;
    if (std::abs(months_) > kInt32Max || std::abs(days_) > kInt32Max || std::abs(us_) > kUsMax) {
      return Status(ErrorKind::Execution,
                    fmt::format("interval out of range: '{}'", text.substr(0, 64)));
    }
    return Datum::Interval{static_cast<int32_t>(months_), static_cast<int32_t>(days_),
                           static_cast<int64_t>(std::llround(us_))};
  }

 private:
  void AddDays(double days) {
    days_ += std::trunc(days);
    us_ += (days - std::trunc(days)) * static_cast<double>(kUsPerDay);
  }

  double months_ = 0;
  double days_ = 0;
  double us_ = 0;
};

std::string_view NextWord(std::string_view* in) {
  *in = Trim(*in);
  size_t size = 0;
  while (size < in->size() && !IsSpace((*in)[size])) ++size;
  std::string_view word = in->substr(0, size);
  in->remove_prefix(size);
  return word;
}

/// `[+-]hh:mm[:ss[.f]]`, hours unbounded.
bool ReadClock(std::string_view word, int64_t* us) {
  bool negative = word.starts_with('-');
  if (negative || word.starts_with('+')) word.remove_prefix(1);
  size_t colon = word.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon > 9) return false;
  int64_t hours = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + colon, hours);
  if (error != std::errc() || end != word.data() + colon || hours < 0) return false;
  Reader reader(word.substr(colon + 1));
  int minute;
  int second = 0;
  int64_t fraction = 0;
  if (!reader.Digits(2, 0, 59, &minute)) return false;
  if (reader.Take(':')) {
    if (!reader.Digits(2, 0, 59, &second) || !reader.Fraction(&fraction)) return false;
  }
  if (!reader.done()) return false;
  *us = hours * kUsPerHour + minute * kUsPerMinute + second * kUsPerSecond + fraction;
  if (negative) *us = -*us;
  return true;
}

void AppendFraction(int64_t us, std::string* out) {
  if (us == 0) return;
  std::string digits = fmt::format(".{:06}", us);
  while (digits.back() == '0') digits.pop_back();
  out->append(digits);
}

std::string FormatYear(int64_t year) {
  return year < 0 ? fmt::format("-{:04}", -year) : fmt::format("{:04}", year);
}

}  // namespace

Result<int64_t> ParseTimestampUs(std::string_view text) {
  int64_t us;
  if (!ReadTimestamp(text, &us)) return Invalid("timestamp", text);
  return us;
}

Result<int32_t> ParseDateDays(std::string_view text) {
  // The date as written counts, not the day in UTC: a zone in the dropped time part must not move
  // it.
  int64_t ignored;
  int64_t days;
  Reader reader(Trim(text));
  if (!ReadTimestamp(text, &ignored) || !ReadDate(&reader, &days)) return Invalid("date", text);
  return static_cast<int32_t>(days);
}

Result<int64_t> ParseTimeUs(std::string_view text) {
  Reader reader(Trim(text));
  int64_t us;
  if (!ReadTime(&reader, &us) || !reader.done()) return Invalid("time", text);
  return us;
}

Result<Datum::Interval> ParseInterval(std::string_view text) {
  IntervalSum sum;
  std::string_view rest = Trim(text);
  if (rest.starts_with('@')) rest.remove_prefix(1);
  bool any = false;
  for (std::string_view word = NextWord(&rest); !word.empty(); word = NextWord(&rest)) {
    int64_t clock_us;
    if (any && (word == "ago" || word == "AGO") && Trim(rest).empty()) {
      sum.Negate();
      break;
    }
    any = true;
    if (ReadClock(word, &clock_us)) {
      sum.AddUs(clock_us);
      continue;
    }
    double amount = 0;
    const char* begin = word.data() + (word.starts_with('+') ? 1 : 0);
    const char* end = word.data() + word.size();
    auto [number_end, error] = std::from_chars(begin, end, amount, std::chars_format::fixed);
    if (error != std::errc() || !std::isfinite(amount)) return Invalid("interval", text);
    std::string_view unit_name(number_end, static_cast<size_t>(end - number_end));
    if (unit_name.empty()) unit_name = NextWord(&rest);
    static constexpr IntervalUnit kSecond = {"second", 0, 0, kUsPerSecond};
    const IntervalUnit* unit = unit_name.empty() ? &kSecond : FindUnit(unit_name);
    if (unit == nullptr) return Invalid("interval", text);
    sum.Add(amount, *unit);
  }
  if (!any) return Invalid("interval", text);
  return sum.Finish(text);
}

std::string FormatDate(int32_t days) {
  CivilDate date = CivilFromDays(days);
  return fmt::format("{}-{:02}-{:02}", FormatYear(date.year), date.month, date.day);
}

std::string FormatTime(int64_t us) {
  // Raw integers may stand in TIME columns: what is outside of a day still needs a text.
  bool negative = us < 0;
  uint64_t rest = negative ? -static_cast<uint64_t>(us) : static_cast<uint64_t>(us);
  std::string out = fmt::format("{}{:02}:{:02}:{:02}", negative ? "-" : "", rest / kUsPerHour,
                                rest / kUsPerMinute % 60, rest / kUsPerSecond % 60);
  AppendFraction(static_cast<int64_t>(rest % kUsPerSecond), &out);
  return out;
}

std::string FormatTimestamp(int64_t us) {
  int64_t days = FloorDivide(us, kUsPerDay);
  CivilDate date = CivilFromDays(days);
  int64_t time_us =
      static_cast<int64_t>(static_cast<__int128>(us) - static_cast<__int128>(days) * kUsPerDay);
  return fmt::format("{}-{:02}-{:02} {}", FormatYear(date.year), date.month, date.day,
                     FormatTime(time_us));
}

std::string FormatRfc3339(int64_t us) {
  std::string out = FormatTimestamp(us) + "+00:00";
  size_t space = out.find(' ');
  out[space] = 'T';
  return out;
}

std::string FormatInterval(const Datum::Interval& interval) {
  std::string out;
  auto append = [&out](int32_t count, std::string_view unit) {
    if (count == 0) return;
    if (!out.empty()) out.push_back(' ');
    out += fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  append(interval.months / 12, "year");
  append(interval.months % 12, "mon");
  append(interval.days, "day");
  if (interval.us != 0 || out.empty()) {
    if (!out.empty()) out.push_back(' ');
    out += FormatTime(interval.us);
  }
  return out;
}

CivilTime ToCivil(int64_t us) {
  int64_t days = FloorDivide(us, kUsPerDay);
  CivilDate date = CivilFromDays(days);
  int64_t time_us =
      static_cast<int64_t>(static_cast<__int128>(us) - static_cast<__int128>(days) * kUsPerDay);
  CivilTime time;
  time.year = static_cast<int32_t>(date.year);
  time.month = date.month;
  time.day = date.day;
  time.hour = static_cast<int32_t>(time_us / kUsPerHour);
  time.minute = static_cast<int32_t>(time_us / kUsPerMinute % 60);
  time.second = static_cast<int32_t>(time_us / kUsPerSecond % 60);
  time.microsecond = static_cast<int32_t>(time_us % kUsPerSecond);
  time.weekday = static_cast<int32_t>(((days + 4) % 7 + 7) % 7);  // 1970-01-01 was a Thursday
  time.day_of_year = static_cast<int32_t>(days - DaysFromCivil(date.year, 1, 1) + 1);
  return time;
}

int64_t FromCivil(const CivilTime& time) {
  int64_t days = DaysFromCivil(time.year, time.month, time.day);
  int64_t time_us = time.hour * kUsPerHour + time.minute * kUsPerMinute +
                    time.second * kUsPerSecond + time.microsecond;
  return Clamp(static_cast<__int128>(days) * kUsPerDay + time_us);
}

int64_t AddInterval(int64_t us, const Datum::Interval& interval, int sign) {
  int64_t days = FloorDivide(us, kUsPerDay);
  __int128 time_us = static_cast<__int128>(us) - static_cast<__int128>(days) * kUsPerDay;
  if (interval.months != 0) {
    CivilDate date = CivilFromDays(days);
    int64_t month_index =
        date.year * 12 + date.month - 1 + static_cast<int64_t>(interval.months) * sign;
    int64_t year = FloorDivide(month_index, 12);
    int month = static_cast<int>(month_index - year * 12) + 1;
    days = DaysFromCivil(year, month, std::min(date.day, DaysInMonth(year, month)));
  }
  days += static_cast<int64_t>(interval.days) * sign;
  return Clamp(static_cast<__int128>(days) * kUsPerDay + time_us +
               static_cast<__int128>(interval.us) * sign);
}

}  // namespace kalam
