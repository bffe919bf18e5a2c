// Threads of the worker pool.
#include "server/worker_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "base/log.h"
#include "server/limits.h"

namespace kalam::server {

WorkerPool::WorkerPool(size_t threads_max, size_t queue_max, Metrics& metrics)
    : threads_max_(threads_max), queue_max_(queue_max), queued_(metrics.gauge("worker_queue")) {}

bool WorkerPool::Submit(std::function<void()> work) { return Enqueue(std::move(work), true); }
void WorkerPool::SubmitAlways(std::function<void()> work) { Enqueue(std::move(work), false); }

bool WorkerPool::Enqueue(std::function<void()> work, bool bounded) {
  std::vector<std::thread> ended;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || (bounded && queue_.size() >= queue_max_)) return false;
    queue_.push_back(std::move(work));
    queued_.Set(static_cast<int64_t>(queue_.size()));
    for (const std::thread::id id : ended_) {
      const auto found =
          std::find_if(threads_.begin(), threads_.end(),
                       [id](const std::thread& thread) { return thread.get_id() == id; });
      ended.push_back(std::move(*found));
      threads_.erase(found);
    }
    ended_.clear();
    if (queue_.size() > idle_count_ && threads_.size() < threads_max_) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  changed_.notify_one();
  for (std::thread& thread : ended) thread.join();
  return true;
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_count_;
    const bool woken = changed_.wait_for(lock, std::chrono::seconds(kWorkerIdleSeconds),
                                         [this] { return closed_ || !queue_.empty(); });
    --idle_count_;
    if (queue_.empty()) {
      if (closed_) return;
      if (!woken) {
        ended_.push_back(std::this_thread::get_id());
        return;
      }
      continue;
    }
    {
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      queued_.Set(static_cast<int64_t>(queue_.size()));
      lock.unlock();
      try {
        work();
      } catch (const std::exception& error) {
        Log(LogLevel::kError, "server.workers", "work ended with an exception",
            {{"what", error.what()}});
      }
    }
    lock.lock();
  }
}

void WorkerPool::Close() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    threads.swap(threads_);
    ended_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace kalam::server
