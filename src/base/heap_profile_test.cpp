// Tests that a heap profile is refused clearly where there is none. (With jemalloc:
// tests/e2e/memory_test.py.)
#include "base/heap_profile.h"

#include <gtest/gtest.h>

#include "base/allocator_control.h"

namespace kalam {
namespace {

TEST(HeapProfileTest, AnAllocatorWithoutOneIsNotAvailableAndTheWayIsNamed) {
  ASSERT_FALSE(AllocatorControl().present()) << "run the unit tests without jemalloc";
  const Result<std::string> profile = ReadHeapProfile();
  ASSERT_TRUE(profile.status().Is(ErrorKind::NotAvailable)) << profile.status().ToString();
  EXPECT_NE(profile.status().message().find("LD_PRELOAD=libjemalloc.so.2"), std::string::npos);
}

TEST(HeapProfileTest, WhatIsNotThereReadsAndSetsNothing) {
  const AllocatorControl control;
  EXPECT_EQ(control.Read<size_t>("stats.allocated"), std::nullopt);
  EXPECT_FALSE(control.Write("prof.active", true));
  EXPECT_FALSE(control.Run("arena.4096.purge"));
}

}  // namespace
}  // namespace kalam
