// The few threads for work that may take long: started when needed, gone when idle, with a bounded
// queue.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"

namespace kalam::server {

/// Thread-safety: all methods may be called from any thread.
class WorkerPool {
 public:
  WorkerPool(size_t threads_max, size_t queue_max, Metrics& metrics);
  ~WorkerPool() { Close(); }

  /// Runs `work` on a worker; false when the queue is full or the pool is closed.
  [[nodiscard]] bool Submit(std::function<void()> work);
  /// The same without regard to the queue's bound, for work whose amount is bounded elsewhere;
  /// dropped after Close.
  void SubmitAlways(std::function<void()> work);
  /// Takes no more work, runs what is queued, joins the threads. Idempotent.
  void Close();

 private:
  bool Enqueue(std::function<void()> work, bool bounded);
  void Work();

  const size_t threads_max_;
  const size_t queue_max_;
  Gauge& queued_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  std::vector<std::thread> threads_;         // guarded by mutex_
  std::vector<std::thread::id> ended_;       // guarded by mutex_: threads to join
  size_t idle_count_ = 0;                    // guarded by mutex_
  bool closed_ = false;                      // guarded by mutex_
};

}  // namespace kalam::server
