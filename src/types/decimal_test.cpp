// Decimal arithmetic against values worked out by hand (or taken from PostgreSQL), and against
// 64-bit arithmetic.
#include "types/decimal.h"

#include <gtest/gtest.h>

#include <random>

namespace kalam {
namespace {

constexpr char kNines38[] = "99999999999999999999999999999999999999";

DecimalValue D(std::string_view text) {
  Result<DecimalValue> value = ParseDecimal(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : DecimalValue{};
}
std::string Text(const Result<DecimalValue>& value) {
  return value.ok() ? FormatDecimal(value->unscaled, value->scale) : value.status().message();
}

TEST(Decimal, ParsesAndFormats) {
  EXPECT_EQ(Text(D("19.90")), "19.90");
  EXPECT_EQ(Text(D("-0.05")), "-0.05");
  EXPECT_EQ(Text(D(" +7 ")), "7");
  EXPECT_EQ(Text(D(".5")), "0.5");
  EXPECT_EQ(Text(D("5.")), "5");
  EXPECT_EQ(Text(D("1.5e3")), "1500");
  EXPECT_EQ(Text(D("1.5E-3")), "0.0015");
  EXPECT_EQ(Text(D("000000000000000000000000000000000000000000001.0")), "1.0");
  EXPECT_EQ(Text(D(kNines38)), kNines38);
  EXPECT_EQ(Text(D("-0.00")), "0.00");
  EXPECT_EQ(Text(D("1e-50")), "0." + std::string(38, '0'));
}

TEST(Decimal, RefusesWhatIsNoNumberOrTooLong) {
  for (std::string_view text :
       {"", " ", "-", ".", "1.2.3", "1e", "1e+-5", "abc", "1x", "0x10", "NaN"}) {
    EXPECT_FALSE(ParseDecimal(text).ok()) << text;
  }
  EXPECT_EQ(Text(ParseDecimal(std::string(kNines38) + "9")), "numeric value out of range");
  EXPECT_EQ(Text(ParseDecimal("1e38")), "numeric value out of range");
  EXPECT_EQ(Text(ParseDecimal("1e99999999999")), "numeric value out of range");
}

TEST(Decimal, RoundsDecimalsThatDoNotFit) {
  EXPECT_EQ(Text(D("0.333333333333333333333333333333333333336")),
            "0.33333333333333333333333333333333333334");
}

TEST(Decimal, RescaleRoundsHalfAwayFromZero) {
  auto rescale = [](std::string_view text, uint8_t precision, uint8_t scale) {
    Result<Int128> value = RescaleDecimal(D(text), precision, scale);
    return value.ok() ? FormatDecimal(*value, scale) : value.status().message();
  };
  EXPECT_EQ(rescale("2.345", 10, 2), "2.35");
  EXPECT_EQ(rescale("-2.345", 10, 2), "-2.35");
  EXPECT_EQ(rescale("2.3449", 10, 2), "2.34");
  EXPECT_EQ(rescale("2", 10, 2), "2.00");
  EXPECT_EQ(rescale("99.995", 4, 2), "numeric value out of range");
  EXPECT_EQ(rescale("99.994", 4, 2), "99.99");
}

TEST(Decimal, SumsProductsAndRemainders) {
  EXPECT_EQ(Text(AddDecimals(D("0.1"), D("0.25"))), "0.35");
  EXPECT_EQ(Text(SubtractDecimals(D("1"), D("0.001"))), "0.999");
  EXPECT_EQ(Text(AddDecimals(D(kNines38), D("1"))), "numeric value out of range");
  EXPECT_EQ(Text(MultiplyDecimals(D("-1.50"), D("2.5"))), "-3.750");
  EXPECT_EQ(Text(MultiplyDecimals(D("12345678901234567890"), D("1000000000000000000"))),
            "12345678901234567890000000000000000000");
  EXPECT_EQ(Text(MultiplyDecimals(D("12345678901234567890"), D("12345678901234567890"))),
            "numeric value out of range");
  // 40 digits: the last two decimals do not fit and go.
  EXPECT_EQ(Text(MultiplyDecimals(D("12345678901.1234567890"), D("1234567890.1234567890"))),
            "15241578753101662552.659655677750190521");
  EXPECT_EQ(Text(RemainderDecimals(D("-7"), D("3"))), "-1");
  EXPECT_EQ(Text(RemainderDecimals(D("5.5"), D("2"))), "1.5");
  EXPECT_EQ(Text(RemainderDecimals(D("5"), D("0.3"))), "0.2");
  EXPECT_EQ(Text(RemainderDecimals(D("5"), D("0"))), "division by zero");
}

TEST(Decimal, DivisionHasPostgresScale) {
  EXPECT_EQ(Text(DivideDecimals(D("1"), D("3"))), "0.33333333333333333333");
  EXPECT_EQ(Text(DivideDecimals(D("10"), D("3"))), "3.3333333333333333");
  EXPECT_EQ(Text(DivideDecimals(D("-2"), D("3"))), "-0.66666666666666666667");
  EXPECT_EQ(Text(DivideDecimals(D("100000"), D("7"))), "14285.714285714286");
  EXPECT_EQ(Text(DivideDecimals(D("1"), D("0.0001"))), "10000.0000000000000000");
  EXPECT_EQ(Text(DivideDecimals(D("0"), D("5"))), "0.00000000000000000000");
  EXPECT_EQ(Text(DivideDecimals(D("1"), D("0"))), "division by zero");
  EXPECT_EQ(Text(DivideDecimals(D(kNines38), D("0.1"))), "numeric value out of range");
}

TEST(Decimal, ComparesAcrossScales) {
  EXPECT_EQ(CompareDecimals(D("1.0"), D("1.00")), 0);
  EXPECT_LT(CompareDecimals(D("1.01"), D("1.1")), 0);
  EXPECT_GT(CompareDecimals(D("-1"), D("-1.1")), 0);
  DecimalValue tiny{1, 38};
  EXPECT_GT(CompareDecimals(D(kNines38), tiny), 0);
  EXPECT_LT(CompareDecimals(tiny, D("1")), 0);
  EXPECT_GT(CompareDecimals(DecimalValue{-1, 38}, D("-1")), 0);
}

TEST(Decimal, DoublesConvertByTheirShortestText) {
  EXPECT_EQ(DecimalToDouble(D("0.1")), 0.1);
  EXPECT_EQ(DecimalToDouble(D("123456789012345678.901")), 123456789012345678.901);
  EXPECT_EQ(Text(DecimalFromDouble(0.1)), "0.1");
  EXPECT_EQ(Text(DecimalFromDouble(1e22)), "10000000000000000000000");
  EXPECT_EQ(Text(DecimalFromDouble(1e300)), "numeric value out of range");
}

TEST(Decimal, RandomSmallOperandsAgreeWithIntegers) {
  std::mt19937_64 random(21);
  for (int round = 0; round < 20'000; ++round) {
    int64_t a = static_cast<int64_t>(random() % 2'000'001) - 1'000'000;
    int64_t b = static_cast<int64_t>(random() % 2'001) - 1'000;
    DecimalValue x{a, 3};
    DecimalValue y{b, 3};
    EXPECT_EQ(static_cast<int64_t>(AddDecimals(x, y)->unscaled), a + b);
    EXPECT_EQ(static_cast<int64_t>(MultiplyDecimals(x, y)->unscaled), a * b);
    EXPECT_EQ(CompareDecimals(x, y), a < b ? -1 : a > b ? 1 : 0);
    if (b == 0) continue;
    EXPECT_EQ(static_cast<int64_t>(RemainderDecimals(x, y)->unscaled), a % b);
    Result<DecimalValue> quotient = DivideDecimals(x, y);
    ASSERT_TRUE(quotient.ok());
    EXPECT_NEAR(DecimalToDouble(*quotient), static_cast<double>(a) / static_cast<double>(b), 1e-9);
  }
}

}  // namespace
}  // namespace kalam
