// What the operating system and the allocator say about the memory of this process.
#pragma once

#include <cstdint>
#include <string_view>

namespace kalam {

/// Sizes in bytes; what cannot be read stays 0.
struct ProcessMemory {
  int64_t resident_bytes = 0;   // all pages in memory, text and shared libraries included
  int64_t anonymous_bytes = 0;  // heap, stacks, changed data: what no file backs
};

/// Two numbers of /proc/self/statm: some microseconds. Thread-safety: any thread.
ProcessMemory ReadProcessMemory();

/// The heap as the allocator sees it.
struct AllocatorMemory {
  int64_t in_use_bytes = 0;  // handed out
  int64_t free_bytes = 0;    // kept for later: fragments and what was not given back yet
};
/// Walks the free lists: for reports. Thread-safety: any thread.
AllocatorMemory ReadAllocatorMemory();
std::string_view AllocatorName();
/// Gives free pages back to the system; milliseconds for a large heap. Thread-safety: any thread.
void TrimAllocator();

/// What the kernel holds in buffers of this process' sockets (SO_MEMINFO of each): for reports.
int64_t ReadKernelSocketBytes();

/// The memory of the machine and the limit of the innermost cgroup that has one (v2 or v1); 0: none
/// known.
struct MachineMemory {
  int64_t machine_bytes = 0;
  int64_t cgroup_bytes = 0;
};
/// `root` stands before /proc and /sys; empty but in tests.
MachineMemory ReadMachineMemory(std::string_view root = "");

}  // namespace kalam
