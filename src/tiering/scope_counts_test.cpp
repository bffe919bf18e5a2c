// No scope is ever counted too low, however many there are.
#include "tiering/scope_counts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace kalam::tiering {
namespace {

constexpr TableId kTable{7}, kOther{8};
constexpr uint32_t kNoLimit = 1u << 30;

storage::Scope UserOf(int number) {
  return storage::Scope::OfUser("user" + std::to_string(number));
}

TEST(ScopeCounts, FewScopesAreCountedExactly) {
  ScopeCounts counts(nullptr);
  counts.Follow(kTable, 0);
  counts.Follow(kOther, 0);
  EXPECT_FALSE(counts.Add(kTable, UserOf(1), 3, 5));
  EXPECT_FALSE(counts.Add(kTable, UserOf(2), 1, 5));
  EXPECT_FALSE(counts.Add(kOther, UserOf(1), 4, 5)) << "another table";
  EXPECT_TRUE(counts.Add(kTable, UserOf(1), 2, 5));
  EXPECT_FALSE(counts.Add(kTable, UserOf(1), 1, 5)) << "told once";
  EXPECT_EQ(counts.Count(kTable, UserOf(1)), 6u);
  EXPECT_TRUE(counts.Add(kTable, UserOf(1), 1, 5)) << "and again when it was asked for";
  EXPECT_EQ(counts.Count(kTable, UserOf(2)), 1u);
  EXPECT_EQ(counts.Count(kOther, UserOf(1)), 4u);
  EXPECT_EQ(counts.Count(kTable, UserOf(3)), 0u);
  counts.Lower(kTable, UserOf(1), 4);
  EXPECT_EQ(counts.Count(kTable, UserOf(1)), 3u);
  counts.Reset(kTable, UserOf(1));
  EXPECT_EQ(counts.Count(kTable, UserOf(1)), 0u);
  EXPECT_EQ(counts.Count(kOther, UserOf(1)), 4u);
}

TEST(ScopeCounts, ScopesThatNobodyHasCountedBeginWithWhatTheyMayHave) {
  ScopeCounts counts(nullptr);
  counts.Follow(kTable, 4);
  EXPECT_EQ(counts.Count(kTable, UserOf(1)), 4u);
  EXPECT_TRUE(counts.Add(kTable, UserOf(1), 1, 5));
  counts.BeginWalk(kTable);
  counts.EndWalk(kTable, 2);
  EXPECT_EQ(counts.Count(kTable, UserOf(2)), 2u);
  EXPECT_EQ(counts.Count(kTable, UserOf(1)), 5u) << "it has a counter";
}

TEST(ScopeCounts, ItsMemoryIsThatOfTheCountersWhileTablesAreFollowed) {
  MemoryAccount account("counts", nullptr);
  ScopeCounts counts(&account);
  EXPECT_EQ(account.used_bytes(), 0);
  counts.Follow(kTable, 0);
  const int64_t bytes = account.used_bytes();
  EXPECT_EQ(bytes, 64 << 10);
  for (int user = 0; user < 100'000; ++user) counts.Add(kTable, UserOf(user), 1, kNoLimit);
  counts.Follow(kOther, 0);
  EXPECT_EQ(account.used_bytes(), bytes);
  counts.Forget(kTable);
  EXPECT_EQ(account.used_bytes(), bytes);
  counts.Forget(kOther);
  EXPECT_EQ(account.used_bytes(), 0);
}

TEST(ScopeCounts, NoneIsTooLowWhenTheyAreManyMoreThanCounters) {
  constexpr int kUsers = 30'000;
  ScopeCounts counts(nullptr);
  std::mt19937 random(1);
  std::vector<uint32_t> rows(kUsers, 0);
  counts.Follow(kTable, 0);
  counts.Follow(kOther, 0);
  const auto add = [&](int adds) {
    for (int i = 0; i < adds; ++i) {
      // Half of the rows are those of a hundred users.
      const int user = static_cast<int>(random() % (random() % 2 == 0 ? 100 : kUsers));
      const uint32_t row_count = random() % 3 + 1;
      rows[static_cast<size_t>(user)] += row_count;
      counts.Add(kTable, UserOf(user), row_count, kNoLimit);
      counts.Add(kOther, UserOf(user), 1, kNoLimit);
    }
  };
  const auto check = [&] {
    int close = 0;
    for (int user = 0; user < kUsers; ++user) {
      const uint32_t counted = counts.Count(kTable, UserOf(user));
      ASSERT_GE(counted, rows[static_cast<size_t>(user)]) << user;
      if (user < 100 && counted <= rows[static_cast<size_t>(user)] * 11 / 10) ++close;
    }
    EXPECT_EQ(close, 100) << "the large ones are not far off";
  };
  add(100'000);
  check();
  counts.BeginWalk(kTable);
  add(10'000);
  counts.EndWalk(kTable, *std::max_element(rows.begin() + 100, rows.end()));
  check();
  counts.Follow(kTable, 0);
  std::fill(rows.begin(), rows.end(), 0);
  add(100'000);
  check();
}

}  // namespace
}  // namespace kalam::tiering
