// What the ten-thousandth table and the hundred-thousandth user cost in private memory.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kTables = 10'000;
constexpr int kUsers = 200'000;
constexpr int kUserSamples = 20;
// Until a server that rests after one second has given back what it can.
constexpr int kRestMs = 5000;
constexpr double kMegabyte = 1 << 20;
constexpr int kUsersEachRequest = 200;

int64_t SettledPrivateBytes(Environment& environment, int wait_ms) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
  return environment.server().memory().private_bytes;
}

Status WriteUsers(Environment& environment, int first, int count) {
  for (int user = first; user < first + count; user += kUsersEachRequest) {
    std::string request;
    for (int i = user; i < user + kUsersEachRequest; ++i) {
      request += fmt::format(
          "EXECUTE AS USER 'user_{:07}' (INSERT INTO items.notes (id, body) VALUES (1, 'a note'));",
          i);
    }
    KALAM_RETURN_IF_ERROR(environment.Admin(request).status());
  }
  return {};
}

// Tables are measured while the server is busy with them.
Status MeasureTables(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE items").status());
  const auto create_tables = [&](int first, int count) -> Status {
    for (int i = first; i < first + count; ++i) {
      KALAM_RETURN_IF_ERROR(
          environment
              ->Admin(fmt::format("CREATE USER TABLE items.t{} (id BIGINT PRIMARY "
                                  "KEY, name TEXT, score DOUBLE)",
                                  i))
              .status());
    }
    return {};
  };
  // Write buffers fill and are flushed while tables are made: they are counted apart, by a flush at
  // a known size on both sides.
  KALAM_RETURN_IF_ERROR(create_tables(0, 1000));
  const int64_t before = SettledPrivateBytes(*environment, 2500);
  KALAM_RETURN_IF_ERROR(create_tables(1000, kTables - 1000));
  const int64_t after = SettledPrivateBytes(*environment, 2500);
  report.Add({"a further table of 10,000", "B",
              static_cast<double>(after - before) / (kTables - 1000), 1024, false,
              "write buffers included"});
  return {};
}

// Users are measured while the server rests: write buffers hold from 0 to 8 MB, caches what was
// read last, and either is a thousand times what is asked for here. At rest the buffers have been
// written out and the caches are empty. No rows go to cold storage: the engine that writes them
// leaves megabytes when it is opened, whoever's rows they are (heavy_hour.cpp measures that).
Status MeasureUsers(const SuiteOptions& options, Report& report) {
  load::TemporaryDirectory directory("kalam-bench-items");
  const std::string config = directory.path() + "/server.toml";
  {
    std::ifstream base(options.config_file);
    std::ofstream(config) << base.rdbuf() << "\n[memory]\nrest_after_seconds = 1\n"
                          << "[flush]\ndefault_row_limit = 0\n";
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE items").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE USER TABLE items.notes (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  const char* wanted = getenv("KALAM_BENCH_ITEM_USERS");
  const int each_sample =
      std::max(kUsersEachRequest, (wanted != nullptr ? atoi(wanted) : kUsers) / kUserSamples /
                                      kUsersEachRequest * kUsersEachRequest);
  std::vector<MemorySample> samples;
  for (int sample = 0; sample < kUserSamples; ++sample) {
    KALAM_RETURN_IF_ERROR(WriteUsers(*environment, sample * each_sample, each_sample));
    const int64_t bytes = SettledPrivateBytes(*environment, kRestMs);
    // The first quarter is what any load leaves behind.
    if (sample < kUserSamples / 4) continue;
    samples.push_back(
        {static_cast<double>((sample + 1) * each_sample), static_cast<double>(bytes) / kMegabyte});
  }
  PrintTrend(samples, "users", 1);
  const MemoryTrend trend = FitTrend(samples);
  report.Add({fmt::format("a further user with rows of {}, at most", kUserSamples * each_sample),
              "B", std::max(0.0, trend.slope + trend.half_width) * kMegabyte, 16, false,
              fmt::format("slope {:+.1f} +-{:.1f} B a user (95 %) after the first quarter, server "
                          "at rest: {:.2f} to {:.2f} MB",
                          trend.slope * kMegabyte, trend.half_width * kMegabyte,
                          samples.front().megabytes, samples.back().megabytes)});
  return {};
}

}  // namespace

Status RunItems(const SuiteOptions& options, Report& report) {
  KALAM_RETURN_IF_ERROR(MeasureTables(options, report));
  return MeasureUsers(options, report);
}

}  // namespace kalam::bench
