// Slewing the clock behind `_seq`.
#include "replication/sequence_clock.h"

#include <algorithm>

namespace kalam::replication {
namespace {

constexpr int64_t kSlewDivisor = 10;
/// Shorter stretches would round the correction to nothing.
constexpr int64_t kSlewEveryUs = 1'000;

}  // namespace

SequenceClock::SequenceClock(const Clock& clock)
    : clock_(clock), steady_us_(clock.SteadyUs()), time_us_(clock.NowUs()) {}

int64_t SequenceClock::NowUs() {
  int64_t elapsed_us = std::max<int64_t>(clock_.SteadyUs() - steady_us_, 0);
  int64_t now_us = time_us_ + elapsed_us;
  if (elapsed_us >= kSlewEveryUs) {
    int64_t limit_us = elapsed_us / kSlewDivisor;
    now_us += std::clamp(clock_.NowUs() - now_us, -limit_us, limit_us);
    steady_us_ += elapsed_us;
    time_us_ = now_us;
  }
  // A correction may take back a little of what was told just before it.
  told_us_ = std::max(told_us_, now_us);
  return told_us_;
}

}  // namespace kalam::replication
