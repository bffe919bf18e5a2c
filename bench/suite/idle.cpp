// What an idle server holds, and what a table adds.
#include <unistd.h>

#include <chrono>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr double kMegabyte = 1024.0 * 1024.0;

void Settle(int milliseconds) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

struct IdleFigures {
  double private_mb = 0, rss_mb = 0, cpu_percent = 0;
};

Result<IdleFigures> MeasureIdle(const std::string& binary, const std::string& config_file) {
  std::vector<double> private_mb, rss_mb, cpu_percent;
  for (int round = 0; round < kRounds; ++round) {
    KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(binary, config_file));
    Settle(2000);
    const double cpu_before = environment->server().cpu_seconds();
    Settle(4000);
    cpu_percent.push_back((environment->server().cpu_seconds() - cpu_before) / 4.0 * 100.0);
    const load::ProcessMemory memory = environment->server().memory();
    private_mb.push_back(static_cast<double>(memory.private_bytes) / kMegabyte);
    rss_mb.push_back(static_cast<double>(memory.rss_bytes) / kMegabyte);
  }
  return IdleFigures{Median(private_mb), Median(rss_mb), Median(cpu_percent)};
}

}  // namespace

Status RunIdle(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(const IdleFigures idle, MeasureIdle(options.binary, options.config_file));
  report.Add({"idle: private memory", "MB", idle.private_mb, 4});
  report.Add({"idle: resident memory", "MB", idle.rss_mb, 16});
  report.Add({"idle: processor", "%", idle.cpu_percent, 0.3});
  // Without engine, WebSockets and TLS; measured when it was built beside the server.
  const std::string smallest = options.binary + "-smallest";
  if (access(smallest.c_str(), X_OK) == 0) {
    KALAM_ASSIGN_OR_RETURN(const IdleFigures small, MeasureIdle(smallest, options.config_file));
    report.Add({"idle, smallest build: private memory", "MB", small.private_mb, 2.5});
    report.Add({"idle, smallest build: resident memory", "MB", small.rss_mb, 12});
  }

  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE many").status());
  KALAM_RETURN_IF_ERROR(environment->Admin("SELECT 1").status());
  Settle(2000);
  const int64_t before = environment->server().memory().private_bytes;
  for (int i = 0; i < 1000; ++i) {
    KALAM_RETURN_IF_ERROR(
        environment
            ->Admin("CREATE TABLE many.t" + std::to_string(i) +
                    " (id BIGINT PRIMARY KEY, name TEXT NOT NULL, score DOUBLE, at TIMESTAMP) "
                    "WITH (TYPE = 'USER')")
            .status());
  }
  Settle(3000);
  const int64_t after = environment->server().memory().private_bytes;
  report.Add(
      {"1,000 tables: private memory", "MB", static_cast<double>(after - before) / kMegabyte, 3});
  report.Add({"engine loaded after that (0 = no)", "",
              environment->server().HasLoaded("libduckdb") ? 1.0 : 0.0, 0});
  return {};
}

}  // namespace kalam::bench
