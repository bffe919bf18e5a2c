// Keys: their bytes, and that byte order is (table, bucket, scope, rest) whatever the names
// contain.
#include "storage/key_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

#include "types/key_codec.h"

namespace kalam::storage {
namespace {

std::string Pk(int64_t value) {
  std::string key;
  EncodeKey(Datum::BigInt(value), &key);
  return key;
}

TEST(KeyLayoutTest, BytesOfARowKey) {
  Scope ann = Scope::OfUser("ann");
  std::string expected("\x00\x00\x00\x07", 4);
  expected += static_cast<char>(ann.bucket());
  expected += std::string("ann\x00\x01", 5);
  expected += std::string("\x80\x00\x00\x00\x00\x00\x00\x01", 8);
  EXPECT_EQ(RowKey(TableId{7}, ann, Pk(1)), expected);
}

TEST(KeyLayoutTest, BucketsNeverChange) {
  // XXH64 with seed 0, computed with the reference implementation (xxhsum): ef46db3751d8e999 of "",
  // d24ec4f1a98c6e5b of "a", 44bc2cf5ad770999 of "abc".
  EXPECT_EQ(Scope::OfUser("a").bucket(), 0x5b);
  EXPECT_EQ(Scope::OfUser("abc").bucket(), 0x99);
  EXPECT_EQ(Scope::Shared().bucket(), 0);
  EXPECT_TRUE(Scope::OfUser("").is_shared());
}

TEST(KeyLayoutTest, SeqKeysOrderBySeqAndParseBack) {
  Scope scope = Scope::OfUser(std::string("a\0b", 3));
  std::string early = SeqKey(TableId{3}, scope, Seq{255});
  std::string late = SeqKey(TableId{3}, scope, Seq{256});
  EXPECT_LT(early, late);
  ParsedKey parsed;
  ASSERT_TRUE(ParseKey(late, &parsed));
  EXPECT_EQ(parsed.table, TableId{3});
  EXPECT_EQ(parsed.bucket, scope.bucket());
  EXPECT_EQ(parsed.user_id, scope.user_id());
  EXPECT_EQ(parsed.rest.size(), 8u);
  Seq seq;
  ASSERT_TRUE(SeqOfKey(late, &seq));
  EXPECT_EQ(seq, Seq{256});
}

TEST(KeyLayoutTest, GarbageIsRefused) {
  ParsedKey parsed;
  Seq seq;
  EXPECT_FALSE(ParseKey("", &parsed));
  EXPECT_FALSE(ParseKey("abcd", &parsed));
  EXPECT_FALSE(ParseKey("abcde-without-an-end", &parsed));
  EXPECT_FALSE(SeqOfKey("abc", &seq));
}

struct Place {
  uint32_t table;
  std::string user;
  int64_t pk;
};

/// Names over a tiny alphabet with the escape bytes in it, so that prefixes and ties are frequent.
Place RandomPlace(std::mt19937_64& random) {
  static constexpr char kAlphabet[] = {'\x00', '\x01', '\xff', 'a', 'b'};
  Place place;
  place.table = static_cast<uint32_t>(random() % 3) * 0x7FFFFFFFu;
  for (size_t i = random() % 4; i-- > 0;) place.user += kAlphabet[random() % 5];
  place.pk = static_cast<int64_t>(random() % 5) - 2;
  return place;
}

TEST(KeyLayoutTest, ByteOrderIsOrderOfTableBucketScopeAndKey) {
  std::mt19937_64 random(20'240'101);
  auto rank = [](const Place& place) {
    return std::tuple(place.table, Scope::OfUser(place.user).bucket(), place.user, place.pk);
  };
  for (int round = 0; round < 20'000; ++round) {
    Place a = RandomPlace(random);
    Place b = RandomPlace(random);
    std::string key_a = RowKey(TableId{a.table}, Scope::OfUser(a.user), Pk(a.pk));
    std::string key_b = RowKey(TableId{b.table}, Scope::OfUser(b.user), Pk(b.pk));
    ASSERT_EQ(key_a < key_b, rank(a) < rank(b)) << round;
    // One scope is one range: nobody else's key lies between its prefix and the end of the prefix.
    std::string prefix = ScopePrefix(TableId{a.table}, Scope::OfUser(a.user));
    bool inside = key_b >= prefix && key_b < PrefixEnd(prefix);
    ASSERT_EQ(inside, a.table == b.table && a.user == b.user) << round;
  }
}

}  // namespace
}  // namespace kalam::storage
