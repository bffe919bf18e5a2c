// Statements over many rows: DELETE by a filter against its SELECT, GROUP BY against a plain
// iteration.
#include <fmt/format.h>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kRows = 100'000;
constexpr int kBuckets = 100;  // 1,000 rows each

Status Fill(Environment& environment) {
  KALAM_RETURN_IF_ERROR(environment.Admin("CREATE NAMESPACE scans").status());
  KALAM_RETURN_IF_ERROR(
      environment
          .Admin("CREATE SHARED TABLE scans.sales (id BIGINT PRIMARY KEY, region TEXT, bucket INT, "
                 "amount BIGINT)")
          .status());
  for (int begin = 0; begin < kRows; begin += 1000) {
    std::string sql = "INSERT INTO scans.sales (id, region, bucket, amount) VALUES ";
    for (int id = begin; id < begin + 1000; ++id) {
      sql += fmt::format("{}({}, 'region {}', {}, {})", id == begin ? "" : ", ", id, id % 5,
                         id % kBuckets, id % 1000);
    }
    KALAM_RETURN_IF_ERROR(environment.Admin(sql).status());
  }
  return {};
}

Result<double> TimeUs(load::HttpClient& client, const std::string& request) {
  KALAM_ASSIGN_OR_RETURN(const std::vector<double> one,
                         RequestLatenciesUs(client, 1, [&](int) { return request; }));
  return one[0];
}

}  // namespace

Status RunScans(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(Fill(*environment));
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment->port()));
  const std::string& token = environment->root_token();

  // The iteration decodes the same two columns natively, on one thread; the engine gets one thread
  // too (bench/load.toml).
  const std::string iterate =
      load::MakeSql(token, "SELECT max(region), sum(amount) FROM scans.sales");
  const std::string group = load::MakeSql(
      token, "SELECT region, sum(amount) FROM scans.sales GROUP BY region ORDER BY region");
  KALAM_RETURN_IF_ERROR(TimeUs(client, group).status());
  KALAM_RETURN_IF_ERROR(TimeUs(client, iterate).status());
  std::vector<double> ratios, group_ms, iterate_ms;
  for (int round = 0; round < 2 * kRounds; ++round) {
    KALAM_ASSIGN_OR_RETURN(const double plain_us, TimeUs(client, iterate));
    KALAM_ASSIGN_OR_RETURN(const double group_us, TimeUs(client, group));
    ratios.push_back(group_us / plain_us);
    group_ms.push_back(group_us / 1000);
    iterate_ms.push_back(plain_us / 1000);
  }
  report.Add({"GROUP BY 100,000 rows / iteration", "x", Median(ratios), 1.5, false,
              fmt::format("{:.1f} ms / {:.1f} ms", Median(group_ms), Median(iterate_ms))});

  std::vector<double> excess, select_ms, delete_ms;
  for (int round = 0; round < kRounds; ++round) {
    KALAM_ASSIGN_OR_RETURN(
        const double select_us,
        TimeUs(client,
               load::MakeSql(token,
                             fmt::format("SELECT id FROM scans.sales WHERE bucket = {}", round))));
    KALAM_ASSIGN_OR_RETURN(
        const double delete_us,
        TimeUs(client, load::MakeSql(token, fmt::format("DELETE FROM scans.sales WHERE bucket = {}",
                                                        round))));
    const double rows = static_cast<double>(kRows) / kBuckets;
    excess.push_back(delete_us / (2 * select_us + 10 * rows));
    select_ms.push_back(select_us / 1000);
    delete_ms.push_back(delete_us / 1000);
  }
  report.Add({"DELETE by filter / (2 SELECT + 10 us a row)", "x", Median(excess), 1, false,
              fmt::format("DELETE {:.1f} ms, SELECT {:.1f} ms, 1,000 rows", Median(delete_ms),
                          Median(select_ms))});
  return {};
}

}  // namespace kalam::bench
