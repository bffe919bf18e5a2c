// KALAM_CHECK: stops the process at a broken invariant of ours. Input from outside must never be
// able to reach one.
#pragma once

namespace kalam {

/// Writes file, line and text to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* text);

}  // namespace kalam

#define KALAM_CHECK(condition)                                              \
  do {                                                                      \
    if (!(condition)) ::kalam::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#ifdef NDEBUG
#define KALAM_DCHECK(condition) ((void)sizeof(condition))
#else
#define KALAM_DCHECK(condition) KALAM_CHECK(condition)
#endif
