// Asking Linux to run a thread behind others.
#include "base/thread_priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace kalam {
namespace {

// A tenth of the weight of an ordinary thread (sched(7)).
constexpr int kNicer = 10;
constexpr int kNicest = 19;
// A thread with a shorter slice that wakes up takes the processor at once, instead of when the
// slice or the kernel's tick ends. Kernels before 6.12 take no notice.
constexpr uint64_t kSliceNs = 100'000'000;

/// The argument of sched_setattr(2), for which the C library has no declaration.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_BATCH;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = kSliceNs;
  uint64_t deadline_ns = 0, period_ns = 0;
};

/// The caller takes long turns, and is so much nicer.
void Schedule(int nicer) {
  errno = 0;
  const int nice_now = getpriority(PRIO_PROCESS, 0);
  SchedulingAttributes attributes;
  attributes.nice = std::min(kNicest, (errno == 0 ? nice_now : 0) + nicer);
  // Where it is not allowed the thread runs like the others: slower for them, but not wrong.
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0 && nicer > 0)
    setpriority(PRIO_PROCESS, 0, attributes.nice);
}

}  // namespace

void TakeLongTurns() { Schedule(0); }

void RunBehindOthers() { Schedule(kNicer); }

}  // namespace kalam
