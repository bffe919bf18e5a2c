// Keeps the two sides of a latency measurement on one core.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <map>
#include <vector>

namespace kalam::load {

/// Binds all threads of the processes to the core that the caller runs on, until it goes. Waking
/// a thread on another core costs from 2 to 25 us where cores are virtual and halt, and the
/// scheduler decides anew for every request whether to: figures that are compared with each other
/// must pay the same. Processes and threads that are gone are left out.
class OnOneCore {
 public:
  explicit OnOneCore(const std::vector<pid_t>& processes);
  OnOneCore(const OnOneCore&) = delete;
  OnOneCore& operator=(const OnOneCore&) = delete;
  ~OnOneCore();

 private:
  std::map<pid_t, cpu_set_t> before_;  // by thread
};

}  // namespace kalam::load
