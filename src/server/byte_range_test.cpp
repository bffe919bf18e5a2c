// Range headers by hand.
#include "server/byte_range.h"

#include <gtest/gtest.h>

#include <tuple>

namespace kalam::server {
namespace {

TEST(ByteRangeTest, TakesParts) {
  const std::tuple<const char*, int64_t, int64_t> cases[] = {
      {"bytes=0-0", 0, 1},   {"bytes=2-4", 2, 5},
      {"bytes=8-", 8, 10},   {"bytes=-3", 7, 10},
      {"Bytes=5-99", 5, 10}, {"bytes=-99", 0, 10},
      {"bytes=9-9", 9, 10},  {"bytes=0-99999999999999999999", 0, 10},
  };
  for (const auto& [header, begin, end] : cases) {
    const ByteRange range = ParseByteRange(header, 10);
    EXPECT_EQ(range.kind, ByteRange::Kind::kPart) << header;
    EXPECT_EQ(range.begin, begin) << header;
    EXPECT_EQ(range.end, end) << header;
  }
}

TEST(ByteRangeTest, RefusesWhatIsBehindTheEnd) {
  for (const char* header : {"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"})
    EXPECT_EQ(ParseByteRange(header, 10).kind, ByteRange::Kind::kUnsatisfiable) << header;
  EXPECT_EQ(ParseByteRange("bytes=0-", 0).kind, ByteRange::Kind::kUnsatisfiable);
}

TEST(ByteRangeTest, IgnoresWhatItDoesNotUnderstand) {
  for (const char* header : {"", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "lines=1-2",
                             "bytes=0-1,3-4", "bytes=--1", "bytes=1-2x"}) {
    const ByteRange range = ParseByteRange(header, 10);
    EXPECT_EQ(range.kind, ByteRange::Kind::kWhole) << header;
    EXPECT_EQ(range.end, 10) << header;
  }
}

}  // namespace
}  // namespace kalam::server
