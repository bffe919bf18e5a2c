// Counters and gauges by name, readable all at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace kalam {

/// A number that only grows. Thread-safety: any thread.
class Counter {
 public:
  void Add(int64_t delta = 1) { value_.fetch_add(delta, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

/// A number that goes up and down and remembers its peak. Thread-safety: any thread.
class Gauge {
 public:
  void Add(int64_t delta);
  void Set(int64_t value);
  int64_t value() const { return value_.load(std::memory_order_relaxed); }
  int64_t peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
  std::atomic<int64_t> peak_{0};
};

/// The registry that names them. References stay valid as long as the registry. Thread-safety: any
/// thread.
class Metrics {
 public:
  Counter& counter(std::string_view name);
  Gauge& gauge(std::string_view name);
  /// A value computed when it is read. Replaces an earlier one of the same name.
  void SetComputed(std::string_view name, std::function<std::string()> compute);

  struct Sample {
    std::string name;
    std::string value;
    bool only_grows = false;  // a counter
  };
  /// All metrics, sorted by name; a gauge also yields `<name>_peak`.
  std::vector<Sample> Read() const;

 private:
  struct Entry;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_;  // guarded by mutex_
  std::shared_ptr<Entry> Find(std::string_view name, int kind);
};

}  // namespace kalam
