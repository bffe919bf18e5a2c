// How many notifications a second reach a thousand sockets, and how late they are at half of a
// fixed load.
#include <fmt/format.h>

#include "suite/crowd.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kSockets = 1000;
constexpr int kWriters = 4;
constexpr int kChangesUnderWay = 50;
constexpr double kFullSeconds = 5;
constexpr int kHalfRateInserts = 100;  // a second: 100,000 deliveries
constexpr int kHalfSeconds = 5;
constexpr int kWaitMs = 20'000;
// When the next thing to do is up to an answer.
constexpr int64_t kBusyWaitNs = 10'000'000;

/// Notes when each change was sent, and how much later each socket has it.
class Lateness {
 public:
  void NoteSent() { sent_ns_.push_back(load::SteadyNs()); }
  Status NoteReceived(const std::vector<std::string>& messages) {
    if (!is_measured_) return {};
    const int64_t now_ns = load::SteadyNs();
    for (const std::string& message : messages) {
      const size_t rows = message.find("\"rows\"");
      const auto id = load::FieldText(std::string_view(message).substr(rows), "id");
      const int64_t sent_ns = sent_ns_[static_cast<size_t>(std::stoll(std::string(*id)))];
      milliseconds_.push_back(static_cast<double>(now_ns - sent_ns) / 1e6);
    }
    return {};
  }
  void Begin() { is_measured_ = true; }
  const std::vector<double>& milliseconds() const { return milliseconds_; }

 private:
  std::vector<int64_t> sent_ns_;  // by id
  std::vector<double> milliseconds_;
  bool is_measured_ = false;
};

Status Drain(Crowd& crowd) {
  const int64_t expected = crowd.sent() * kSockets;
  KALAM_RETURN_IF_ERROR(crowd.Await(expected, kWaitMs));
  if (crowd.delivered() == expected) return {};
  return Status(ErrorKind::Execution,
                fmt::format("{} of {} notifications arrived", crowd.delivered(), expected));
}

/// Writes as fast as the answers come, for `seconds`; deliveries a second.
Result<double> WriteAtFullSpeed(Crowd& crowd, double seconds) {
  const int64_t begin_ns = load::SteadyNs(), first = crowd.delivered();
  const int64_t end_ns = begin_ns + static_cast<int64_t>(seconds * 1e9);
  // Whoever receives shares the two cores: writing stops while fifty changes are under way, so that
  // the figure is deliveries and not a backlog.
  while (load::SteadyNs() < end_ns) {
    KALAM_RETURN_IF_ERROR(crowd.WriteUntil(crowd.delivered() / kSockets + kChangesUnderWay));
    KALAM_RETURN_IF_ERROR(crowd.TakeEvents(kBusyWaitNs));
  }
  const double rate = static_cast<double>(crowd.delivered() - first) * 1e9 /
                      static_cast<double>(load::SteadyNs() - begin_ns);
  KALAM_RETURN_IF_ERROR(Drain(crowd));
  return rate;
}

Status WriteAtRate(Crowd& crowd, int inserts_per_second, int seconds) {
  const int64_t begin_ns = load::SteadyNs(), first = crowd.sent();
  const int64_t total = int64_t{inserts_per_second} * seconds;
  while (crowd.sent() - first < total) {
    const int64_t before = crowd.sent();
    const int64_t due_ns = begin_ns + (before - first) * 1'000'000'000 / inserts_per_second;
    int64_t wait_ns = due_ns - load::SteadyNs();
    if (wait_ns <= 0) {
      KALAM_RETURN_IF_ERROR(crowd.WriteUntil(before + 1));
      wait_ns = crowd.sent() > before ? 0 : kBusyWaitNs;
    }
    // Not in a busy loop: whoever receives has a core only while there is something to receive.
    KALAM_RETURN_IF_ERROR(crowd.TakeEvents(wait_ns));
  }
  return Drain(crowd);
}

}  // namespace

Status RunDeliveries(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE live").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE live.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  Lateness lateness;
  const std::string& token = environment->root_token();
  Crowd crowd(
      *environment,
      {.insert =
           [&](int64_t number) {
             lateness.NoteSent();
             return Statement{token, "INSERT INTO live.news (id, body) VALUES ($1, $2)",
                              fmt::format("[{},\"some news for everybody who watches\"]", number)};
           },
       .received = [&](size_t, const auto& messages) { return lateness.NoteReceived(messages); }});
  const Subscription all{"all", "SELECT * FROM live.news"};
  for (int i = 0; i < kSockets; ++i) KALAM_RETURN_IF_ERROR(crowd.AddSocket(token, {&all, 1}));
  KALAM_RETURN_IF_ERROR(crowd.AddWriters(kWriters));
  std::vector<double> rates;
  for (int round = 0; round < kRounds; ++round) {
    KALAM_ASSIGN_OR_RETURN(const double rate, WriteAtFullSpeed(crowd, kFullSeconds));
    rates.push_back(rate);
  }
  report.Add(
      {"deliveries to 1,000 sockets", "/s", Median(rates), 200'000, true,
       fmt::format("one frame per change; {} writers; the receivers share the cores", kWriters)});
  lateness.Begin();
  KALAM_RETURN_IF_ERROR(WriteAtRate(crowd, kHalfRateInserts, kHalfSeconds));
  const std::vector<double>& latencies = lateness.milliseconds();
  report.Add({"INSERT to notification at 100,000/s, p99", "ms", Percentile(latencies, 99), 10,
              false, fmt::format("p50 {:.2f} ms", Percentile(latencies, 50))});
  return {};
}

}  // namespace kalam::bench
