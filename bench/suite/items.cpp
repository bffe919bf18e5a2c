// What the ten-thousandth table and the hundred-thousandth user cost in private memory.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kTables = 10'000;
constexpr int kUsers = 200'000;
constexpr int kUsersEachSample = 2000;
constexpr double kMegabyte = 1 << 20;
constexpr int kUsersEachRequest = 200;

int64_t SettledPrivateBytes(Environment& environment) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
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

}  // namespace

Status RunItems(const SuiteOptions& options, Report& report) {
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
  int64_t before = SettledPrivateBytes(*environment);
  KALAM_RETURN_IF_ERROR(create_tables(1000, kTables - 1000));
  int64_t after = SettledPrivateBytes(*environment);
  report.Add({"a further table of 10,000", "B",
              static_cast<double>(after - before) / (kTables - 1000), 1024, false,
              "write buffers included"});

  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE USER TABLE items.notes (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  const char* wanted = getenv("KALAM_BENCH_ITEM_USERS");
  const int users = wanted != nullptr ? atoi(wanted) : kUsers;
  // The first quarter fills write buffers and caches.
  std::vector<MemorySample> samples;
  for (int user = 0; user < users; user += kUsersEachSample) {
    KALAM_RETURN_IF_ERROR(WriteUsers(*environment, user, kUsersEachSample));
    if (user < users / 4) continue;
    samples.push_back(
        {static_cast<double>(user),
         static_cast<double>(environment->server().memory().private_bytes) / kMegabyte});
  }
  PrintTrend(samples, "users", 1);
  const MemoryTrend trend = FitTrend(samples);
  report.Add({fmt::format("a further user with rows of {}, what is certain", users), "B",
              std::max(0.0, trend.slope - trend.half_width) * kMegabyte, 16, false,
              fmt::format("slope {:+.1f} +-{:.1f} B a user (95 %) after the first quarter",
                          trend.slope * kMegabyte, trend.half_width * kMegabyte)});
  return {};
}

}  // namespace kalam::bench
