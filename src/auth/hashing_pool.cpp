// The bounded hashing pool.
#include "auth/hashing_pool.h"

#include <utility>

namespace kalam::auth {

bool HashingPool::Post(std::function<void(bool cancelled)> task) {
  const std::lock_guard lock(mutex_);
  if (closed_ || queue_.size() >= queue_max_) return false;
  queue_.push_back(std::move(task));
  if (threads_.size() < static_cast<size_t>(threads_max_)) threads_.emplace_back([this] { Run(); });
  wake_.notify_one();
  return true;
}

void HashingPool::Close() {
  std::vector<std::thread> threads;
  std::deque<std::function<void(bool)>> waiting;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting.swap(queue_);
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
  for (const auto& task : waiting) task(true);
}

void HashingPool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (closed_) return;
    const std::function<void(bool)> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task(false);
    lock.lock();
  }
}

}  // namespace kalam::auth
