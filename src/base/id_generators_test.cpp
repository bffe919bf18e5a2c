// Ids: their layout, and that they neither repeat nor go back when the clock does.
#include "base/id_generators.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/ids.h"

namespace kalam {
namespace {

constexpr int64_t kNowUs = 1'704'067'200'000'000 + 5'000;  // 5 ms after the epoch of `_seq`

TEST(SnowflakeGeneratorTest, LayoutIsTimeNodeCounter) {
  ManualClock clock(kNowUs);
  SnowflakeGenerator generator(clock, kSeqEpochMs, 3);
  EXPECT_EQ(generator.Next(), (int64_t{5} << 22) | (3 << 12) | 0);
  EXPECT_EQ(generator.Next(), (int64_t{5} << 22) | (3 << 12) | 1);
}

TEST(SnowflakeGeneratorTest, ClockThatGoesBackRepeatsNothing) {
  ManualClock clock(kNowUs);
  SnowflakeGenerator generator(clock, kSeqEpochMs, 0);
  int64_t before = generator.Next();
  clock.AdvanceUs(-4'000);
  EXPECT_EQ(generator.Next(), before + 1);
}

TEST(SnowflakeGeneratorTest, FullCounterBorrowsFromTheNextMillisecond) {
  ManualClock clock(kNowUs);
  SnowflakeGenerator generator(clock, kSeqEpochMs, 1023);
  int64_t id = 0;
  for (int i = 0; i < 4097; ++i) id = generator.Next();
  EXPECT_EQ(id, (int64_t{6} << 22) | (1023 << 12));
}

TEST(SnowflakeGeneratorTest, ThreadsNeverShareAnId) {
  ManualClock clock(kNowUs);
  SnowflakeGenerator generator(clock, 0, 1);
  std::vector<std::vector<int64_t>> lists(4);
  std::vector<std::thread> threads;
  for (auto& list : lists) {
    threads.emplace_back([&list, &generator] {
      for (int i = 0; i < 20'000; ++i) list.push_back(generator.Next());
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<int64_t> all;
  for (auto& list : lists) {
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
    all.insert(all.end(), list.begin(), list.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(UuidV7Test, CarriesTimeVersionAndVariantAndIncreases) {
  ManualClock clock(1'645'557'742'000'000);
  std::string first = NewUuidV7Text(clock);
  ASSERT_EQ(first.size(), 36u);
  EXPECT_EQ(first[14], '7');
  EXPECT_TRUE(first[19] == '8' || first[19] == '9' || first[19] == 'a' || first[19] == 'b');
  // The example of RFC 9562, A.6: 1645557742000 ms = 0x017F22E279B0.
  EXPECT_EQ(first.substr(0, 13), "017f22e2-79b0");
  std::string previous = first;
  for (int i = 0; i < 5'000; ++i) {
    std::string next = NewUuidV7Text(clock);
    ASSERT_LT(previous, next);
    previous = next;
  }
}

TEST(UlidTest, IsCrockfordBase32AndIncreases) {
  ManualClock clock(1'469'918'176'385'000);
  std::string previous = NewUlid(clock);
  ASSERT_EQ(previous.size(), 26u);
  EXPECT_EQ(previous.find_first_not_of("0123456789ABCDEFGHJKMNPQRSTVWXYZ"), std::string::npos);
  // The example of the specification.
  EXPECT_EQ(previous.substr(0, 10), "01ARYZ6S41");
  for (int i = 0; i < 5'000; ++i) {
    std::string next = NewUlid(clock);
    ASSERT_LT(previous, next);
    EXPECT_EQ(previous.substr(0, 10), next.substr(0, 10));
    previous = next;
  }
}

TEST(RandomHexTest, HasTheAskedLength) {
  EXPECT_EQ(RandomHex(0), "");
  std::string text = RandomHex(33);
  EXPECT_EQ(text.size(), 33u);
  EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(text, RandomHex(33));
}

}  // namespace
}  // namespace kalam
