// What the operating system says about this process and machine.
#pragma once

#include <cstdint>
#include <string>

namespace kalam::statements {

struct OpenFiles {
  int64_t total = 0, regular = 0, directories = 0, sockets_unix = 0, sockets_ip = 0, other = 0;
};

struct ProcessFacts {
  int64_t rss_bytes = 0;
  int64_t private_bytes = 0;  // clean and dirty pages of this process alone
  int64_t virtual_bytes = 0;
  int64_t cpu_us = 0;  // user and system time since the start
  int64_t thread_count = 0;
  int64_t pid = 0;
  int64_t machine_memory_bytes = 0;
  int64_t machine_used_bytes = 0;
  int64_t logical_cores = 0;
};

/// Reads /proc; fields that cannot be read stay 0.
ProcessFacts ReadProcessFacts();
OpenFiles CountOpenFiles();
std::string HostName();
/// "1d 2h 3m 4s".
std::string HumanDuration(int64_t seconds);

}  // namespace kalam::statements
