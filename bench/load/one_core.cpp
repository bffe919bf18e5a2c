// Affinity of threads, by /proc/<pid>/task.
#include "load/one_core.h"

#include <filesystem>
#include <string>

namespace kalam::load {

OnOneCore::OnOneCore(const std::vector<pid_t>& processes) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
  for (const pid_t process : processes) {
    std::error_code error;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
      const pid_t thread = std::stoi(task.path().filename().string());
      cpu_set_t before;
      if (sched_getaffinity(thread, sizeof before, &before) != 0) continue;
      if (sched_setaffinity(thread, sizeof one, &one) == 0) before_[thread] = before;
    }
  }
}

OnOneCore::~OnOneCore() {
  for (const auto& [thread, cores] : before_) sched_setaffinity(thread, sizeof cores, &cores);
}

}  // namespace kalam::load
