// Dates, times and intervals: strict reading, leap years, bounds, and text that reads back.
#include "types/datetime.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace kalam {
namespace {

constexpr int64_t kDayUs = 86'400'000'000;

int64_t Us(std::string_view text) {
  Result<int64_t> us = ParseTimestampUs(text);
  EXPECT_TRUE(us.ok()) << text;
  return us.ok() ? *us : -1;
}

TEST(DateTime, ReadsEveryShape) {
  EXPECT_EQ(Us("1970-01-01"), 0);
  EXPECT_EQ(Us("1970-01-02 00:00"), kDayUs);
  EXPECT_EQ(Us("2024-01-01T00:00:00Z"), 1'704'067'200'000'000);
  EXPECT_EQ(Us("2024-01-01 02:30:00.5+02:30"), 1'704'067'200'500'000);
  EXPECT_EQ(Us("2023-12-31T16:00:00-08"), 1'704'067'200'000'000);
  EXPECT_EQ(Us("2024-01-01T00:00:00.123456789"), 1'704'067'200'123'456);
  EXPECT_EQ(Us("1969-12-31 23:59:59.999999"), -1);
  EXPECT_EQ(Us(" 2000-02-29 "), Us("2000-03-01") - kDayUs);
}

TEST(DateTime, RefusesWhatIsNotOnTheCalendar) {
  for (std::string_view text : {"",
                                "2024",
                                "2024-1-1",
                                "2024-13-01",
                                "2024-00-10",
                                "2023-02-29",
                                "1900-02-29",
                                "2024-04-31",
                                "2024-01-01x",
                                "2024-01-01T",
                                "2024-01-01 24:00",
                                "2024-01-01 10:60",
                                "2024-01-01 10:00:60",
                                "2024-01-01 10:00:00.",
                                "2024-01-01 10:00:00.1234567890",
                                "2024-01-01 10:00 +",
                                "2024-01-01 10:00+16:00",
                                "0000-01-01",
                                "-001-01-01",
                                "now"}) {
    EXPECT_FALSE(ParseTimestampUs(text).ok()) << text;
  }
  EXPECT_EQ(ParseTimestampUs("tomorrow").status().message(), "invalid timestamp 'tomorrow'");
}

TEST(DateTime, DatesAndTimes) {
  EXPECT_EQ(*ParseDateDays("1970-01-02"), 1);
  EXPECT_EQ(*ParseDateDays("1969-12-31"), -1);
  EXPECT_EQ(*ParseDateDays("2024-03-01T23:30:00-05:00"), *ParseDateDays("2024-03-01"));
  EXPECT_EQ(*ParseTimeUs("00:00"), 0);
  EXPECT_EQ(*ParseTimeUs("23:59:59.999999"), kDayUs - 1);
  EXPECT_FALSE(ParseTimeUs("24:00").ok());
  EXPECT_FALSE(ParseTimeUs("1:00").ok());
}

TEST(DateTime, Writes) {
  EXPECT_EQ(FormatTimestamp(0), "1970-01-01 00:00:00");
  EXPECT_EQ(FormatTimestamp(-1), "1969-12-31 23:59:59.999999");
  EXPECT_EQ(FormatTimestamp(1'704'067'200'500'000), "2024-01-01 00:00:00.5");
  EXPECT_EQ(FormatRfc3339(1'704'067'200'000'000), "2024-01-01T00:00:00+00:00");
  EXPECT_EQ(FormatDate(19'782), "2024-02-29");
  EXPECT_EQ(FormatTime(3'661'000'001), "01:01:01.000001");
}

TEST(DateTime, ExtremesHaveATextAndDoNotOverflow) {
  for (int64_t us : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    EXPECT_FALSE(FormatTimestamp(us).empty());
    EXPECT_FALSE(FormatTime(us).empty());
    EXPECT_EQ(FromCivil(ToCivil(us)), us);
    for (int sign : {1, -1}) {
      Datum::Interval huge{std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::max(),
                           std::numeric_limits<int64_t>::max()};
      (void)AddInterval(us, huge, sign);
    }
  }
  EXPECT_FALSE(FormatDate(std::numeric_limits<int32_t>::min()).empty());
}

TEST(DateTime, RandomInstantsReadBack) {
  std::mt19937_64 random(31);
  int64_t first = Us("0001-01-01");
  int64_t last = Us("9999-12-31 23:59:59.999999");
  for (int round = 0; round < 20'000; ++round) {
    int64_t us = first + static_cast<int64_t>(random() % static_cast<uint64_t>(last - first));
    ASSERT_EQ(Us(FormatTimestamp(us)), us);
    ASSERT_EQ(Us(FormatRfc3339(us)), us);
    ASSERT_EQ(FromCivil(ToCivil(us)), us);
  }
}

TEST(DateTime, CivilFields) {
  CivilTime time = ToCivil(Us("2024-12-31 13:14:15.000016"));
  EXPECT_EQ(time.year, 2024);
  EXPECT_EQ(time.month, 12);
  EXPECT_EQ(time.day, 31);
  EXPECT_EQ(time.hour, 13);
  EXPECT_EQ(time.minute, 14);
  EXPECT_EQ(time.second, 15);
  EXPECT_EQ(time.microsecond, 16);
  EXPECT_EQ(time.weekday, 2);  // a Tuesday
  EXPECT_EQ(time.day_of_year, 366);
}

std::string Interval(std::string_view text) {
  Result<Datum::Interval> interval = ParseInterval(text);
  return interval.ok() ? FormatInterval(*interval) : interval.status().message();
}

TEST(Interval, ReadsPostgresTexts) {
  EXPECT_EQ(Interval("1 day"), "1 day");
  EXPECT_EQ(Interval("2 hours 30 minutes"), "02:30:00");
  EXPECT_EQ(Interval("1 year -2 mons"), "10 mons");
  EXPECT_EQ(Interval("01:30:00.25"), "01:30:00.25");
  EXPECT_EQ(Interval("3 days 04:05:06"), "3 days 04:05:06");
  EXPECT_EQ(Interval("-1 day -02:00"), "-1 days -02:00:00");
  EXPECT_EQ(Interval("1.5 days"), "1 day 12:00:00");
  EXPECT_EQ(Interval("90s"), "00:01:30");
  EXPECT_EQ(Interval("2 weeks ago"), "-14 days");
  EXPECT_EQ(Interval("0 days"), "00:00:00");
  EXPECT_EQ(Interval(""), "invalid interval ''");
  EXPECT_EQ(Interval("1 fortnight"), "invalid interval '1 fortnight'");
  EXPECT_EQ(Interval("1e300 days"), "invalid interval '1e300 days'");
  EXPECT_EQ(Interval("99999999999999 years"), "interval out of range: '99999999999999 years'");
}

TEST(Interval, AddsMonthsWithTheDayClamped) {
  auto add = [](std::string_view start, std::string_view interval, int sign) {
    return FormatTimestamp(AddInterval(Us(start), *ParseInterval(interval), sign));
  };
  EXPECT_EQ(add("2024-01-31", "1 month", 1), "2024-02-29 00:00:00");
  EXPECT_EQ(add("2023-03-31", "1 month", -1), "2023-02-28 00:00:00");
  EXPECT_EQ(add("2024-02-29", "1 year", 1), "2025-02-28 00:00:00");
  EXPECT_EQ(add("2024-01-01", "1 month 1 day 01:00", -1), "2023-11-29 23:00:00");
}

}  // namespace
}  // namespace kalam
