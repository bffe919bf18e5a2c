// Percentiles and bootstrap confidence.
#include "compare/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "suite/report.h"

namespace kalam::bench {
namespace {

constexpr int kResamples = 2000;

}  // namespace

Summary Summarize(const std::vector<double>& microseconds) {
  Summary summary;
  if (microseconds.empty()) return summary;
  const auto count = static_cast<double>(microseconds.size());
  summary.iterations = static_cast<int>(microseconds.size());
  summary.total_us = std::accumulate(microseconds.begin(), microseconds.end(), 0.0);
  summary.mean_us = summary.total_us / count;
  summary.median_us = Percentile(microseconds, 50);
  summary.p95_us = Percentile(microseconds, 95);
  summary.p99_us = Percentile(microseconds, 99);
  summary.min_us = *std::min_element(microseconds.begin(), microseconds.end());
  summary.max_us = *std::max_element(microseconds.begin(), microseconds.end());
  double squares = 0;
  for (const double value : microseconds)
    squares += (value - summary.mean_us) * (value - summary.mean_us);
  summary.standard_deviation_us = std::sqrt(squares / count);
  summary.operations_per_second = summary.total_us > 0 ? count * 1e6 / summary.total_us : 0;
  return summary;
}

Ratio CompareMedians(const std::vector<double>& ours, const std::vector<double>& other) {
  const size_t count = std::min(ours.size(), other.size());
  if (count == 0) return {};
  const auto ratio_of = [](std::vector<double> a, std::vector<double> b) {
    const double below = Median(std::move(a));
    return below > 0 ? Median(std::move(b)) / below : 0.0;
  };
  Ratio ratio;
  ratio.value = ratio_of(ours, other);
  std::mt19937_64 random(20'240'229);
  std::uniform_int_distribution<size_t> pick(0, count - 1);
  std::vector<double> ratios, a(count), b(count);
  for (int resample = 0; resample < kResamples; ++resample) {
    for (size_t i = 0; i < count; ++i) {
      const size_t chosen = pick(random);
      a[i] = ours[chosen];
      b[i] = other[chosen];
    }
    ratios.push_back(ratio_of(a, b));
  }
  ratio.low = Percentile(ratios, 2.5);
  ratio.high = Percentile(std::move(ratios), 97.5);
  return ratio;
}

}  // namespace kalam::bench
