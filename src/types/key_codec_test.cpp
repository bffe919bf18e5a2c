// Byte order of keys is order of values, keys read back, and arbitrary bytes are refused without
// reading past them.
#include "types/key_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace kalam {
namespace {

std::string Key(const Datum& value) {
  std::string key;
  EncodeKey(value, &key);
  return key;
}

void ExpectAscending(const std::vector<Datum>& values) {
  for (size_t i = 1; i < values.size(); ++i) {
    EXPECT_LT(Key(values[i - 1]), Key(values[i])) << "at " << i;
  }
}

TEST(KeyCodec, KnownBytes) {
  using namespace std::string_literals;
  EXPECT_EQ(Key(Datum::BigInt(1)), "\x80\0\0\0\0\0\0\x01"s);
  EXPECT_EQ(Key(Datum::Text("ann")), "ann\0\x01"s);
  EXPECT_EQ(Key(Datum::Text("a\0b"s)),
            "a\0\xff"
            "b\0\x01"s);
  EXPECT_EQ(Key(Datum::Boolean(false)), "\x80"s);
}

TEST(KeyCodec, OrderOfEdgeCases) {
  using namespace std::string_literals;
  std::vector<Datum> texts;
  std::vector<std::string> sources = {"",  "\0"s,  "\0\0"s, "\0\x01"s, "\0\xff"s, "\x01",
                                      "a", "a\0"s, "a\0a"s, "a\x01",   "aa",      "\xff"};
  for (const std::string& source : sources) texts.push_back(Datum::Text(source));
  ExpectAscending(texts);
  double inf = std::numeric_limits<double>::infinity();
  ExpectAscending({Datum::Double(-inf), Datum::Double(-1e300), Datum::Double(-1),
                   Datum::Double(-5e-324), Datum::Double(0), Datum::Double(5e-324),
                   Datum::Double(1), Datum::Double(1e300), Datum::Double(inf),
                   Datum::Double(std::nan(""))});
  EXPECT_EQ(Key(Datum::Double(-0.0)), Key(Datum::Double(0.0)));
  ExpectAscending({Datum::Boolean(false), Datum::Boolean(true)});
  __int128 big = static_cast<__int128>(1) << 100;
  ExpectAscending({Datum::Decimal(-big, 2), Datum::Decimal(-1, 2), Datum::Decimal(0, 2),
                   Datum::Decimal(1, 2), Datum::Decimal(big, 2)});
}

TEST(KeyCodec, RandomIntegersKeepTheirOrderAndReadBack) {
  std::mt19937_64 random(1);
  const std::pair<TypeKind, int> kinds[] = {{TypeKind::kSmallInt, 16},
                                            {TypeKind::kInt, 32},
                                            {TypeKind::kDate, 32},
                                            {TypeKind::kBigInt, 64},
                                            {TypeKind::kTime, 64}};
  for (auto [kind, bits] : kinds) {
    for (int round = 0; round < 2000; ++round) {
      // A random width, so that small numbers come up as well.
      int shift = static_cast<int>(random() % bits) + 64 - bits;
      Datum a = Datum::OfInt(kind, static_cast<int64_t>(random()) >> shift);
      Datum b = Datum::OfInt(kind, static_cast<int64_t>(random()) >> shift);
      EXPECT_EQ(a.i < b.i, Key(a) < Key(b));
      std::string key = Key(a) + "rest";
      std::string_view in = key;
      Arena arena;
      Result<Datum> back = DecodeKey(DataType::Of(kind), &in, &arena);
      ASSERT_TRUE(back.ok());
      EXPECT_EQ(back->i, a.i);
      EXPECT_EQ(in, "rest");
    }
  }
}

TEST(KeyCodec, RandomTextsKeepTheirOrderAndReadBack) {
  std::mt19937_64 random(2);
  auto text = [&] {
    std::string result(random() % 6, ' ');
    for (char& c : result) c = "\0\x01\xff\x7fz"[random() % 5];
    return result;
  };
  for (int round = 0; round < 5000; ++round) {
    std::string a = text();
    std::string b = text();
    EXPECT_EQ(a < b, Key(Datum::Text(a)) < Key(Datum::Text(b)));
    std::string key = Key(Datum::Text(a)) + b;
    std::string_view in = key;
    Arena arena;
    Result<Datum> back = DecodeKey(DataType::Of(TypeKind::kText), &in, &arena);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->text(), a);
    EXPECT_EQ(in, b);
    std::string decoded;
    in = key;
    ASSERT_TRUE(DecodeKeyText(&in, &decoded));
    EXPECT_EQ(decoded, a);
  }
}

TEST(KeyCodec, DoublesDecimalsAndUuidsReadBack) {
  Arena arena;
  std::string key = Key(Datum::Double(-1.5)) + Key(Datum::Decimal(-1990, 2)) +
                    Key(Datum::Bytes(TypeKind::kUuid, "0123456789abcdef"));
  std::string_view in = key;
  EXPECT_EQ(DecodeKey(DataType::Of(TypeKind::kDouble), &in, &arena)->d, -1.5);
  Result<Datum> decimal = DecodeKey(DataType::Decimal(10, 2), &in, &arena);
  EXPECT_EQ(static_cast<int64_t>(decimal->decimal()), -1990);
  EXPECT_EQ(decimal->scale, 2);
  EXPECT_EQ(DecodeKey(DataType::Of(TypeKind::kUuid), &in, &arena)->text(), "0123456789abcdef");
  EXPECT_TRUE(in.empty());
}

TEST(KeyCodec, ArbitraryBytesNeverReadOutOfBounds) {
  std::mt19937_64 random(3);
  const TypeKind kinds[] = {TypeKind::kBoolean, TypeKind::kInt,  TypeKind::kBigInt,
                            TypeKind::kText,    TypeKind::kUuid, TypeKind::kDouble,
                            TypeKind::kBytes,   TypeKind::kNull, TypeKind::kInterval};
  for (int round = 0; round < 50'000; ++round) {
    // Heap memory of the exact size, so that a sanitizer sees one byte too many.
    std::vector<char> bytes(random() % 20);
    for (char& byte : bytes) byte = random() % 2 ? "\0\x01\xff"[random() % 3] : random();
    std::string_view in(bytes.data(), bytes.size());
    Arena arena;
    Result<Datum> value = DecodeKey(DataType::Of(kinds[random() % 9]), &in, &arena);
    if (value.ok()) {
      EXPECT_LE(in.size(), bytes.size());
    } else {
      EXPECT_TRUE(value.status().Is(ErrorKind::Corruption));
    }
  }
}

TEST(KeyCodec, PrefixEnd) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xff\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff"), "");
}

TEST(KeyCodec, BigEndianNumbers) {
  std::string out;
  EncodeBigEndian32(0x01020304, &out);
  EncodeBigEndian64(0x1112131415161718, &out);
  EXPECT_EQ(out, "\x01\x02\x03\x04\x11\x12\x13\x14\x15\x16\x17\x18");
  EXPECT_EQ(DecodeBigEndian32(out.data()), 0x01020304u);
  EXPECT_EQ(DecodeBigEndian64(out.data() + 4), 0x1112131415161718u);
}

}  // namespace
}  // namespace kalam
