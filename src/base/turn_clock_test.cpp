// The clock runs while somebody wants it to.
#include "base/turn_clock.h"

#include <gtest/gtest.h>

#include <climits>
#include <thread>

namespace kalam {
namespace {

constexpr int kAnyNumber = INT_MAX;  // of processors

/// Waits until the clock's threads have woken up so many times more.
void AwaitWakes(const TurnClock& clock, int64_t count) {
  const int64_t until = clock.wake_count() + count;
  while (clock.wake_count() < until) std::this_thread::yield();
}

TEST(TurnClock, RunsAgainAfterAPause) {
  TurnClock clock(kAnyNumber);
  EXPECT_EQ(clock.wake_count(), 0);
  clock.Start();
  AwaitWakes(clock, 10);
  clock.Stop();
  clock.Start();
  AwaitWakes(clock, 10);
  clock.Stop();
}

TEST(TurnClock, RunsUntilTheLastStop) {
  TurnClock clock(kAnyNumber);
  const RunningTurnClock first(&clock);
  { const RunningTurnClock second(&clock); }
  AwaitWakes(clock, 10);
}

TEST(TurnClock, MayEndWhileItRuns) {
  TurnClock clock(kAnyNumber);
  clock.Start();
}

TEST(TurnClock, DoesNothingWhereThereAreMoreProcessors) {
  TurnClock idle(0), ticking(kAnyNumber);
  const RunningTurnClock first(&idle), second(&ticking);
  AwaitWakes(ticking, 10);
  EXPECT_EQ(idle.wake_count(), 0);
}

TEST(RunningTurnClock, NeedsNoClock) { const RunningTurnClock none(nullptr); }

}  // namespace
}  // namespace kalam
