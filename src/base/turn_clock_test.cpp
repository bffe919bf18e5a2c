// The clock runs while somebody wants it to.
#include "base/turn_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace kalam {
namespace {

/// Waits until the clock's threads have woken up so many times more.
void AwaitWakes(const TurnClock& clock, int64_t count) {
  const int64_t until = clock.wake_count() + count;
  while (clock.wake_count() < until) std::this_thread::yield();
}

TEST(TurnClock, RunsAgainAfterAPause) {
  TurnClock clock;
  if (!clock.is_needed()) GTEST_SKIP() << "there are many processors";
  EXPECT_EQ(clock.wake_count(), 0);
  clock.Start();
  AwaitWakes(clock, 10);
  clock.Stop();
  clock.Start();
  AwaitWakes(clock, 10);
  clock.Stop();
}

TEST(TurnClock, RunsUntilTheLastStop) {
  TurnClock clock;
  if (!clock.is_needed()) GTEST_SKIP() << "there are many processors";
  const RunningTurnClock first(&clock);
  { const RunningTurnClock second(&clock); }
  AwaitWakes(clock, 10);
}

TEST(TurnClock, MayEndWhileItRuns) {
  TurnClock clock;
  clock.Start();
}

TEST(RunningTurnClock, NeedsNoClock) { const RunningTurnClock none(nullptr); }

}  // namespace
}  // namespace kalam
