// Bounds how many statements compute in the engine at once.
#include "analytics/statement_slots.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace kalam::analytics {
namespace {

// `cancelled` can only be polled.
constexpr int64_t kPollUs = 20'000;

}  // namespace

Result<StatementSlots::Slot> StatementSlots::Acquire(int64_t deadline_steady_us,
                                                     const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  if (free_ == 0 && waiting_ >= waiting_max_) {
    return Status(ErrorKind::Busy, "Too many complex statements are waiting; try again");
  }
  ++waiting_;
  Status failure;
  while (free_ == 0) {
    const int64_t now_us = SystemClock().SteadyUs();
    if (deadline_steady_us != 0 && now_us >= deadline_steady_us) {
      failure =
          Status(ErrorKind::Timeout, "the statement waited for others until its time was over");
      break;
    }
    if (cancelled && cancelled()) {
      failure = Status(ErrorKind::Cancelled, "the statement was cancelled");
      break;
    }
    const int64_t left_us = deadline_steady_us == 0 ? kPollUs : deadline_steady_us - now_us;
    freed_.wait_for(lock, std::chrono::microseconds(std::min(kPollUs, left_us)));
  }
  --waiting_;
  if (!failure.ok()) return failure;
  --free_;
  return Slot(this);
}

void StatementSlots::Release() {
  {
    const std::lock_guard lock(mutex_);
    ++free_;
  }
  freed_.notify_one();
}

}  // namespace kalam::analytics
