// The analytical engine by itself, in this process: what queries over cold rows are compared with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace kalam::bench {

/// Not thread-safe.
class DirectEngine {
 public:
  /// As the server opens it: so many threads, so much memory. Errors: NotAvailable when its library
  /// is not beside this program.
  static Result<std::unique_ptr<DirectEngine>> Open(int threads, const std::string& memory_limit);
  virtual ~DirectEngine() = default;
  /// Runs a statement to its end; how long that took in microseconds. Errors: Execution.
  virtual Result<double> TimeUs(const std::string& sql) = 0;
};

}  // namespace kalam::bench
