// A thread that steps back does so alone, with what it starts.
#include "base/thread_priority.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>

namespace kalam {
namespace {

int Nice() { return getpriority(PRIO_PROCESS, 0); }

TEST(RunBehindOthers, IsForTheThreadAndThoseItStarts) {
  const int before = Nice();
  const int expected = std::min(19, before + 10);
  int of_thread = 0, of_its_child = 0;
  std::thread([&] {
    RunBehindOthers();
    of_thread = Nice();
    std::thread([&] { of_its_child = Nice(); }).join();
  }).join();
  EXPECT_EQ(of_thread, expected);
  EXPECT_EQ(of_its_child, expected);
  EXPECT_EQ(Nice(), before) << "other threads stay as they are";
}

TEST(TakeLongTurns, LeavesTheShare) {
  const int before = Nice();
  int of_thread = 0;
  std::thread([&] {
    TakeLongTurns();
    of_thread = Nice();
  }).join();
  EXPECT_EQ(of_thread, before);
}

}  // namespace
}  // namespace kalam
