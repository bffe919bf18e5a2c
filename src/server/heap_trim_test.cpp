// Growth that lies free is given back, growth in use is left alone.
#include "server/heap_trim.h"

#include <gtest/gtest.h>

namespace kalam::server {
namespace {

constexpr int64_t kStep = HeapTrim::kGrowthBytes;

TEST(HeapTrimTest, GrowthThatLiesFreeIsTrimmedAndThenMeasuredFromBelow) {
  HeapTrim trim;
  const auto free_bytes = [] { return kStep; };
  EXPECT_FALSE(trim.IsDue(10 * kStep, free_bytes)) << "where it starts is nothing that grew";
  EXPECT_FALSE(trim.IsDue(11 * kStep - 1, free_bytes));
  EXPECT_TRUE(trim.IsDue(11 * kStep, free_bytes));
  EXPECT_FALSE(trim.IsDue(10 * kStep, free_bytes)) << "given back";
  EXPECT_TRUE(trim.IsDue(11 * kStep, free_bytes)) << "grown again";
}

TEST(HeapTrimTest, GrowthInUseIsLookedAtOnce) {
  HeapTrim trim;
  int asked = 0;
  const auto free_bytes = [&asked] {
    ++asked;
    return kStep - 1;
  };
  EXPECT_FALSE(trim.IsDue(kStep, free_bytes));
  EXPECT_EQ(asked, 0);
  EXPECT_FALSE(trim.IsDue(2 * kStep, free_bytes));
  EXPECT_FALSE(trim.IsDue(2 * kStep, free_bytes));
  EXPECT_FALSE(trim.IsDue(3 * kStep - 1, free_bytes));
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(trim.IsDue(3 * kStep, free_bytes));
  EXPECT_EQ(asked, 2);
}

}  // namespace
}  // namespace kalam::server
