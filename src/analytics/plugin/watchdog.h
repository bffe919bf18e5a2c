// Ends statements from outside when their deadline has passed or their caller has gone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "base/status.h"

namespace kalam::analytics {

/// One thread, started by the first watch and asleep while there is none.
/// Thread-safety: any thread.
class Watchdog {
 public:
  Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  struct Limits {
    int64_t deadline_steady_us = 0;  // 0: none
    std::function<bool()> cancelled;
  };

  /// Watches one piece of work for as long as this object lives; `interrupt` is called from the
  /// thread of the watchdog, again and again until the work ends, because an engine that is just
  /// starting forgets an early interrupt.
  class Watch {
   public:
    Watch(Watchdog* watchdog, const Limits& limits, std::function<void()> interrupt);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    /// Timeout or Cancelled when it has interrupted; ok otherwise.
    Status verdict() const;

   private:
    friend class Watchdog;
    void Look(int64_t now_us);

    Watchdog* const watchdog_;
    const Limits& limits_;
    const std::function<void()> interrupt_;
    std::atomic<ErrorKind> reason_{ErrorKind::Ok};
    std::list<Watch*>::iterator place_;  // guarded by watchdog_->mutex_
    bool watched_ = false;
  };

  /// What Watch::verdict would say of `limits` now.
  static Status Check(const Limits& limits);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Watch*> watches_;  // guarded by mutex_
  bool stopping_ = false;      // guarded by mutex_
  std::thread thread_;         // guarded by mutex_ until stopping_
};

}  // namespace kalam::analytics
