// Runs one fuzz target: fuzz <target> [--seed n] [--count n].
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "harness.h"

namespace {

bool ReadNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

int main(int argument_count, char** arguments) {
  std::vector<kalam::fuzz::Target> targets = kalam::fuzz::StoredTargets();
  for (auto make : {&kalam::fuzz::WireTargets, &kalam::fuzz::Canaries}) {
    std::vector<kalam::fuzz::Target> more = make();
    std::move(more.begin(), more.end(), std::back_inserter(targets));
  }
  uint64_t seed = 1, count = 10'000;
  bool understood = argument_count >= 2 && argument_count % 2 == 0;
  for (int at = 2; at + 1 < argument_count && understood; at += 2) {
    const std::string_view flag = arguments[at];
    understood = (flag == "--seed" || flag == "--count") &&
                 ReadNumber(arguments[at + 1], flag == "--seed" ? &seed : &count);
  }
  const auto target = std::find_if(targets.begin(), targets.end(), [&](const auto& candidate) {
    return understood && candidate.name == arguments[1];
  });
  if (target == targets.end()) {
    fmt::print("fuzz <target> [--seed n] [--count n]; targets:\n");
    for (const auto& candidate : targets) fmt::print("  {}\n", candidate.name);
    return 2;
  }
  return kalam::fuzz::Run(*target, seed, static_cast<int64_t>(count)) ? 0 : 1;
}
