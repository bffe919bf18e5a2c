// Reports a broken invariant and aborts.
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace kalam {

void CheckFailed(const char* file, int line, const char* text) {
  std::fprintf(stderr, "kalamdb: internal invariant broken at %s:%d: %s\n", file, line, text);
  std::abort();
}

}  // namespace kalam
