// Reading /proc for system.stats and system.cluster.
#include "statements/process_facts.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace kalam::statements {
namespace {

/// The number behind `key` in lines of the form `Key:   123 kB`, in bytes; 0 when there is none.
int64_t KilobytesOf(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return -1;
  line.remove_prefix(key.size());
  const size_t digit = line.find_first_of("0123456789");
  if (digit == line.npos) return -1;
  int64_t kilobytes = 0;
  std::from_chars(line.data() + digit, line.data() + line.size(), kilobytes);
  return kilobytes * 1024;
}

template <typename Visit>
void ForEachLine(const char* path, Visit visit) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) visit(std::string_view(line));
}

void CountSocket(int fd, OpenFiles* files) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
    ++files->other;
  } else if (domain == AF_UNIX) {
    ++files->sockets_unix;
  } else {
    ++files->sockets_ip;
  }
}

}  // namespace

ProcessFacts ReadProcessFacts() {
  ProcessFacts facts;
  ForEachLine("/proc/self/smaps_rollup", [&](std::string_view line) {
    if (int64_t bytes = KilobytesOf(line, "Rss:"); bytes >= 0) facts.rss_bytes = bytes;
    if (int64_t bytes = KilobytesOf(line, "Private_Clean:"); bytes >= 0)
      facts.private_bytes += bytes;
    if (int64_t bytes = KilobytesOf(line, "Private_Dirty:"); bytes >= 0)
      facts.private_bytes += bytes;
  });
  ForEachLine("/proc/self/status", [&](std::string_view line) {
    if (int64_t bytes = KilobytesOf(line, "VmSize:"); bytes >= 0) facts.virtual_bytes = bytes;
    if (int64_t threads = KilobytesOf(line, "Threads:"); threads >= 0)
      facts.thread_count = threads / 1024;
  });
  int64_t available_bytes = 0;
  ForEachLine("/proc/meminfo", [&](std::string_view line) {
    if (int64_t bytes = KilobytesOf(line, "MemTotal:"); bytes >= 0)
      facts.machine_memory_bytes = bytes;
    if (int64_t bytes = KilobytesOf(line, "MemAvailable:"); bytes >= 0) available_bytes = bytes;
  });
  facts.machine_used_bytes = facts.machine_memory_bytes - available_bytes;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    facts.cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 +
                   usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  }
  facts.pid = getpid();
  facts.logical_cores = sysconf(_SC_NPROCESSORS_ONLN);
  return facts;
}

OpenFiles CountOpenFiles() {
  OpenFiles files;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    struct stat status {};
    if (fd < 0 || fstat(fd, &status) != 0) continue;
    ++files.total;
    if (S_ISREG(status.st_mode)) {
      ++files.regular;
    } else if (S_ISDIR(status.st_mode)) {
      ++files.directories;
    } else if (S_ISSOCK(status.st_mode)) {
      CountSocket(fd, &files);
    } else {
      ++files.other;
    }
  }
  return files;
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return {};
  return name;
}

std::string HumanDuration(int64_t seconds) {
  std::string text;
  const auto add = [&](int64_t amount, char unit) {
    if (amount == 0 && text.empty() && unit != 's') return;
    if (!text.empty()) text.push_back(' ');
    text += std::to_string(amount);
    text.push_back(unit);
  };
  add(seconds / 86400, 'd');
  add(seconds / 3600 % 24, 'h');
  add(seconds / 60 % 60, 'm');
  add(seconds % 60, 's');
  return text;
}

}  // namespace kalam::statements
