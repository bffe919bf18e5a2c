// Ten million rows of chat under a budget of 128 MB: loaded, moved to cold storage by their policy,
// queried; what the server holds at most meanwhile.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "suite/chat_rows.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr double kMegabyte = 1 << 20;
constexpr int64_t kSettleSeconds = 300;

constexpr const char* kQueries[] = {
    "SELECT domain, COUNT(*), MAX(created_at) FROM rows.messages GROUP BY domain",
    "SELECT user_id, COUNT(*), SUM(turn) FROM rows.messages GROUP BY user_id ORDER BY 2 LIMIT 5",
    "SELECT COUNT(*), SUM(turn) FROM rows.messages WHERE role = 'user'",
    "SELECT content FROM rows.messages WHERE message_id = 123456",
    "SELECT message_id, content FROM rows.messages ORDER BY message_id DESC LIMIT 20"};

/// Keeps the greatest resident set that was seen.
class Peak {
 public:
  explicit Peak(Environment& environment) : environment_(environment) {}
  void Look() { bytes_ = std::max(bytes_, environment_.server().memory().rss_bytes); }
  double megabytes() const { return static_cast<double>(bytes_) / kMegabyte; }

 private:
  Environment& environment_;
  int64_t bytes_ = 0;
};

/// Waits until the flushes that are due are done.
Status Settle(Environment& environment, Peak& peak) {
  const int64_t until_ns = load::SteadyNs() + kSettleSeconds * 1'000'000'000;
  while (load::SteadyNs() < until_ns) {
    peak.Look();
    KALAM_ASSIGN_OR_RETURN(
        const std::string answer,
        environment.Admin("SELECT COUNT(*) FROM system.jobs WHERE status IN ('new', 'queued', "
                          "'running', 'retrying')"));
    if (answer.find("[[\"0\"]]") != std::string::npos) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return Status(ErrorKind::Execution, "flushes do not come to an end");
}

}  // namespace

Status RunManyRows(const SuiteOptions& options, Report& report) {
  const char* asked = std::getenv("KALAM_BENCH_ROWS");
  const int64_t row_count = asked != nullptr ? std::atoll(asked) : 10'000'000;
  KALAM_ASSIGN_OR_RETURN(const ChatRows rows, ChatRows::Load());
  const int copies = static_cast<int>((row_count + rows.size() - 1) / rows.size());
  const load::TemporaryDirectory directory("kalam-bench-rows");
  const std::string config = directory.path() + "/server.toml";
  {
    std::ifstream base(options.config_file);
    std::ofstream(config)
        << base.rdbuf() << "\n[memory]\nbudget = \"128MB\"\n[flush]\ncheck_interval_seconds = 1\n";
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE rows").status());
  KALAM_RETURN_IF_ERROR(environment->Admin(ChatRows::CreateTable("rows.messages")).status());
  Peak peak(*environment);
  const int64_t begin_ns = load::SteadyNs();
  for (int copy = 0; copy < copies; ++copy) {
    KALAM_RETURN_IF_ERROR(rows.Insert(*environment, "rows.messages", copy, 1));
    peak.Look();
  }
  const double seconds = static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
  KALAM_RETURN_IF_ERROR(Settle(*environment, peak));
  std::string times;
  for (const char* query : kQueries) {
    const int64_t query_begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(environment->Admin(query).status());
    times += fmt::format("{}{:.0f} ms", times.empty() ? "" : ", ",
                         static_cast<double>(load::SteadyNs() - query_begin_ns) / 1e6);
    peak.Look();
  }
  report.Add({"budget of 128 MB, many rows: peak resident memory", "MB", peak.megabytes(), 160,
              false,
              fmt::format("{} rows, {:.0f} a second; queries {}", copies * rows.size(),
                          static_cast<double>(copies * rows.size()) / seconds, times)});
  return {};
}

}  // namespace kalam::bench
