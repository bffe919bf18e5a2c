// Ten thousand signed-in users, a subscription each, each writing once a second: memory, and
// nothing lost.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "suite/cache_fill.h"
#include "suite/crowd.h"
#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kUsers = 10'000;
constexpr int kTables = 100;
constexpr int kWriters = 64;
constexpr int kWarmUpSeconds = 15, kSeconds = 45;
// Until write buffers have been filled and given back more than once, however slow the machine is.
constexpr int64_t kWarmUpWrites = 150'000;
// And until the caches are full, for at most so long; then as long again, in which every block is
// replaced by another one, but for two minutes at least: until the heap below has found its size.
constexpr int kFillSecondsMax = 120, kSettleSecondsMin = 120;
constexpr int kUsersPerPing = 500;
constexpr int kWaitMs = 30'000;

Status AddUsers(Environment& environment, Crowd* crowd, std::vector<std::string>* tokens) {
  for (int t = 0; t < kTables; ++t) {
    KALAM_RETURN_IF_ERROR(
        environment
            .Admin(fmt::format("CREATE USER TABLE crowd.t{} (id BIGINT PRIMARY KEY, body TEXT)", t))
            .status());
  }
  for (int i = 0; i < kUsers; ++i) {
    KALAM_ASSIGN_OR_RETURN(std::string token, environment.AddUser(fmt::format("user_{:05}", i)));
    const Subscription own{"own", fmt::format("SELECT * FROM crowd.t{}", i % kTables)};
    KALAM_RETURN_IF_ERROR(crowd->AddSocket(token, {&own, 1}));
    tokens->push_back(std::move(token));
    if (i % kUsersPerPing == 0) KALAM_RETURN_IF_ERROR(crowd->PingAll());
  }
  return crowd->AddWriters(kWriters);
}

/// Writes until caches and write buffers are as full as they get, and everything has settled below
/// them; returns how long that took, in words.
Result<std::string> WarmUp(Environment& environment, Crowd* crowd) {
  const int64_t begin_ns = load::SteadyNs();
  KALAM_RETURN_IF_ERROR(crowd
                            ->WriteSteadily({.inserts_per_second = kUsers,
                                             .seconds = kWarmUpSeconds,
                                             .inserts_min = kWarmUpWrites})
                            .status());
  KALAM_ASSIGN_OR_RETURN(CacheFill caches, CacheFill::Of(environment));
  bool full = false;
  for (int waited_s = 0; !full && waited_s < kFillSecondsMax; ++waited_s) {
    KALAM_RETURN_IF_ERROR(
        crowd->WriteSteadily({.inserts_per_second = kUsers, .seconds = 1}).status());
    KALAM_ASSIGN_OR_RETURN(full, caches.IsFull());
  }
  const auto took_s = static_cast<int>((load::SteadyNs() - begin_ns) / 1'000'000'000);
  const int settle_s = std::max(took_s, kSettleSecondsMin);
  KALAM_RETURN_IF_ERROR(
      crowd->WriteSteadily({.inserts_per_second = kUsers, .seconds = settle_s}).status());
  return fmt::format(
      "block cache and memtables held {:.1f} of {:.0f} MB after {} s, measured {} s later",
      static_cast<double>(caches.held_bytes()) / (1 << 20),
      static_cast<double>(caches.bound_bytes()) / (1 << 20), took_s, settle_s);
}

}  // namespace

Status RunUsers(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  const int64_t kernel_before = load::KernelTcpBytes();
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE crowd").status());
  std::vector<std::string> tokens;
  Crowd crowd(*environment, {.insert = [&tokens](int64_t number) {
    const int64_t user = number % kUsers;
    return Statement{
        tokens[static_cast<size_t>(user)],
        fmt::format("INSERT INTO crowd.t{} (id, body) VALUES ($1, $2)", user % kTables),
        fmt::format("[{},\"a line that somebody wrote\"]", number)};
  }});
  KALAM_RETURN_IF_ERROR(AddUsers(*environment, &crowd, &tokens));
  KALAM_ASSIGN_OR_RETURN(const std::string warm_up, WarmUp(*environment, &crowd));
  const char* seconds = getenv("KALAM_BENCH_USERS_SECONDS");
  MemorySampler sampler(environment->server());
  KALAM_ASSIGN_OR_RETURN(
      const double rate,
      crowd.WriteSteadily({.inserts_per_second = kUsers,
                           .seconds = seconds != nullptr ? atoi(seconds) : kSeconds,
                           .meanwhile = [&](int64_t elapsed_ns) {
                             sampler.SampleAt(elapsed_ns);
                             return Status::Ok();
                           }}));
  const int64_t kernel_bytes = load::KernelTcpBytes() - kernel_before;
  KALAM_RETURN_IF_ERROR(crowd.Await(crowd.sent(), kWaitMs));
  if (crowd.delivered() != crowd.sent()) {
    return Status(ErrorKind::Execution,
                  fmt::format("{} of {} notifications arrived", crowd.delivered(), crowd.sent()));
  }
  double peak_megabytes = 0;
  for (const MemorySample& sample : sampler.samples())
    peak_megabytes = std::max(peak_megabytes, sample.megabytes);
  report.Add(
      {"10,000 users writing once a second: private", "MB", peak_megabytes, 256, false,
       fmt::format("{:.0f} INSERTs a second, every change delivered; {}; kernel sockets +{} KB",
                   rate, warm_up, kernel_bytes / 1024)});
  AddGrowth("growth after warm-up, what is certain of it", sampler.samples(), &report);
  return {};
}

}  // namespace kalam::bench
