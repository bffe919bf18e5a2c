// The clock behind `_seq` when the wall clock is moved.
#include "replication/sequence_clock.h"

#include <gtest/gtest.h>

namespace kalam::replication {
namespace {

/// Wall and steady time that are moved apart.
class TwoClocks : public Clock {
 public:
  int64_t NowUs() const override { return wall_us; }
  int64_t SteadyUs() const override { return steady_us; }
  void PassUs(int64_t us) {
    wall_us += us;
    steady_us += us;
  }
  int64_t wall_us = 1'000'000'000;
  int64_t steady_us = 77;
};

TEST(SequenceClockTest, FollowsTimeThatPasses) {
  TwoClocks clocks;
  SequenceClock clock(clocks);
  EXPECT_EQ(clock.NowUs(), 1'000'000'000);
  clocks.PassUs(10);
  EXPECT_EQ(clock.NowUs(), 1'000'000'010);
  clocks.PassUs(5'000'000);
  EXPECT_EQ(clock.NowUs(), 1'005'000'010);
}

TEST(SequenceClockTest, WallClockSetBackSlowsItDownByATenth) {
  TwoClocks clocks;
  SequenceClock clock(clocks);
  clocks.wall_us -= 3'600'000'000;
  clocks.PassUs(1'000'000);
  EXPECT_EQ(clock.NowUs(), 1'000'900'000);
}

TEST(SequenceClockTest, WallClockSetForwardIsCaughtUpByATenth) {
  TwoClocks clocks;
  SequenceClock clock(clocks);
  clocks.wall_us += 50'000;
  clocks.PassUs(100'000);
  EXPECT_EQ(clock.NowUs(), 1'000'110'000);
  clocks.PassUs(1'000'000);
  EXPECT_EQ(clock.NowUs(), clocks.wall_us);
}

TEST(SequenceClockTest, NeverGoesBack) {
  TwoClocks clocks;
  SequenceClock clock(clocks);
  clocks.wall_us -= 3'600'000'000;
  clocks.PassUs(999);
  EXPECT_EQ(clock.NowUs(), 1'000'000'999);
  clocks.PassUs(1);  // the correction for this millisecond would lead to 1'000'000'900
  EXPECT_EQ(clock.NowUs(), 1'000'000'999);
}

}  // namespace
}  // namespace kalam::replication
