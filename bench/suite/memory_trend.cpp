// The line, its interval, and the plot.
#include "suite/memory_trend.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace kalam::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr double kMegabyte = 1 << 20;
constexpr size_t kBlocks = 20;
constexpr size_t kSamplesMin = 8;
constexpr int kPlotColumns = 72, kPlotRows = 12;

/// Two-sided 95 % quantile of Student's distribution.
double StudentQuantile(double degrees_of_freedom) {
  constexpr std::array<double, 10> kSmall = {12.71, 4.30, 3.18, 2.78, 2.57,
                                             2.45,  2.36, 2.31, 2.26, 2.23};
  const auto whole = static_cast<size_t>(std::max(1.0, degrees_of_freedom));
  if (whole <= kSmall.size()) return kSmall[whole - 1];
  return whole < 20 ? 2.20 : 2.09;
}

std::vector<MemorySample> BlockMeans(const std::vector<MemorySample>& samples) {
  std::vector<MemorySample> means;
  const size_t blocks = std::min(kBlocks, samples.size());
  for (size_t block = 0; block < blocks; ++block) {
    const size_t begin = samples.size() * block / blocks,
                 end = samples.size() * (block + 1) / blocks;
    MemorySample mean;
    for (size_t i = begin; i < end; ++i) {
      mean.x += samples[i].x / static_cast<double>(end - begin);
      mean.megabytes += samples[i].megabytes / static_cast<double>(end - begin);
    }
    means.push_back(mean);
  }
  return means;
}

}  // namespace

void MemorySampler::SampleAt(int64_t elapsed_ns) {
  if (elapsed_ns < static_cast<int64_t>(samples_.size()) * kSecondNs) return;
  samples_.push_back({static_cast<double>(elapsed_ns) / kSecondNs,
                      static_cast<double>(server_.memory().private_bytes) / kMegabyte});
}

MemoryTrend FitTrend(const std::vector<MemorySample>& samples) {
  if (samples.size() < kSamplesMin) return {0, std::numeric_limits<double>::infinity()};
  const std::vector<MemorySample> points = BlockMeans(samples);
  const auto n = static_cast<double>(points.size());
  double mean_x = 0, mean_y = 0;
  for (const MemorySample& point : points) mean_x += point.x / n, mean_y += point.megabytes / n;
  double xx = 0, xy = 0;
  for (const MemorySample& point : points) {
    xx += (point.x - mean_x) * (point.x - mean_x);
    xy += (point.x - mean_x) * (point.megabytes - mean_y);
  }
  const double slope = xy / xx;
  double squares = 0, products = 0, previous = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const double residual = points[i].megabytes - mean_y - slope * (points[i].x - mean_x);
    squares += residual * residual;
    if (i > 0) products += residual * previous;
    previous = residual;
  }
  const double alike = squares > 0 ? std::clamp(products / squares, 0.0, 0.9) : 0;
  const double independent = std::max(3.0, n * (1 - alike) / (1 + alike));
  const double error = std::sqrt(squares / (n - 2) / xx * (n / independent));
  return {slope, StudentQuantile(independent - 2) * error};
}

void PrintTrend(const std::vector<MemorySample>& samples, const std::string& unit, double scale) {
  if (samples.empty()) return;
  double low = samples.front().megabytes, high = low;
  for (const MemorySample& sample : samples) {
    low = std::min(low, sample.megabytes);
    high = std::max(high, sample.megabytes);
  }
  high = std::max(high, low + 0.1);
  const double first = samples.front().x, last = std::max(samples.back().x, first + 1e-9);
  std::vector<std::string> rows(kPlotRows, std::string(kPlotColumns, ' '));
  for (const MemorySample& sample : samples) {
    const auto column =
        static_cast<size_t>((sample.x - first) / (last - first) * (kPlotColumns - 1));
    const double part = (sample.megabytes - low) / (high - low);
    rows[static_cast<size_t>(std::lround((kPlotRows - 1) * (1 - part)))][column] = '*';
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    const double value = high - (high - low) * static_cast<double>(row) / (kPlotRows - 1);
    fmt::print("{:8.2f} MB |{}\n", value, rows[row]);
  }
  const std::string begin = fmt::format("{:.1f}", first / scale);
  const std::string end = fmt::format("{:.1f} {}", last / scale, unit);
  fmt::print("            +{}\n             {}{:>{}}\n", std::string(kPlotColumns, '-'), begin, end,
             kPlotColumns - static_cast<int>(begin.size()));
  std::fflush(stdout);
}

void AddGrowth(const std::string& name, const std::vector<MemorySample>& samples, Report* report) {
  PrintTrend(samples, "s", 1);
  const auto [low, high] = std::minmax_element(
      samples.begin(), samples.end(),
      [](const MemorySample& a, const MemorySample& b) { return a.megabytes < b.megabytes; });
  const MemoryTrend trend = FitTrend(samples);
  report->Add(
      {name, "MB/min", std::max(0.0, trend.slope - trend.half_width) * 60, 0, false,
       fmt::format("slope {:+.2f} +-{:.2f} MB a minute (95 %); {:.1f} to {:.1f} MB private",
                   trend.slope * 60, trend.half_width * 60, low->megabytes, high->megabytes)});
}

}  // namespace kalam::bench
