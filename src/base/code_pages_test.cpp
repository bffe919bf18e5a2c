// Tests of giving code pages back: less of them is mapped, and everything still runs.
#include "base/code_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace kalam {
namespace {

struct Code {
  int64_t resident_kilobytes = 0;
  uint64_t sum = 0;  // of a byte of each page: reading maps them
};

/// What is mapped and executable, file by file.
Code LookAtCode(bool touch) {
  Code code;
  std::ifstream maps("/proc/self/smaps");
  bool is_code = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string range, flags;
    words >> range >> flags;
    if (const size_t dash = range.find('-'); dash != std::string::npos && flags.size() == 4) {
      is_code = flags == "r-xp" && line.find('/') != std::string::npos;
      if (!is_code || !touch) continue;
      const uint64_t end = std::stoull(range.substr(dash + 1), nullptr, 16);
      for (uint64_t at = std::stoull(range, nullptr, 16); at < end; at += 4096)
        code.sum += *reinterpret_cast<const volatile uint8_t*>(at);
    } else if (is_code && range == "Rss:") {
      code.resident_kilobytes += std::stoll(flags);
    }
  }
  return code;
}

TEST(CodePagesTest, WhatDoesNotRunIsUnmappedAndComesBack) {
  const uint64_t sum = LookAtCode(/*touch=*/true).sum;
  const int64_t before = LookAtCode(/*touch=*/false).resident_kilobytes;
  UnmapIdleCode();
  EXPECT_LT(LookAtCode(/*touch=*/false).resident_kilobytes, before / 2);
  EXPECT_EQ(LookAtCode(/*touch=*/true).sum, sum);
  EXPECT_GE(LookAtCode(/*touch=*/false).resident_kilobytes, before);
}

}  // namespace
}  // namespace kalam
