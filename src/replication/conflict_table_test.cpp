// What the conflict table may and may not say.
#include "replication/conflict_table.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <unordered_set>

namespace kalam::replication {
namespace {

using Verdict = ConflictTable::Verdict;
constexpr uint64_t kSlots = 8192;

TEST(ConflictTableTest, PendingIsExactAndPublishedIsDoubtful) {
  ConflictTable table(Seq{100});
  std::array<uint64_t, 1> key = {5};
  uint64_t same_slot = 5 + kSlots;
  EXPECT_EQ(table.Check(5, Seq{100}), Verdict::kClear);
  EXPECT_EQ(table.Check(5, Seq{99}), Verdict::kDoubt);  // older than the start
  table.Append(key);
  EXPECT_EQ(table.Check(5, Seq{100}), Verdict::kAppended);
  EXPECT_EQ(table.Check(same_slot, Seq{100}), Verdict::kClear);
  table.BeginWrite();
  EXPECT_EQ(table.Check(5, Seq{100}), Verdict::kWriting);
  table.Publish(5, Seq{101});
  table.EndWrite();
  EXPECT_EQ(table.Check(5, Seq{100}), Verdict::kDoubt);
  EXPECT_EQ(table.Check(same_slot, Seq{100}), Verdict::kDoubt);
  EXPECT_EQ(table.Check(5, Seq{101}), Verdict::kClear);
}

TEST(ConflictTableTest, RestOfASplitBatchStaysAppended) {
  ConflictTable table(Seq{0});
  std::array<uint64_t, 2> keys = {1, 2};
  table.Append(keys);
  table.BeginWrite(std::array<uint64_t, 1>{2});
  EXPECT_EQ(table.Check(1, Seq{0}), Verdict::kWriting);
  EXPECT_EQ(table.Check(2, Seq{0}), Verdict::kAppended);
  table.Publish(1, Seq{1});
  table.EndWrite();
  EXPECT_EQ(table.Check(2, Seq{0}), Verdict::kAppended);
  table.DropPending();
  EXPECT_EQ(table.Check(2, Seq{0}), Verdict::kClear);
}

TEST(HashSetTest, AgreesWithAReference) {
  std::mt19937_64 random(3);
  HashSet set;
  for (int round = 0; round < 3; ++round) {
    std::unordered_set<uint64_t> reference;
    for (int i = 0; i < 40'000; ++i) {
      uint64_t hash = random() % 60'000 * 64;  // low bits all equal: long runs
      if (hash == 0) continue;
      ASSERT_EQ(set.Insert(hash), reference.insert(hash).second);
    }
    EXPECT_EQ(set.size(), reference.size());
    for (uint64_t hash = 64; hash < 60'000 * 64; hash += 64) {
      ASSERT_EQ(set.Contains(hash), reference.contains(hash));
    }
    set.Clear();
    EXPECT_FALSE(set.Contains(64));
  }
}

}  // namespace
}  // namespace kalam::replication
