// The bounded pool on which passwords are hashed, so that no other thread ever waits for bcrypt.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kalam::auth {

/// Starts its threads with the first task. Thread-safety: any thread.
class HashingPool {
 public:
  /// At most `queue_max` tasks wait; more are refused.
  HashingPool(int threads, size_t queue_max) : threads_max_(threads), queue_max_(queue_max) {}
  ~HashingPool() { Close(); }
  /// False when the queue is full or the pool is closed; the task is not run then.
  [[nodiscard]] bool Post(std::function<void(bool cancelled)> task);
  /// Calls what waits with `cancelled` set, joins the threads. Idempotent.
  void Close();

 private:
  void Run();

  const int threads_max_;
  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void(bool)>> queue_;  // guarded by mutex_
  std::vector<std::thread> threads_;             // guarded by mutex_
  bool closed_ = false;                          // guarded by mutex_
};

}  // namespace kalam::auth
