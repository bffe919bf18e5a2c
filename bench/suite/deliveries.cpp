// How many notifications a second reach a thousand sockets, and how late they are at half of a
// fixed load.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <array>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kSockets = 1000;
constexpr int kWriters = 4;
constexpr double kFullSeconds = 5;
constexpr int kHalfRateInserts = 100;  // a second: 100,000 deliveries
constexpr int kHalfSeconds = 5;
constexpr int kWaitMs = 20'000;
// When the next thing to do is up to an answer.
constexpr int64_t kBusyWaitNs = 10'000'000;

/// A thousand sockets with one subscription each on one shared table, and writers beside them.
class Crowd {
 public:
  explicit Crowd(Environment& environment)
      : environment_(environment), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Status Open() {
    for (int i = 0; i < kSockets; ++i) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Open(environment_.port(), environment_.root_token()));
      KALAM_RETURN_IF_ERROR(socket.Subscribe("all", "SELECT * FROM live.news", ""));
      KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
      if (answer.find("subscription_ack") == std::string::npos)
        return Status(ErrorKind::Execution, answer);
      Watch(socket.socket().fd(), static_cast<uint32_t>(i));
      sockets_.push_back(std::move(socket));
    }
    for (int i = 0; i < kWriters; ++i) {
      KALAM_ASSIGN_OR_RETURN(load::HttpClient client,
                             load::HttpClient::Connect(environment_.port()));
      Watch(client.socket().fd(), static_cast<uint32_t>(kSockets + i));
      writers_.push_back({std::move(client), {}, false});
    }
    return {};
  }

  /// Writes as fast as the answers come, for `seconds`; deliveries a second.
  Result<double> FullSpeed(double seconds) {
    const int64_t begin_ns = load::SteadyNs();
    const int64_t end_ns = begin_ns + static_cast<int64_t>(seconds * 1e9);
    delivered_ = 0;
    const int64_t first = sent_;
    // Whoever receives shares the two cores: writing stops while more than a second's worth is
    // under way, so that the figure is deliveries and not a backlog.
    while (load::SteadyNs() < end_ns) {
      for (size_t i = 0; i < writers_.size(); ++i) {
        if (!writers_[i].busy && (sent_ - first) * kSockets - delivered_ < 50 * kSockets)
          KALAM_RETURN_IF_ERROR(SendOne(i));
      }
      KALAM_RETURN_IF_ERROR(TakeEvents(kBusyWaitNs));
    }
    const double rate =
        static_cast<double>(delivered_) * 1e9 / static_cast<double>(load::SteadyNs() - begin_ns);
    KALAM_RETURN_IF_ERROR(Drain(first));
    return rate;
  }

  /// Milliseconds from sending an INSERT to each receipt, at a steady rate.
  Result<std::vector<double>> Steady(int inserts_per_second, int seconds) {
    latencies_.clear();
    measure_ = true;
    const int64_t begin_ns = load::SteadyNs();
    const int64_t first = sent_;
    delivered_ = 0;
    const int64_t total = int64_t{inserts_per_second} * seconds;
    while (sent_ - first < total) {
      const int64_t due_ns = begin_ns + (sent_ - first) * 1'000'000'000 / inserts_per_second;
      const size_t writer = static_cast<size_t>(sent_) % writers_.size();
      int64_t wait_ns = due_ns - load::SteadyNs();
      if (wait_ns <= 0 && !writers_[writer].busy) {
        KALAM_RETURN_IF_ERROR(SendOne(writer));
        wait_ns = 0;
      }
      // Not in a busy loop: whoever receives has a core only while there is something to receive.
      KALAM_RETURN_IF_ERROR(TakeEvents(wait_ns < 0 ? kBusyWaitNs : wait_ns));
    }
    KALAM_RETURN_IF_ERROR(Drain(first));
    measure_ = false;
    return latencies_;
  }

 private:
  struct Writer {
    load::HttpClient client;
    std::string buffer;
    bool busy;
  };

  void Watch(int fd, uint32_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = tag;
    epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, fd, &event);
  }

  Status SendOne(size_t writer) {
    writers_[writer].busy = true;
    sent_ns_.push_back(load::SteadyNs());
    return writers_[writer].client.socket().SendAll(
        load::MakeSql(environment_.root_token(), "INSERT INTO live.news (id, body) VALUES ($1, $2)",
                      fmt::format("[{},\"some news for everybody who watches\"]", sent_++)));
  }

  Status TakeEvents(int64_t wait_ns) {
    std::array<epoll_event, 512> events{};
    const timespec wait{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
    const int ready =
        epoll_pwait2(poller_.fd(), events.data(), static_cast<int>(events.size()), &wait, nullptr);
    for (int e = 0; e < ready; ++e) {
      const size_t index = events[static_cast<size_t>(e)].data.u32;
      if (index >= static_cast<size_t>(kSockets)) {
        Writer& writer = writers_[index - kSockets];
        KALAM_RETURN_IF_ERROR(writer.client.socket().Receive(&writer.buffer, -1));
        load::HttpResponse response;
        if (!load::TakeResponse(&writer.buffer, &response)) continue;
        if (response.status != 200)
          return Status(ErrorKind::Execution, response.body.substr(0, 300));
        writer.busy = false;
        continue;
      }
      messages_.clear();
      KALAM_RETURN_IF_ERROR(sockets_[index].ReadAvailable(&messages_));
      delivered_ += static_cast<int64_t>(messages_.size());
      if (!measure_) continue;
      const int64_t now_ns = load::SteadyNs();
      for (const std::string& message : messages_) {
        const size_t rows = message.find("\"rows\"");
        const auto id = load::FieldText(std::string_view(message).substr(rows), "id");
        const int64_t sent = sent_ns_[static_cast<size_t>(std::stoll(std::string(*id)))];
        latencies_.push_back(static_cast<double>(now_ns - sent) / 1e6);
      }
    }
    return {};
  }

  Status Drain(int64_t first) {
    const int64_t until_ns = load::SteadyNs() + int64_t{kWaitMs} * 1'000'000;
    const int64_t expected = (sent_ - first) * kSockets;
    while (delivered_ < expected && load::SteadyNs() < until_ns)
      KALAM_RETURN_IF_ERROR(TakeEvents(kBusyWaitNs));
    if (delivered_ == expected) return {};
    return Status(ErrorKind::Execution,
                  fmt::format("{} of {} notifications arrived", delivered_, expected));
  }

  Environment& environment_;
  load::Socket poller_;
  std::vector<load::WebSocketClient> sockets_;
  std::vector<Writer> writers_;
  std::vector<int64_t> sent_ns_;  // by id
  std::vector<std::string> messages_;
  std::vector<double> latencies_;
  bool measure_ = false;
  int64_t sent_ = 0, delivered_ = 0;
};

}  // namespace

Status RunDeliveries(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE live").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE live.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  Crowd crowd(*environment);
  KALAM_RETURN_IF_ERROR(crowd.Open());
  std::vector<double> rates;
  for (int round = 0; round < kRounds; ++round) {
    KALAM_ASSIGN_OR_RETURN(const double rate, crowd.FullSpeed(kFullSeconds));
    rates.push_back(rate);
  }
  report.Add(
      {"deliveries to 1,000 sockets", "/s", Median(rates), 200'000, true,
       fmt::format("one frame per change; {} writers; the receivers share the cores", kWriters)});
  KALAM_ASSIGN_OR_RETURN(const std::vector<double> latencies,
                         crowd.Steady(kHalfRateInserts, kHalfSeconds));
  report.Add({"INSERT to notification at 100,000/s, p99", "ms", Percentile(latencies, 99), 10,
              false, fmt::format("p50 {:.2f} ms", Percentile(latencies, 50))});
  return {};
}

}  // namespace kalam::bench
