// Numbers come back as they were packed, and those that count up take next to nothing.
#include "segments/packed_numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace kalam::segments {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

void ExpectSame(const std::vector<int64_t>& numbers) {
  const auto packed = PackedNumbers::Pack(numbers);
  ASSERT_NE(packed, nullptr);
  ASSERT_EQ(packed->size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(packed->At(i), numbers[i]) << i;
}

TEST(PackedNumbersTest, CountingUpTakesNextToNothing) {
  std::vector<int64_t> numbers(8192);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(i) * 3 - 5000;
  ExpectSame(numbers);
  EXPECT_LT(PackedNumbers::Pack(numbers)->memory_bytes(), 2048u);
}

TEST(PackedNumbersTest, FewNumbersAndTheEnds) {
  ExpectSame({});
  ExpectSame({kMin});
  ExpectSame({kMax});
  ExpectSame({-1, 0});
  ExpectSame({kMin, kMin + 1});
  ExpectSame({kMin, kMax});
  ExpectSame({kMax - 2, kMax - 1, kMax});
  ExpectSame({kMin, -1, kMax});
}

TEST(PackedNumbersTest, AnyAscendingNumbersComeBack) {
  std::mt19937_64 random(91);
  for (int round = 0; round < 300; ++round) {
    const int bits = static_cast<int>(random() % 47);
    std::vector<int64_t> numbers(1 + random() % 700);
    auto number = static_cast<int64_t>(random() >> (random() % 60));
    for (int64_t& each : numbers) {
      each = number;
      // Now and then a jump, as between the statements that inserted the rows.
      const int width = random() % 100 == 0 ? bits : bits / 3;
      number += 1 + static_cast<int64_t>(random() & ((uint64_t{1} << width) - 1));
    }
    const auto packed = PackedNumbers::Pack(numbers);
    if (packed == nullptr) continue;
    for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(packed->At(i), numbers[i]) << round;
  }
}

TEST(PackedNumbersTest, WhatDoesNotPackIsRefused) {
  std::mt19937_64 random(92);
  std::vector<int64_t> numbers(1000);
  for (int64_t& each : numbers) each = static_cast<int64_t>(random());
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(PackedNumbers::Pack(numbers), nullptr);
}

}  // namespace
}  // namespace kalam::segments
