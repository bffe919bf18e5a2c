// Whether memory grows: samples of a server, a line through samples with an interval that a heap
// which breathes does not fool, and a plot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "load/server_process.h"
#include "suite/report.h"

namespace kalam::bench {

/// Private memory at `x`: seconds, items, whatever may make it grow.
struct MemorySample {
  double x = 0;
  double megabytes = 0;
};

/// The private memory of a server, once a second.
class MemorySampler {
 public:
  /// `server` must outlive it.
  explicit MemorySampler(const load::ServerProcess& server) : server_(server) {}
  /// Takes a sample when one is due; to be called more often than that.
  void SampleAt(int64_t elapsed_ns);
  const std::vector<MemorySample>& samples() const { return samples_; }

 private:
  const load::ServerProcess& server_;
  std::vector<MemorySample> samples_;
};

/// Megabytes for each unit of x, and half the width of the 95 % interval around it.
struct MemoryTrend {
  double slope = 0;
  double half_width = 0;
  bool grows() const { return slope - half_width > 0; }
};

/// Least squares over means of blocks. Write buffers fill for many samples and are given back at
/// once, so neighbours are alike: what the residuals of neighbouring blocks have in common counts
/// as fewer samples. With fewer than eight samples nothing can be said: the interval is infinite.
MemoryTrend FitTrend(const std::vector<MemorySample>& samples);

/// Draws the samples over x; `unit` names x, of which `scale` make one of that unit.
void PrintTrend(const std::vector<MemorySample>& samples, const std::string& unit, double scale);

/// Draws samples over seconds, and adds the line of what is certain of their growth.
void AddGrowth(const std::string& name, const std::vector<MemorySample>& samples, Report* report);

}  // namespace kalam::bench
