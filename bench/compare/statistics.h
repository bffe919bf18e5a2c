// What a list of latencies says: percentiles, spread, and the ratio of two lists with its
// confidence.
#pragma once

#include <vector>

namespace kalam::bench {

/// Of microseconds.
struct Summary {
  int iterations = 0;
  double total_us = 0, mean_us = 0, median_us = 0, p95_us = 0, p99_us = 0;
  double min_us = 0, max_us = 0, standard_deviation_us = 0;
  double operations_per_second = 0;  // iterations by the sum of their times
};
Summary Summarize(const std::vector<double>& microseconds);

/// The median of `other` by the median of `ours`: above 1, ours is faster so many times.
struct Ratio {
  double value = 0;
  double low = 0, high = 0;  // 95 % of the bootstrap
};
/// Bootstrap over the pairs (the n-th of each list ran side by side), 2,000 resamples from a fixed
/// seed. Both lists must have the same length. Source: Efron, Bootstrap Methods (1979).
Ratio CompareMedians(const std::vector<double>& ours, const std::vector<double>& other);

}  // namespace kalam::bench
