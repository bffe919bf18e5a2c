// Coercions, casts and comparisons between all kinds of values.
#include "types/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "types/datetime.h"
#include "types/decimal.h"

namespace kalam {
namespace {

const DataType kInt = DataType::Of(TypeKind::kInt);
const DataType kSmallInt = DataType::Of(TypeKind::kSmallInt);
const DataType kBigInt = DataType::Of(TypeKind::kBigInt);
const DataType kDouble = DataType::Of(TypeKind::kDouble);
const DataType kFloat = DataType::Of(TypeKind::kFloat);
const DataType kText = DataType::Of(TypeKind::kText);
const DataType kBoolean = DataType::Of(TypeKind::kBoolean);
const DataType kTimestamp = DataType::Of(TypeKind::kTimestamp);
const DataType kDate = DataType::Of(TypeKind::kDate);
const DataType kTime = DataType::Of(TypeKind::kTime);
const DataType kUuid = DataType::Of(TypeKind::kUuid);
const DataType kBytes = DataType::Of(TypeKind::kBytes);

/// The text of the converted value, or the error's message.
std::string Written(const Datum& value, const DataType& type) {
  Arena arena;
  Result<Datum> result = CoerceForWrite(value, type, &arena);
  if (!result.ok()) return result.status().message();
  EXPECT_EQ(result->kind, type.kind);
  return result->is_null ? "NULL" : ToText(*result);
}
std::string Casted(const Datum& value, const DataType& type) {
  Arena arena;
  Result<Datum> result = Cast(value, type, &arena);
  return result.ok() ? ToText(*result) : result.status().message();
}
Datum Dec(std::string_view text) {
  DecimalValue value = *ParseDecimal(text);
  return Datum::Decimal(value.unscaled, value.scale);
}

TEST(Convert, NullStaysNullOfTheTarget) {
  EXPECT_EQ(Written(Datum::Null(TypeKind::kText), kInt), "NULL");
}

TEST(Convert, IntegersAreRangeChecked) {
  EXPECT_EQ(Written(Datum::BigInt(32'767), kSmallInt), "32767");
  EXPECT_EQ(Written(Datum::BigInt(32'768), kSmallInt),
            "Unable to cast value '32768' to SMALLINT: out of range");
  EXPECT_EQ(Written(Datum::BigInt(-2'147'483'649), kInt),
            "Unable to cast value '-2147483649' to INT: out of range");
  EXPECT_EQ(Written(Datum::Text(" +42 "), kInt), "42");
  EXPECT_EQ(Written(Datum::Text("9223372036854775808"), kBigInt),
            "Unable to cast value '9223372036854775808' to BIGINT: out of range");
  for (std::string_view text : {"", " ", "1.5", "abc", "1x", "+-1", "0x1"}) {
    EXPECT_NE(Written(Datum::Text(text), kInt).find("not an integer"), std::string::npos) << text;
  }
}

TEST(Convert, FractionsTruncateOnWriteAndRoundInCasts) {
  EXPECT_EQ(Written(Datum::Double(2.9), kInt), "2");
  EXPECT_EQ(Written(Datum::Double(-2.9), kInt), "-2");
  EXPECT_EQ(Casted(Datum::Double(2.5), kInt), "2");
  EXPECT_EQ(Casted(Datum::Double(3.5), kInt), "4");
  EXPECT_EQ(Written(Dec("2.9"), kInt), "2");
  EXPECT_EQ(Casted(Dec("2.5"), kInt), "3");
  EXPECT_NE(Written(Datum::Double(1e10), kInt).find("out of range"), std::string::npos);
  EXPECT_NE(Written(Datum::Double(std::nan("")), kInt).find("out of range"), std::string::npos);
  EXPECT_NE(Written(Datum::Double(9.3e18), kBigInt).find("out of range"), std::string::npos);
}

TEST(Convert, Floats) {
  EXPECT_EQ(Written(Datum::Text("1e20"), kDouble), "1e+20");
  EXPECT_EQ(Written(Datum::Text("-inf"), kDouble), "-Infinity");
  EXPECT_EQ(Written(Datum::Double(0.1), kFloat), "0.1");
  EXPECT_NE(Written(Datum::Double(1e39), kFloat).find("out of range"), std::string::npos);
  EXPECT_NE(Written(Datum::Text("1e999"), kDouble).find("out of range"), std::string::npos);
  EXPECT_NE(Written(Datum::Text("12abc"), kDouble).find("not a number"), std::string::npos);
}

TEST(Convert, Decimals) {
  EXPECT_EQ(Written(Datum::BigInt(7), DataType::Decimal(10, 2)), "7.00");
  EXPECT_EQ(Written(Datum::Double(19.9), DataType::Decimal(10, 2)), "19.90");
  EXPECT_EQ(Written(Datum::Text("2.345"), DataType::Decimal(10, 2)), "2.35");
  EXPECT_EQ(Written(Datum::BigInt(1000), DataType::Decimal(5, 2)),
            "Unable to cast value '1000' to DECIMAL(5, 2): numeric value out of range");
  EXPECT_NE(Written(Datum::Double(INFINITY), DataType::Decimal(5, 2)).find("Unable"),
            std::string::npos);
}

TEST(Convert, Booleans) {
  EXPECT_EQ(Written(Datum::Text(" TRUE "), kBoolean), "true");
  EXPECT_EQ(Casted(Datum::Text("off"), kBoolean), "false");
  EXPECT_NE(Casted(Datum::Text("maybe"), kBoolean).find("not a boolean"), std::string::npos);
  EXPECT_NE(Written(Datum::Double(1), kBoolean).find("no conversion"), std::string::npos);
}

TEST(Convert, TemporalKinds) {
  EXPECT_EQ(Written(Datum::Text("2024-01-01T10:00:00+02:00"), kTimestamp), "2024-01-01 08:00:00");
  EXPECT_EQ(Written(Datum::BigInt(1'000'000), kTimestamp), "1970-01-01 00:00:01");
  EXPECT_EQ(Written(Datum::BigInt(1), kDate), "1970-01-02");
  EXPECT_EQ(Written(Datum::OfInt(TypeKind::kTimestamp, -1), kDate), "1969-12-31");
  EXPECT_EQ(Written(Datum::OfInt(TypeKind::kTimestamp, -1), kTime), "23:59:59.999999");
  EXPECT_EQ(Written(Datum::OfInt(TypeKind::kDate, 1), kTimestamp), "1970-01-02 00:00:00");
  EXPECT_NE(Written(Datum::OfInt(TypeKind::kDate, INT32_MAX), kTimestamp).find("out of range"),
            std::string::npos);
  EXPECT_NE(Written(Datum::BigInt(86'400'000'000), kTime).find("out of range"), std::string::npos);
  EXPECT_NE(Written(Datum::Text("soon"), kTimestamp).find("invalid timestamp 'soon'"),
            std::string::npos);
  EXPECT_EQ(Casted(Datum::Text("1 day"), DataType::Of(TypeKind::kInterval)), "1 day");
}

TEST(Convert, UuidsInEveryForm) {
  std::string expected = "0189f7a0-1234-7abc-8def-0123456789ab";
  for (std::string_view text :
       {"0189f7a0-1234-7abc-8def-0123456789ab", "0189F7A012347ABC8DEF0123456789AB",
        "{0189f7a0-1234-7abc-8def-0123456789ab}",
        "urn:uuid:0189f7a0-1234-7abc-8def-0123456789ab"}) {
    EXPECT_EQ(Written(Datum::Text(text), kUuid), expected);
  }
  EXPECT_EQ(Written(Datum::Text("0189f7a0"), kUuid), "Invalid UUID literal '0189f7a0'");
  EXPECT_EQ(Written(Datum::Bytes(TypeKind::kBytes, std::string(16, '\x11')), kUuid),
            "11111111-1111-1111-1111-111111111111");
}

TEST(Convert, EmbeddingsAndBytes) {
  EXPECT_EQ(Written(Datum::Text(" [1, -2.5,3e2 ] "), DataType::Embedding(3)), "[1,-2.5,300]");
  EXPECT_EQ(Written(Datum::Text("[1,2]"), DataType::Embedding(3)),
            "Embedding dimension mismatch: expected 3, got 2");
  for (std::string_view text : {"", "[", "[1,]", "[,1]", "[a]", "{}", "[1 2]", "[inf]", "1]"}) {
    EXPECT_EQ(Written(Datum::Text(text), DataType::Embedding(2)),
              "Invalid embedding JSON: expected an array of numbers")
        << text;
  }
  EXPECT_EQ(Written(Datum::Text("hi"), kBytes), "\\x6869");
  EXPECT_EQ(Written(Datum::BigInt(5), kText), "5");
  EXPECT_EQ(Written(Datum::Boolean(true), kText), "true");
}

TEST(ToText, DoublesLikePostgres) {
  auto text = [](double value) { return ToText(Datum::Double(value)); };
  EXPECT_EQ(text(0.1), "0.1");
  EXPECT_EQ(text(1), "1");
  EXPECT_EQ(text(-0.0), "-0");
  EXPECT_EQ(text(100000), "100000");
  EXPECT_EQ(text(123456789012345), "123456789012345");
  EXPECT_EQ(text(1e15), "1e+15");
  EXPECT_EQ(text(1.5e20), "1.5e+20");
  EXPECT_EQ(text(0.0001), "0.0001");
  EXPECT_EQ(text(0.00001), "1e-05");
  EXPECT_EQ(text(5e-324), "5e-324");
  EXPECT_EQ(text(12.5), "12.5");
}

TEST(ToText, RandomDoublesReadBack) {
  std::mt19937_64 random(41);
  for (int round = 0; round < 20'000; ++round) {
    uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    if (round % 2) value = std::round(value / 1e3) / 100;
    Arena arena;
    Result<Datum> back = Cast(Datum::Text(ToText(Datum::Double(value))), kDouble, &arena);
    ASSERT_TRUE(back.ok());
    ASSERT_EQ(back->d, value);
  }
}

std::string Compared(const Datum& a, const Datum& b) {
  Result<int> order = CompareValues(a, b);
  if (!order.ok()) return order.status().message();
  Result<int> reverse = CompareValues(b, a);
  EXPECT_TRUE(reverse.ok());
  EXPECT_EQ(*order, -*reverse);
  return *order < 0 ? "<" : *order > 0 ? ">" : "=";
}

TEST(Compare, NumbersExactlyAcrossTypes) {
  int64_t big = (int64_t{1} << 53) + 1;  // not a double
  EXPECT_EQ(Compared(Datum::BigInt(big), Datum::Double(9007199254740992.0)), ">");
  EXPECT_EQ(Compared(Datum::BigInt(INT64_MAX), Datum::Double(9223372036854775808.0)), "<");
  EXPECT_EQ(Compared(Datum::BigInt(INT64_MIN), Datum::Double(-9223372036854775808.0)), "=");
  EXPECT_EQ(Compared(Datum::BigInt(1), Datum::Double(1.5)), "<");
  EXPECT_EQ(Compared(Datum::BigInt(-1), Datum::Double(-1.5)), ">");
  EXPECT_EQ(Compared(Datum::BigInt(5), Datum::Double(std::nan(""))), "<");
  EXPECT_EQ(Compared(Datum::Double(std::nan("")), Datum::Double(std::nan(""))), "=");
  EXPECT_EQ(Compared(Datum::Double(0.0), Datum::Double(-0.0)), "=");
  EXPECT_EQ(Compared(Dec("19.90"), Datum::Double(19.9)), "=");
  EXPECT_EQ(Compared(Dec("2.50"), Dec("2.5")), "=");
  EXPECT_EQ(Compared(Dec("2.01"), Datum::BigInt(2)), ">");
}

TEST(Compare, TextAgainstOtherKindsIsParsed) {
  EXPECT_EQ(Compared(Datum::Text("10"), Datum::BigInt(9)), ">");
  EXPECT_EQ(Compared(Datum::Text("1.5"), Datum::BigInt(1)), ">");
  EXPECT_EQ(Compared(Datum::Text("2024-01-02"), Datum::OfInt(TypeKind::kDate, 19'723)), ">");
  EXPECT_EQ(Compared(Datum::Text("t"), Datum::Boolean(true)), "=");
  EXPECT_EQ(Compared(Datum::Text("11111111-1111-1111-1111-111111111111"),
                     Datum::Bytes(TypeKind::kUuid, std::string(16, '\x11'))),
            "=");
  EXPECT_NE(Compared(Datum::Text("x"), Datum::BigInt(1)).find("invalid number 'x'"),
            std::string::npos);
}

TEST(Compare, TemporalTextAndTheRest) {
  EXPECT_EQ(Compared(Datum::OfInt(TypeKind::kDate, 1), Datum::OfInt(TypeKind::kTimestamp, 1)), ">");
  EXPECT_EQ(Compared(Datum::Text("B"), Datum::Text("a")), "<");
  EXPECT_EQ(Compared(Datum::Text("\xff"), Datum::Text("a")), ">");
  EXPECT_EQ(Compared(Datum::OfInterval(1, 0, 0), Datum::OfInterval(0, 30, 0)), "=");
  EXPECT_EQ(Compared(Datum::Boolean(true), Datum::BigInt(1)), "cannot compare BOOLEAN with BIGINT");
  EXPECT_EQ(Compared(Datum::OfInt(TypeKind::kTime, 1), Datum::OfInt(TypeKind::kDate, 1)),
            "cannot compare TIME with DATE");
}

}  // namespace
}  // namespace kalam
