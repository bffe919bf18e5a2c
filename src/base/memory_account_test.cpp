// What a memory account promises: ancestors are charged, limits hold on the whole path, nothing is
// left behind.
#include "base/memory_account.h"

#include <gtest/gtest.h>

#include <thread>

namespace kalam {
namespace {

TEST(MemoryAccountTest, ChargeReachesEveryAncestor) {
  MemoryAccount root("root", nullptr);
  MemoryAccount& storage = root.Child("storage");
  MemoryAccount& cache = storage.Child("cache");
  cache.Charge(100);
  storage.Charge(11);
  EXPECT_EQ(cache.used_bytes(), 100);
  EXPECT_EQ(storage.used_bytes(), 111);
  EXPECT_EQ(root.used_bytes(), 111);
  cache.Release(100);
  EXPECT_EQ(root.used_bytes(), 11);
  EXPECT_EQ(root.peak_bytes(), 111);
}

TEST(MemoryAccountTest, ChildIsMadeOnce) {
  MemoryAccount root("root", nullptr);
  EXPECT_EQ(&root.Child("a"), &root.Child("a"));
  root.Child("b");
  ASSERT_EQ(root.children().size(), 2u);
  EXPECT_EQ(root.children()[1]->name(), "b");
}

TEST(MemoryAccountTest, RefusedChargeLeavesNothing) {
  MemoryAccount root("root", nullptr, 100);
  MemoryAccount& child = root.Child("child");
  EXPECT_TRUE(child.TryCharge(100));
  EXPECT_FALSE(child.TryCharge(1));
  EXPECT_EQ(child.used_bytes(), 100);
  EXPECT_EQ(root.used_bytes(), 100);
  EXPECT_EQ(root.peak_bytes(), 100);
  child.Release(100);
  EXPECT_EQ(root.used_bytes(), 0);
}

TEST(MemoryAccountTest, LimitHoldsAgainstManyThreads) {
  MemoryAccount root("root", nullptr, 1'000);
  MemoryAccount& child = root.Child("child");
  std::vector<std::thread> threads;
  std::atomic<int64_t> granted{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10'000; ++round) {
        if (!child.TryCharge(300)) continue;
        if (granted.fetch_add(300) + 300 > 1'000) ADD_FAILURE() << "limit passed";
        granted.fetch_sub(300);
        child.Release(300);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(root.used_bytes(), 0);
  EXPECT_LE(root.peak_bytes(), 1'000);
}

TEST(MemoryAccountTest, WhatIsRefusedIsNoPeakOfOthers) {
  MemoryAccount root("root", nullptr, 1'000);
  MemoryAccount& asking = root.Child("asking");
  MemoryAccount& charging = root.Child("charging");
  std::atomic<bool> ended{false};
  std::thread asker([&] {
    while (!ended.load()) EXPECT_FALSE(asking.TryCharge(1'001));
  });
  for (int i = 0; i < 100'000; ++i) {
    charging.Charge(1);
    charging.Release(1);
  }
  ended = true;
  asker.join();
  EXPECT_EQ(root.peak_bytes(), 1);
}

TEST(MemoryAccountTest, WhoAsksLeavesTheReserve) {
  MemoryAccount root("root", nullptr, 100);
  root.set_reserve_bytes(30);
  MemoryAccount& child = root.Child("child");
  EXPECT_FALSE(child.TryCharge(71));
  EXPECT_TRUE(child.TryCharge(70));
  EXPECT_FALSE(child.TryCharge(1));
  child.Charge(30);
  EXPECT_EQ(root.used_bytes(), 100);
  EXPECT_FALSE(child.TryCharge(1));
  EXPECT_TRUE(child.TryCharge(-50));
  EXPECT_TRUE(child.TryCharge(20));
  EXPECT_FALSE(child.TryCharge(1));
}

TEST(MemoryAccountTest, MovedChargeIsReleasedOnce) {
  MemoryAccount root("root", nullptr);
  {
    MemoryCharge first(root, 10);
    MemoryCharge second = std::move(first);
    second.Resize(25);
    EXPECT_EQ(root.used_bytes(), 25);
  }
  EXPECT_EQ(root.used_bytes(), 0);
}

TEST(MemoryAccountTest, ChargeThatAsksStaysAsItWasWhenRefused) {
  MemoryAccount root("root", nullptr, 100);
  MemoryCharge charge(root.Child("child"), 0);
  EXPECT_TRUE(charge.TryResize(90));
  EXPECT_FALSE(charge.TryResize(101));
  EXPECT_EQ(charge.bytes(), 90);
  EXPECT_EQ(root.used_bytes(), 90);
  EXPECT_TRUE(charge.TryResize(10));
  EXPECT_EQ(root.used_bytes(), 10);
  EXPECT_TRUE(MemoryCharge().TryResize(5)) << "without an account nobody refuses";
}

/// Has room for so many bytes, once and for all.
class LastBytes final : public MemoryRoom {
 public:
  explicit LastBytes(int64_t bytes) : bytes_(bytes) {}
  bool Has(int64_t bytes) override {
    ++questions;
    return bytes <= bytes_;
  }
  int questions = 0;

 private:
  const int64_t bytes_;
};

TEST(MemoryAccountTest, LargeChargesAskTheRoom) {
  MemoryAccount root("root", nullptr);
  MemoryAccount& child = root.Child("child");
  LastBytes room(MemoryAccount::kLargeBytes);
  root.set_room(&room);
  EXPECT_TRUE(child.TryCharge(MemoryAccount::kLargeBytes));
  EXPECT_FALSE(child.TryCharge(MemoryAccount::kLargeBytes + 1));
  EXPECT_EQ(child.used_bytes(), MemoryAccount::kLargeBytes);
  EXPECT_EQ(root.used_bytes(), MemoryAccount::kLargeBytes);
  EXPECT_EQ(room.questions, 2);
  root.set_room(nullptr);
  EXPECT_TRUE(child.TryCharge(MemoryAccount::kLargeBytes + 1));
}

TEST(MemoryAccountTest, ManyChargesAreOneLargeOne) {
  MemoryAccount root("root", nullptr);
  LastBytes room(0);
  root.set_room(&room);
  int granted = 0;
  while (root.TryCharge(MemoryAccount::kSmallBytes)) ++granted;
  EXPECT_EQ(granted, MemoryAccount::kLargeBytes / MemoryAccount::kSmallBytes - 1);
  EXPECT_FALSE(root.TryCharge(MemoryAccount::kSmallBytes)) << "until there is room";
  EXPECT_TRUE(root.TryCharge(MemoryAccount::kSmallBytes - 1)) << "small ones are never refused";
}

}  // namespace
}  // namespace kalam
