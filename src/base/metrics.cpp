// The registry behind /v1/api/metrics and system.stats.
#include "base/metrics.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kalam {
namespace {

void RaisePeak(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (value > seen && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

enum Kind : int { kCounter, kGauge, kComputed };

}  // namespace

void Gauge::Add(int64_t delta) {
  int64_t now = value_.fetch_add(delta, std::memory_order_relaxed) + delta;
  if (delta > 0) RaisePeak(peak_, now);
}

void Gauge::Set(int64_t value) {
  value_.store(value, std::memory_order_relaxed);
  RaisePeak(peak_, value);
}

struct Metrics::Entry {
  std::string name;
  int kind = kCounter;
  Counter counter;
  Gauge gauge;
  std::function<std::string()> compute;  // constant once the entry is in the list
};

std::shared_ptr<Metrics::Entry> Metrics::Find(std::string_view name, int kind) {
  std::lock_guard lock(mutex_);
  for (const auto& entry : entries_) {
    if (entry->name != name) continue;
    KALAM_CHECK(entry->kind == kind);
    return entry;
  }
  auto entry = std::make_shared<Entry>();
  entry->name = name;
  entry->kind = kind;
  entries_.push_back(entry);
  return entry;
}

Counter& Metrics::counter(std::string_view name) { return Find(name, kCounter)->counter; }

Gauge& Metrics::gauge(std::string_view name) { return Find(name, kGauge)->gauge; }

void Metrics::SetComputed(std::string_view name, std::function<std::string()> compute) {
  auto entry = std::make_shared<Entry>();
  entry->name = name;
  entry->kind = kComputed;
  entry->compute = std::move(compute);
  std::lock_guard lock(mutex_);
  for (auto& existing : entries_) {
    if (existing->name != name) continue;
    KALAM_CHECK(existing->kind == kComputed);
    existing = std::move(entry);
    return;
  }
  entries_.push_back(std::move(entry));
}

std::vector<Metrics::Sample> Metrics::Read() const {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    std::lock_guard lock(mutex_);
    entries = entries_;
  }
  // Computed values run outside the lock: they may look at anything, this registry included.
  std::vector<Sample> samples;
  for (const auto& entry : entries) {
    switch (entry->kind) {
      case kCounter:
        samples.push_back({entry->name, std::to_string(entry->counter.value()), true});
        break;
      case kGauge:
        samples.push_back({entry->name, std::to_string(entry->gauge.value()), false});
        samples.push_back({entry->name + "_peak", std::to_string(entry->gauge.peak()), false});
        break;
      default:
        samples.push_back({entry->name, entry->compute(), false});
    }
  }
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return a.name < b.name; });
  return samples;
}

}  // namespace kalam
