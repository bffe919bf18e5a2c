// The clock behind `_seq`: follows the wall clock without ever jumping with it.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace kalam::replication {

/// Starts at the wall clock's time, then runs on steady time and is drawn towards the wall clock by
/// at most a tenth of the time that passed. A wall clock that is set back therefore slows it down
/// instead of stopping it, and one that is set forward does not consume a stretch of `_seq`. Not
/// thread-safe.
class SequenceClock {
 public:
  /// `clock` must outlive this.
  explicit SequenceClock(const Clock& clock);
  /// Microseconds since the Unix epoch; never goes back.
  int64_t NowUs();

 private:
  const Clock& clock_;
  int64_t steady_us_;  // when time_us_ was right
  int64_t time_us_;
  int64_t told_us_ = 0;
};

}  // namespace kalam::replication
