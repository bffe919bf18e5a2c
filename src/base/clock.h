// Time as a seam: components get a Clock, tests hand them one they move by hand.
#pragma once

#include <atomic>
#include <cstdint>

namespace kalam {

/// Wall-clock and steady time. Thread-safety: all methods may be called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Microseconds since the Unix epoch, UTC.
  virtual int64_t NowUs() const = 0;
  /// Microseconds from an arbitrary start that never go back.
  virtual int64_t SteadyUs() const = 0;
};

/// The machine's clock, one for the process.
const Clock& SystemClock();

/// A clock that stands still until it is moved; for tests.
class ManualClock : public Clock {
 public:
  explicit ManualClock(int64_t now_us) : now_us_(now_us) {}
  int64_t NowUs() const override { return now_us_.load(); }
  int64_t SteadyUs() const override { return now_us_.load(); }
  void AdvanceUs(int64_t delta_us) { now_us_.fetch_add(delta_us); }

 private:
  std::atomic<int64_t> now_us_;
};

}  // namespace kalam
