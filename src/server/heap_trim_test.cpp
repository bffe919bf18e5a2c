// What lies idle in the heap is given back, what is in use or cannot be given back is left alone.
#include "server/heap_trim.h"

#include <gtest/gtest.h>

namespace kalam::server {
namespace {

constexpr int64_t kStep = HeapTrim::kIdleBytes;

class HeapTrimTest : public testing::Test {
 protected:
  /// One round of a process that holds `anonymous` bytes, `in_use` of them for somebody.
  bool IsDue(int64_t anonymous, int64_t in_use) {
    return trim_.IsDue(anonymous, [this, in_use] {
      ++looks_;
      return in_use;
    });
  }
  /// As many rounds as pass before it looks by itself; whether any was due.
  bool IsDueWithin(int64_t anonymous, int64_t in_use) {
    bool due = false;
    for (int round = 0; round < HeapTrim::kRoundsBetweenLooks; ++round)
      due = IsDue(anonymous, in_use) || due;
    return due;
  }

  HeapTrim trim_;
  int looks_ = 0;
};

TEST_F(HeapTrimTest, GrowthThatLiesIdleGoesAtOnce) {
  EXPECT_FALSE(IsDueWithin(10 * kStep, 9 * kStep)) << "where it starts is nothing that grew";
  EXPECT_FALSE(IsDue(11 * kStep - 1, 9 * kStep));
  EXPECT_TRUE(IsDue(11 * kStep, 9 * kStep));
  trim_.NoteTrimmed(10 * kStep, 9 * kStep);
  EXPECT_FALSE(IsDue(10 * kStep, 9 * kStep)) << "given back";
  EXPECT_TRUE(IsDue(11 * kStep, 9 * kStep)) << "grown again";
}

TEST_F(HeapTrimTest, GrowthInUseIsLookedAtAndLeftUntilItIsFreed) {
  EXPECT_FALSE(IsDueWithin(10 * kStep, 9 * kStep));
  EXPECT_FALSE(IsDue(15 * kStep, 14 * kStep));
  EXPECT_EQ(looks_, 2);
  EXPECT_FALSE(IsDueWithin(15 * kStep, 14 * kStep));
  EXPECT_EQ(looks_, 3) << "now and then";
  EXPECT_TRUE(IsDueWithin(15 * kStep, 10 * kStep)) << "freed, and nothing grew";
}

TEST_F(HeapTrimTest, WhatATrimCannotGiveBackIsNotTriedAgain) {
  EXPECT_FALSE(IsDueWithin(10 * kStep, 10 * kStep));
  EXPECT_TRUE(IsDue(12 * kStep, 10 * kStep));
  trim_.NoteTrimmed(12 * kStep, 10 * kStep);
  EXPECT_FALSE(IsDue(12 * kStep, 10 * kStep)) << "still there";
  EXPECT_FALSE(IsDueWithin(12 * kStep, 10 * kStep));
  EXPECT_FALSE(IsDueWithin(13 * kStep - 1, 10 * kStep));
  EXPECT_TRUE(IsDueWithin(13 * kStep, 10 * kStep)) << "more than that";
}

TEST_F(HeapTrimTest, WhatIsFreedRightAfterATrimIsNotTakenForItsRest) {
  EXPECT_FALSE(IsDueWithin(10 * kStep, 10 * kStep));
  EXPECT_TRUE(IsDue(13 * kStep, 10 * kStep));
  trim_.NoteTrimmed(10 * kStep, 10 * kStep);
  EXPECT_TRUE(IsDueWithin(13 * kStep, 10 * kStep)) << "another burst before the next look";
}

TEST_F(HeapTrimTest, ALargeHeapMayHaveMoreIdle) {
  const int64_t in_use = 2 * kStep * HeapTrim::kInUseDivisor;
  EXPECT_FALSE(IsDueWithin(in_use, in_use));
  EXPECT_FALSE(IsDueWithin(in_use + 2 * kStep - 1, in_use));
  EXPECT_TRUE(IsDueWithin(in_use + 2 * kStep, in_use));
}

}  // namespace
}  // namespace kalam::server
