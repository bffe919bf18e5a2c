// The JSON of every kind of cell, and of strings with every kind of byte.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "types/convert.h"

namespace kalam {
namespace {

std::string Json(const Datum& cell, DataType type = {}) {
  std::string out;
  AppendCellJson(cell, type, &out);
  return out;
}
std::string JsonString(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(CellJson, EveryKind) {
  EXPECT_EQ(Json(Datum::Null(TypeKind::kText)), "null");
  EXPECT_EQ(Json(Datum::Boolean(true)), "true");
  EXPECT_EQ(Json(Datum::OfInt(TypeKind::kInt, -5)), "-5");
  EXPECT_EQ(Json(Datum::BigInt(INT64_MIN)), "\"-9223372036854775808\"");
  EXPECT_EQ(Json(Datum::OfInt(TypeKind::kTimestamp, 1'704'067'200'000'000)), "1704067200000000");
  EXPECT_EQ(Json(Datum::Decimal(-5, 2)), "\"-0.05\"");
  EXPECT_EQ(Json(Datum::Bytes(TypeKind::kBytes, std::string_view("\x00\xff", 2))), "[0,255]");
  EXPECT_EQ(Json(Datum::Bytes(TypeKind::kUuid, "0123456789abcdef")),
            "\"30313233-3435-3637-3839-616263646566\"");
  const float numbers[] = {1.5f, -2.0f, 0.1f};
  std::string_view embedding(reinterpret_cast<const char*>(numbers), sizeof numbers);
  EXPECT_EQ(Json(Datum::Bytes(TypeKind::kEmbedding, embedding)), "[1.5,-2.0,0.10000000149011612]");
  EXPECT_EQ(Json(Datum::Bytes(TypeKind::kJson, R"({"a":1})")), R"("{\"a\":1}")");
  EXPECT_EQ(Json(Datum::OfInterval(0, 1, 0)), "\"1 day\"");
}

TEST(CellJson, DoublesAreShortestAndKeepTheirPoint) {
  EXPECT_EQ(Json(Datum::Double(0.1)), "0.1");
  EXPECT_EQ(Json(Datum::Double(3)), "3.0");
  EXPECT_EQ(Json(Datum::Double(-0.0)), "-0.0");
  EXPECT_EQ(Json(Datum::Double(1e300)), "1e+300");
  EXPECT_EQ(Json(Datum::Double(std::nan(""))), "null");
  EXPECT_EQ(Json(Datum::Double(-INFINITY)), "null");
}

TEST(JsonString, Escapes) {
  EXPECT_EQ(JsonString(""), "\"\"");
  EXPECT_EQ(JsonString("a\"b\\c\n\r\t\b\f"), R"("a\"b\\c\n\r\t\b\f")");
  EXPECT_EQ(JsonString(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\x7f\"");
  EXPECT_EQ(JsonString("0123456789012345678901234567890123456789\"x"),
            "\"0123456789012345678901234567890123456789\\\"x\"");
}

TEST(JsonString, KeepsValidUtf8AndReplacesTheRest) {
  EXPECT_EQ(JsonString("grün €𝄞"), "\"grün €𝄞\"");
  constexpr char kBad[] = "\xEF\xBF\xBD";
  auto bad = [&](int count) {
    std::string text = "\"";
    for (int i = 0; i < count; ++i) text += kBad;
    return text + "\"";
  };
  EXPECT_EQ(JsonString("\x80"), bad(1));
  EXPECT_EQ(JsonString("\xC0\xAF"), bad(2));          // overlong
  EXPECT_EQ(JsonString("\xED\xA0\x80"), bad(3));      // surrogate
  EXPECT_EQ(JsonString("\xF4\x90\x80\x80"), bad(4));  // beyond U+10FFFF
  EXPECT_EQ(JsonString("\xE2\x82"), bad(2));          // cut off
  EXPECT_EQ(JsonString("a\xFFz"), std::string("\"a") + kBad + "z\"");
}

TEST(JsonString, EveryPositionOfASpecialByteIsSeen) {
  for (size_t size = 1; size < 70; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\n';
      EXPECT_EQ(JsonString(text),
                "\"" + std::string(at, 'x') + "\\n" + std::string(size - at - 1, 'x') + "\"");
    }
  }
}

TEST(JsonString, ArbitraryBytesGiveBalancedStringsWithoutControls) {
  std::mt19937_64 random(51);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(random() % 40);
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::string json = JsonString({bytes.data(), bytes.size()});
    ASSERT_GE(json.size(), 2u);
    for (size_t i = 1; i + 1 < json.size(); ++i) {
      ASSERT_GE(static_cast<uint8_t>(json[i]), 0x20);
      ASSERT_NE(json[i], '"');
      if (json[i] == '\\') ++i;
    }
    ASSERT_EQ(json.back(), '"');
  }
}

}  // namespace
}  // namespace kalam
