// What the metrics registry promises to its readers.
#include "base/metrics.h"

#include <gtest/gtest.h>

namespace kalam {
namespace {

TEST(MetricsTest, ReadIsSortedAndGaugesHavePeaks) {
  Metrics metrics;
  metrics.gauge("open").Add(3);
  metrics.gauge("open").Add(-2);
  metrics.counter("commits").Add(7);
  metrics.SetComputed("answer", [] { return std::string("old"); });
  metrics.SetComputed("answer", [] { return std::string("42"); });
  std::vector<Metrics::Sample> samples = metrics.Read();
  ASSERT_EQ(samples.size(), 4u);
  EXPECT_EQ(samples[0].name, "answer");
  EXPECT_EQ(samples[0].value, "42");
  EXPECT_EQ(samples[1].name, "commits");
  EXPECT_EQ(samples[1].value, "7");
  EXPECT_EQ(samples[2].name, "open");
  EXPECT_EQ(samples[2].value, "1");
  EXPECT_EQ(samples[3].name, "open_peak");
  EXPECT_EQ(samples[3].value, "3");
}

}  // namespace
}  // namespace kalam
