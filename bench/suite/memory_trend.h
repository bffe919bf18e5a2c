// Whether memory grows: a line through samples with an interval that a heap which breathes does not
// fool, and a plot.
#pragma once

#include <string>
#include <vector>

namespace kalam::bench {

/// Private memory at `x`: seconds, items, whatever may make it grow.
struct MemorySample {
  double x = 0;
  double megabytes = 0;
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

}  // namespace kalam::bench
