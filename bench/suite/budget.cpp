// A server with a budget of 64 MB under everything at once: it stays inside, loses nothing, and
// refuses little.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "suite/crowd.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kTables = 1000, kConnections = 2000, kSubscriptionsEach = 5;
constexpr int kWriters = 32, kWritesPerSecond = 2000;
constexpr int kConnectionsPerPing = 200;
constexpr int kWaitMs = 60'000;
constexpr double kMegabyte = 1 << 20;
constexpr char kGroupLimit[] = "100663296";  // 96 MB

/// A control group with 96 MB for the server; nothing where groups are not to be had.
class MemoryGroup {
 public:
  explicit MemoryGroup(pid_t pid) {
    const std::string path = "/sys/fs/cgroup/kalam-bench-" + std::to_string(getpid());
    std::error_code error;
    std::ofstream("/sys/fs/cgroup/cgroup.subtree_control") << "+memory";
    if (!std::filesystem::create_directory(path, error)) return;
    std::ofstream(path + "/memory.max") << kGroupLimit;
    std::ofstream(path + "/cgroup.procs") << pid;
    std::ifstream limit(path + "/memory.max");
    std::string text;
    limit >> text;
    held_ = text == kGroupLimit;
    path_ = path;
  }
  ~MemoryGroup() {
    // The group goes with its last process, which ends after this.
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  bool held() const { return held_; }

 private:
  std::string path_;
  bool held_ = false;
};

/// Everything at once, and what came of it.
class Load {
 public:
  explicit Load(Environment& environment)
      : environment_(environment),
        token_(environment.root_token()),
        crowd_(environment, {.insert = [this](int64_t number) { return Insert(number); },
                             .received = {},
                             .answered =
                                 [this](size_t connection, const load::HttpResponse& response) {
                                   return Note(connection, response);
                                 }}) {}

  Status Open() {
    KALAM_RETURN_IF_ERROR(environment_.Admin("CREATE NAMESPACE budget").status());
    for (int t = 0; t < kTables; ++t) {
      KALAM_RETURN_IF_ERROR(
          environment_
              .Admin(fmt::format("CREATE SHARED TABLE budget.t{} (id BIGINT PRIMARY "
                                 "KEY, room INT, body TEXT)",
                                 t))
              .status());
    }
    for (int i = 0; i < kConnections; ++i) {
      std::vector<Subscription> subscriptions;
      for (int n = 0; n < kSubscriptionsEach; ++n) {
        // Each change of table t reaches the ten subscriptions on it.
        subscriptions.push_back(
            {fmt::format("subscription-{:012}", n),
             fmt::format("SELECT * FROM budget.t{}", (i * kSubscriptionsEach + n) % kTables)});
      }
      KALAM_RETURN_IF_ERROR(crowd_.AddSocket(token_, subscriptions));
      if (i % kConnectionsPerPing == 0) KALAM_RETURN_IF_ERROR(crowd_.PingAll());
    }
    KALAM_RETURN_IF_ERROR(crowd_.AddWriters(kWriters));
    KALAM_ASSIGN_OR_RETURN(grouping_connection_, crowd_.AddConnection());
    return {};
  }

  Status Run(int seconds) {
    KALAM_RETURN_IF_ERROR(crowd_
                              .WriteSteadily({.inserts_per_second = kWritesPerSecond,
                                              .seconds = seconds,
                                              .meanwhile =
                                                  [this](int64_t elapsed_ns) {
                                                    const auto memory =
                                                        environment_.server().memory();
                                                    peak_rss_ =
                                                        std::max(peak_rss_, memory.rss_bytes);
                                                    return GroupWhenDue(elapsed_ns);
                                                  }})
                              .status());
    return crowd_.Await(Expected(), kWaitMs);
  }

  int64_t Expected() const {
    return crowd_.sent() * (int64_t{kConnections} * kSubscriptionsEach / kTables);
  }
  int64_t sent() const { return crowd_.sent(); }
  int64_t delivered() const { return crowd_.delivered(); }
  int64_t failed_writes() const { return failed_writes_; }
  double grouping_success_percent() const {
    return groupings_ == 0 ? 0
                           : 100.0 * static_cast<double>(groupings_ - failed_groupings_) /
                                 static_cast<double>(groupings_);
  }
  int64_t groupings() const { return groupings_; }
  int64_t peak_rss() const { return peak_rss_; }
  const std::string& first_refusal() const { return first_refusal_; }

 private:
  Statement Insert(int64_t id) const {
    return {
        token_,
        fmt::format("INSERT INTO budget.t{} (id, room, body) VALUES ($1, $2, $3)", id % kTables),
        fmt::format("[{},{},\"a line that somebody wrote\"]", id, id / kTables % 7)};
  }

  /// Once a second.
  Status GroupWhenDue(int64_t elapsed_ns) {
    if (crowd_.is_busy(grouping_connection_) || elapsed_ns / 1'000'000'000 <= groupings_) return {};
    ++groupings_;
    return crowd_.Send(
        grouping_connection_,
        {token_,
         fmt::format("SELECT room, COUNT(*), MAX(body) FROM budget.t{} GROUP BY room",
                     groupings_ % kTables),
         ""});
  }

  Status Note(size_t connection, const load::HttpResponse& response) {
    if (response.status == 200) return {};
    ++(connection == grouping_connection_ ? failed_groupings_ : failed_writes_);
    if (first_refusal_.empty()) first_refusal_ = response.body.substr(0, 200);
    return {};
  }

  Environment& environment_;
  const std::string& token_;
  Crowd crowd_;
  size_t grouping_connection_ = 0;
  std::string first_refusal_;
  int64_t groupings_ = 0, failed_groupings_ = 0, failed_writes_ = 0;
  int64_t peak_rss_ = 0;
};

}  // namespace

Status RunBudget(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  const char* asked = std::getenv("KALAM_BENCH_BUDGET_SECONDS");
  const int seconds = asked != nullptr ? std::max(1, std::atoi(asked)) : 60;
  load::TemporaryDirectory directory("kalam-bench-budget");
  const std::string config = directory.path() + "/server.toml";
  {
    std::ifstream base(options.config_file);
    std::ofstream(config) << base.rdbuf() << "\n[memory]\nbudget = \"64MB\"\n";
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  const MemoryGroup group(environment->server().pid());
  Load load(*environment);
  KALAM_RETURN_IF_ERROR(load.Open());
  KALAM_RETURN_IF_ERROR(load.Run(seconds));
  const std::string note =
      fmt::format("{} s{}{}", seconds, group.held() ? ", in a control group of 96 MB" : "",
                  load.first_refusal().empty() ? "" : "; first refusal: " + load.first_refusal());
  report.Add({"budget of 64 MB: peak resident memory", "MB",
              static_cast<double>(load.peak_rss()) / kMegabyte, 96, false, note});
  report.Add({"budget of 64 MB: lost notifications", "",
              static_cast<double>(load.Expected() - load.delivered()), 0, false,
              fmt::format("{} writes, {} notifications", load.sent(), load.delivered())});
  report.Add({"budget of 64 MB: failed writes", "", static_cast<double>(load.failed_writes()), 0});
  report.Add({"budget of 64 MB: GROUP BYs that succeed", "%", load.grouping_success_percent(), 95,
              true, fmt::format("of {}", load.groupings())});
  return {};
}

}  // namespace kalam::bench
