// Tests of the budget and its shares.
#include "server/memory_plan.h"

#include <gtest/gtest.h>

namespace kalam::server {
namespace {

constexpr int64_t kMegabyte = 1 << 20;

Settings With(const std::string& toml) {
  auto loaded = ParseSettings(toml, "test.toml");
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  return loaded->settings;
}

TEST(MemoryPlanTest, AQuarterOfTheMachineOrOfItsGroup) {
  auto plan = PlanMemory(With(""), {.machine_bytes = 4096 * kMegabyte, .cgroup_bytes = 0});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->budget_bytes, 1024 * kMegabyte);
  EXPECT_EQ(plan->budget_source, "machine");
  plan = PlanMemory(With(""), {.machine_bytes = 4096 * kMegabyte, .cgroup_bytes = 512 * kMegabyte});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->budget_bytes, 128 * kMegabyte);
  EXPECT_EQ(plan->budget_source, "cgroup");
  // A group that allows more than there is allows nothing.
  plan =
      PlanMemory(With(""), {.machine_bytes = 1024 * kMegabyte, .cgroup_bytes = 9999 * kMegabyte});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->budget_bytes, 256 * kMegabyte);
  EXPECT_EQ(plan->budget_source, "machine");
}

TEST(MemoryPlanTest, TheBudgetDividesItself) {
  const auto plan = PlanMemory(With("[memory]\nbudget = \"64MiB\"\n"), {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->budget_source, "memory.budget");
  EXPECT_EQ(plan->warning_bytes, 64 * kMegabyte / 100 * 75);
  EXPECT_EQ(plan->critical_bytes, 64 * kMegabyte / 100 * 90);
  EXPECT_EQ(plan->block_cache_bytes, 4 * kMegabyte);
  EXPECT_EQ(plan->write_buffer_bytes, 8 * kMegabyte);
  EXPECT_EQ(plan->engine_bytes, 16 * kMegabyte);
  EXPECT_EQ(plan->statement_bytes, 16 * kMegabyte);
  EXPECT_EQ(plan->statements_bytes, 24 * kMegabyte);
  EXPECT_EQ(plan->batch_result_bytes, 8 * kMegabyte);
  EXPECT_EQ(plan->socket_bytes, 8 * kMegabyte);
  EXPECT_EQ(plan->vector_bytes, 16 * kMegabyte);
  EXPECT_EQ(plan->change_tail_bytes, 2u << 20);
  EXPECT_EQ(plan->snapshot_batch_bytes, 1u << 20);
  EXPECT_EQ(plan->plan_cache_bytes, 4 * kMegabyte);
  EXPECT_EQ(plan->large_subscriptions_bytes, 32 * kMegabyte);
  EXPECT_EQ(plan->reserve_bytes, 4 * kMegabyte);
}

TEST(MemoryPlanTest, TheSmallestBudgetHasRoomForEverything) {
  const auto plan = PlanMemory(With("[memory]\nbudget = \"16MiB\"\n"), {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->plan_cache_bytes, kMegabyte);
  EXPECT_EQ(plan->engine_bytes, 8 * kMegabyte);
  EXPECT_EQ(plan->reserve_bytes, 3 * kMegabyte) << "memtables twice, and some more";
  EXPECT_EQ(plan->read_bytes, kMegabyte / 2);
  EXPECT_EQ(plan->worker_threads_max, 4u);
  const auto less = PlanMemory(With("[memory]\nbudget = \"15MiB\"\n"), {});
  EXPECT_TRUE(less.status().Is(ErrorKind::Config));
  EXPECT_EQ(less.status().message(),
            "memory.budget must be 0 or at least 16777216 bytes: a server with less cannot do "
            "everything that it can be asked for");
  // A machine that is smaller still gets it.
  EXPECT_EQ(PlanMemory(With(""), {.machine_bytes = 32 * kMegabyte})->budget_bytes, 16 * kMegabyte);
}

TEST(MemoryPlanTest, TheEngineHasAtMostHalfOfASmallBudget) {
  for (const auto& [budget, engine] : {std::pair(24, 12), {32, 16}, {48, 16}, {128, 32}}) {
    const auto plan =
        PlanMemory(With("[memory]\nbudget = \"" + std::to_string(budget) + "MiB\"\n"), {});
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->engine_bytes, engine * kMegabyte) << budget;
  }
}

TEST(MemoryPlanTest, WhatIsSetStaysAsItIs) {
  const auto plan =
      PlanMemory(With("[memory]\nbudget = \"64MiB\"\nwarning_percent = 50\n[storage.rocksdb]\n"
                      "block_cache_size = \"1MiB\"\nwrite_buffer_size = \"2MiB\"\n[analytics]\n"
                      "memory_limit = \"20MiB\"\n[vectors]\nmemory_limit = \"3MiB\"\n"
                      "[execution]\nstatement_memory_limit = \"40MiB\"\n"),
                 {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->warning_bytes, 64 * kMegabyte / 100 * 50);
  EXPECT_EQ(plan->block_cache_bytes, kMegabyte);
  EXPECT_EQ(plan->write_buffer_bytes, 2 * kMegabyte);
  EXPECT_EQ(plan->engine_bytes, 20 * kMegabyte);
  EXPECT_EQ(plan->vector_bytes, 3 * kMegabyte);
  EXPECT_EQ(plan->statements_bytes, 40 * kMegabyte) << "one must be able to use what it may";
}

TEST(MemoryPlanTest, SizesThatCannotWorkAreRefused) {
  for (const char* toml :
       {"[memory]\nbudget = \"1MiB\"\n", "[storage.rocksdb]\nblock_cache_size = 5\n",
        "[analytics]\nmemory_limit = \"1MiB\"\n",
        "[memory]\nwarning_percent = 90\ncritical_percent = 80\n"}) {
    const auto plan = PlanMemory(With(toml), {});
    EXPECT_TRUE(plan.status().Is(ErrorKind::Config)) << toml;
  }
}

}  // namespace
}  // namespace kalam::server
