// One thread a processor that sleeps for a quarter of a millisecond at a time.
#include "base/turn_clock.h"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <system_error>

namespace kalam {
namespace {

// Some 50 us are added by the kernel.
constexpr auto kSleep = std::chrono::microseconds(200);

}  // namespace

TurnClock::TurnClock(int processors_max) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  if (CPU_COUNT(&allowed) > processors_max) return;
  try {
    for (int processor = 0; processor < CPU_SETSIZE; ++processor)
      if (CPU_ISSET(processor, &allowed))
        threads_.emplace_back([this, processor] { Run(processor); });
  } catch (const std::system_error&) {
    // Without a thread writers wait longer, and that is all.
  }
}

TurnClock::~TurnClock() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
    running_ = 0;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TurnClock::Start() {
  {
    const std::lock_guard lock(mutex_);
    if (running_.fetch_add(1) > 0) return;
  }
  changed_.notify_all();
}

void TurnClock::Stop() {
  const std::lock_guard lock(mutex_);
  --running_;
}

void TurnClock::Run(int processor) {
  pthread_setname_np(pthread_self(), "turn clock");
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  sched_setaffinity(0, sizeof one, &one);
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ends_ || running_ > 0; });
      if (ends_) return;
    }
    while (running_.load(std::memory_order_relaxed) > 0) {
      std::this_thread::sleep_for(kSleep);
      wake_count_.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

}  // namespace kalam
