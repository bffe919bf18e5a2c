// The machine's clock.
#include "base/clock.h"

#include <ctime>

namespace kalam {
namespace {

int64_t ReadUs(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
}

class RealClock final : public Clock {
 public:
  int64_t NowUs() const override { return ReadUs(CLOCK_REALTIME); }
  int64_t SteadyUs() const override { return ReadUs(CLOCK_MONOTONIC); }
};

}  // namespace

const Clock& SystemClock() {
  static const RealClock kClock;
  return kClock;
}

}  // namespace kalam
