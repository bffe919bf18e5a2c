// Ends statements from outside when their deadline has passed or their caller has gone.
#include "analytics/plugin/watchdog.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace kalam::analytics {
namespace {

constexpr int64_t kPollUs = 10'000;

ErrorKind ReasonToStop(const Watchdog::Limits& limits, int64_t now_us) {
  if (limits.deadline_steady_us != 0 && now_us >= limits.deadline_steady_us)
    return ErrorKind::Timeout;
  if (limits.cancelled && limits.cancelled()) return ErrorKind::Cancelled;
  return ErrorKind::Ok;
}

Status StatusFor(ErrorKind reason) {
  if (reason == ErrorKind::Timeout) return Status(reason, "the statement took too long");
  if (reason == ErrorKind::Cancelled) return Status(reason, "the statement was cancelled");
  return Status::Ok();
}

}  // namespace

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Status Watchdog::Check(const Limits& limits) {
  return StatusFor(ReasonToStop(limits, SystemClock().SteadyUs()));
}

void Watchdog::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (watches_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const int64_t now_us = SystemClock().SteadyUs();
    for (Watch* watch : watches_) watch->Look(now_us);
    changed_.wait_for(lock, std::chrono::microseconds(kPollUs));
  }
}

Watchdog::Watch::Watch(Watchdog* watchdog, const Limits& limits, std::function<void()> interrupt)
    : watchdog_(watchdog), limits_(limits), interrupt_(std::move(interrupt)) {
  if (limits_.deadline_steady_us == 0 && !limits_.cancelled) return;
  const std::lock_guard lock(watchdog_->mutex_);
  if (!watchdog_->thread_.joinable()) {
    watchdog_->thread_ = std::thread([dog = watchdog_] { dog->Run(); });
  }
  place_ = watchdog_->watches_.insert(watchdog_->watches_.end(), this);
  watched_ = true;
  if (watchdog_->watches_.size() == 1) watchdog_->changed_.notify_one();
}

Watchdog::Watch::~Watch() {
  if (!watched_) return;
  const std::lock_guard lock(watchdog_->mutex_);
  watchdog_->watches_.erase(place_);
}

void Watchdog::Watch::Look(int64_t now_us) {
  ErrorKind reason = reason_.load();
  if (reason == ErrorKind::Ok) {
    reason = ReasonToStop(limits_, now_us);
    if (reason == ErrorKind::Ok) return;
    reason_.store(reason);
  }
  interrupt_();
}

Status Watchdog::Watch::verdict() const { return StatusFor(reason_.load()); }

}  // namespace kalam::analytics
