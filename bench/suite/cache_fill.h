// When the store's caches are full: until then memory grows because it is asked to.
#pragma once

#include <cstdint>

#include "suite/environment.h"

namespace kalam::bench {

/// Block cache and memtables share a bound, and blocks take what memtables leave. They are full
/// when they have once held all of it but for a fiftieth; memtables that are written out give back
/// as much as that in a moment.
class CacheFill {
 public:
  /// Asks the server for the bound.
  static Result<CacheFill> Of(Environment& environment);
  /// Asks how much they hold; once full, always full.
  Result<bool> IsFull();

  /// What they held when last asked.
  int64_t held_bytes() const { return held_bytes_; }
  int64_t bound_bytes() const { return bound_bytes_; }

 private:
  CacheFill(Environment& environment, int64_t bound_bytes)
      : environment_(environment), bound_bytes_(bound_bytes) {}

  Environment& environment_;
  int64_t bound_bytes_;
  int64_t held_bytes_ = 0;
  bool was_full_ = false;
};

}  // namespace kalam::bench
