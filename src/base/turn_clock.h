// Makes the kernel look more often whose turn it is, while background work keeps the processors.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace kalam {

/// Linux looks whose turn it is when a thread wakes up or goes to sleep, and else once in 4 ms (of
/// a kernel with 250 ticks a second). A thread that wakes up right after it has used more than its
/// share is not let in at once; beside threads that compute without a pause it then waits for the
/// tick, although its turn comes much sooner. While the clock runs, a thread of its own wakes up
/// on every processor every quarter of a millisecond and goes to sleep again: two looks.
/// Thread-safety: any thread.
class TurnClock {
 public:
  static constexpr int kProcessorsMax = 4;

  /// Starts its threads, which sleep until the clock runs. They are as nice as the caller. On
  /// machines with more than `processors_max` one of them is free for whoever wakes up, because
  /// jobs do not keep all of them busy: there are no threads then, and the clock does nothing.
  explicit TurnClock(int processors_max = kProcessorsMax);
  TurnClock(const TurnClock&) = delete;
  TurnClock& operator=(const TurnClock&) = delete;
  ~TurnClock();

  /// Each Start needs its Stop; the clock runs while there are more of the former. It costs about
  /// 3 % of each processor.
  void Start();
  void Stop();
  /// Times that a thread of the clock woke up, in all.
  int64_t wake_count() const { return wake_count_.load(std::memory_order_relaxed); }

 private:
  void Run(int processor);

  std::atomic<int> running_{0};  // grows from 0 under mutex_ only
  std::atomic<int64_t> wake_count_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

/// Lets a clock run for as long as it lives. `clock` may be null.
class RunningTurnClock {
 public:
  explicit RunningTurnClock(TurnClock* clock) : clock_(clock) {
    if (clock_ != nullptr) clock_->Start();
  }
  RunningTurnClock(const RunningTurnClock&) = delete;
  RunningTurnClock& operator=(const RunningTurnClock&) = delete;
  ~RunningTurnClock() {
    if (clock_ != nullptr) clock_->Stop();
  }

 private:
  TurnClock* const clock_;
};

}  // namespace kalam
