// Reading /proc, /sys/fs/cgroup and the allocator's counters.
#include "base/process_memory.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "base/allocator_control.h"

namespace kalam {
namespace {

/// cgroup v1 says "no limit" with a number near 2^63.
constexpr int64_t kNoLimitFrom = int64_t{1} << 60;

/// The whole number that a file begins with; 0 when there is none ("max").
int64_t NumberIn(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  if (!std::getline(file, text)) return 0;
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number > 0 && number < kNoLimitFrom ? number : 0;
}

/// The smallest limit on the way from `group` up to the root of the hierarchy.
int64_t SmallestLimit(const std::string& hierarchy, std::string group, const char* file) {
  int64_t smallest = 0;
  while (true) {
    const int64_t limit = NumberIn(hierarchy + group + "/" + file);
    if (limit > 0 && (smallest == 0 || limit < smallest)) smallest = limit;
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return smallest;
    group.resize(slash);
  }
}

int64_t CgroupLimit(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  int64_t smallest = 0;
  const auto take = [&smallest](int64_t limit) {
    if (limit > 0 && (smallest == 0 || limit < smallest)) smallest = limit;
  };
  // Lines "<number>:<controllers>:<path>"; version 2 has number 0 and no controllers.
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers == ",,") {
      take(SmallestLimit(root + "/sys/fs/cgroup", group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      // A container sees its own group as the root of the mount.
      take(SmallestLimit(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return smallest;
}

/// MALLCTL_ARENAS_ALL of jemalloc 5 stands for every arena.
constexpr char kPurgeAllArenas[] = "arena.4096.purge";

AllocatorMemory ReadJemalloc(const AllocatorControl& control) {
  // Its figures are those of the last epoch.
  control.Write("epoch", uint64_t{1});
  AllocatorMemory memory;
  memory.in_use_bytes = static_cast<int64_t>(control.Read<size_t>("stats.allocated").value_or(0));
  const auto resident = static_cast<int64_t>(control.Read<size_t>("stats.resident").value_or(0));
  memory.free_bytes = std::max<int64_t>(resident - memory.in_use_bytes, 0);
  return memory;
}

}  // namespace

ProcessMemory ReadProcessMemory() {
  ProcessMemory memory;
  long pages = 0, resident = 0, shared = 0;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                   &std::fclose);
  if (file == nullptr || std::fscanf(file.get(), "%ld %ld %ld", &pages, &resident, &shared) != 3)
    return memory;
  const int64_t page_bytes = sysconf(_SC_PAGESIZE);
  memory.resident_bytes = resident * page_bytes;
  memory.anonymous_bytes = std::max<int64_t>(resident - shared, 0) * page_bytes;
  return memory;
}

AllocatorMemory ReadAllocatorMemory() {
  if (const AllocatorControl control; control.present()) return ReadJemalloc(control);
  const struct mallinfo2 info = mallinfo2();
  AllocatorMemory memory;
  memory.in_use_bytes = static_cast<int64_t>(info.uordblks + info.hblkhd);
  memory.free_bytes = static_cast<int64_t>(info.fordblks);
  return memory;
}

std::string_view AllocatorName() { return AllocatorControl().present() ? "jemalloc" : "glibc"; }

void TrimAllocator() {
  if (const AllocatorControl control; control.present()) {
    control.Run(kPurgeAllArenas);
  } else {
    malloc_trim(0);
  }
}

int64_t ReadKernelSocketBytes() {
  // Of <linux/sock_diag.h>, which C++ programs cannot always include.
  enum : size_t {
    kReceiving = 0,
    kSent = 2,
    kForward = 4,
    kQueued = 5,
    kBacklog = 7,
    kVariables = 9
  };
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), &closedir);
  if (directory == nullptr) return 0;
  int64_t total = 0;
  while (const dirent* entry = readdir(directory.get())) {
    int fd = -1;
    const std::string_view name = entry->d_name;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    std::array<uint32_t, kVariables> memory{};
    socklen_t size = sizeof(memory);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) continue;
    for (const size_t part : {kReceiving, kForward, kBacklog}) total += memory[part];
    // TCP counts what it has passed on in both, other sockets only in the first.
    total += std::max(memory[kSent], memory[kQueued]);
  }
  return total;
}

MachineMemory ReadMachineMemory(std::string_view root) {
  MachineMemory memory;
  const std::string prefix(root);
  std::ifstream file(prefix + "/proc/meminfo");
  std::string key;
  int64_t kilobytes = 0;
  if (file >> key >> kilobytes && key == "MemTotal:") memory.machine_bytes = kilobytes * 1024;
  memory.cgroup_bytes = CgroupLimit(prefix);
  return memory;
}

}  // namespace kalam
