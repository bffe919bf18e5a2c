// Where the heap's bytes were allocated, when the process runs on an allocator that keeps such a
// profile.
#pragma once

#include <string>

#include "base/status.h"

namespace kalam {

/// Every live allocation that was sampled, by stack, in the text format `heap_v2` of jemalloc,
/// which jeprof and pprof read. Takes milliseconds and as much memory as the text. Errors:
/// NotAvailable (the allocator keeps no profile; the message names the way to one that does),
/// StorageIo. Thread-safety: any thread; two at a time wait for each other. Source: mallctl(3) of
/// jemalloc, "prof.dump".
Result<std::string> ReadHeapProfile();

}  // namespace kalam
