// From sending an INSERT to receiving its notification, at one subscriber and at up to ten
// thousand.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <array>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kInserts = 1000;
// Served in this time for each socket: the thread that receives shares the cores.
constexpr double kFanOutMillisecondsEach = 0.03;
constexpr int kFanOuts = 20;
constexpr int kWaitMs = 20'000;

Status WaitFor(load::WebSocketClient& socket, std::string_view type) {
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const std::string message, socket.Receive(kWaitMs));
    if (message.find(type) != std::string::npos) return {};
    if (message.find("\"type\":\"error\"") != std::string::npos)
      return Status(ErrorKind::Execution, message);
  }
}

Status OneSubscriber(Environment& environment, Report& report) {
  KALAM_ASSIGN_OR_RETURN(const std::string token, environment.AddUser("watcher"));
  KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                         load::WebSocketClient::Open(environment.port(), token));
  KALAM_RETURN_IF_ERROR(socket.Subscribe("own", "SELECT * FROM live.messages", ""));
  KALAM_RETURN_IF_ERROR(WaitFor(socket, "subscription_ack"));
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment.port()));
  std::vector<double> p50, p99, syncs;
  int id = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double sync_us = Median(SyncLatenciesUs(environment.directory(), 500));
    std::vector<double> latencies;
    for (int i = 0; i < kInserts; ++i) {
      const std::string request =
          load::MakeSql(token, "INSERT INTO live.messages (id, body) VALUES ($1, $2)",
                        fmt::format("[{},\"hello\"]", ++id));
      const int64_t begin_ns = load::SteadyNs();
      KALAM_RETURN_IF_ERROR(client.socket().SendAll(request));
      KALAM_RETURN_IF_ERROR(WaitFor(socket, "\"change\""));
      latencies.push_back(static_cast<double>(load::SteadyNs() - begin_ns) / 1000.0 - sync_us);
      KALAM_RETURN_IF_ERROR(client.SendOk({}).status());  // takes the answer that is on its way
    }
    p50.push_back(Percentile(latencies, 50) / 1000.0);
    p99.push_back(Percentile(latencies, 99) / 1000.0);
    syncs.push_back(sync_us);
  }
  const std::string note = fmt::format("fsync {:.1f} us taken off", Median(syncs));
  report.Add({"INSERT to notification, p50", "ms", Median(p50), 0.15, false, note});
  report.Add({"INSERT to notification, p99", "ms", Median(p99), 2, false, note});
  return {};
}

Status FanOut(Environment& environment, int subscribers, Report& report) {
  std::vector<load::WebSocketClient> sockets;
  const load::Socket poller(epoll_create1(EPOLL_CLOEXEC));
  for (int i = 0; i < subscribers; ++i) {
    KALAM_ASSIGN_OR_RETURN(
        load::WebSocketClient socket,
        load::WebSocketClient::Open(environment.port(), environment.root_token()));
    KALAM_RETURN_IF_ERROR(socket.Subscribe("all", "SELECT * FROM live.news", ""));
    KALAM_RETURN_IF_ERROR(WaitFor(socket, "subscription_ack"));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(sockets.size());
    epoll_ctl(poller.fd(), EPOLL_CTL_ADD, socket.socket().fd(), &event);
    sockets.push_back(std::move(socket));
  }
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment.port()));
  std::vector<double> milliseconds;
  std::array<epoll_event, 256> events{};
  std::vector<std::string> messages;
  for (int change = 0; change < kFanOuts; ++change) {
    const std::string request =
        load::MakeSql(environment.root_token(), "INSERT INTO live.news (id, body) VALUES ($1, $2)",
                      fmt::format("[{},\"news\"]", subscribers + change));
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(client.socket().SendAll(request));
    int received = 0;
    while (received < subscribers) {
      const int ready =
          epoll_wait(poller.fd(), events.data(), static_cast<int>(events.size()), kWaitMs);
      if (ready == 0)
        return Status(ErrorKind::Timeout,
                      fmt::format("only {} of {} notified", received, subscribers));
      for (int e = 0; e < ready; ++e) {
        messages.clear();
        KALAM_RETURN_IF_ERROR(
            sockets[events[static_cast<size_t>(e)].data.u32].ReadAvailable(&messages));
        received += static_cast<int>(messages.size());
      }
    }
    milliseconds.push_back(static_cast<double>(load::SteadyNs() - begin_ns) / 1e6);
    KALAM_RETURN_IF_ERROR(client.SendOk({}).status());
  }
  report.Add({fmt::format("one change to {} sockets, all served", subscribers), "ms",
              Median(milliseconds), subscribers * kFanOutMillisecondsEach, false,
              fmt::format("worst of {}: {:.1f} ms", kFanOuts, Percentile(milliseconds, 100))});
  return {};
}

}  // namespace

Status RunNotifications(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE live").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE USER TABLE live.messages (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE live.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  KALAM_RETURN_IF_ERROR(OneSubscriber(*environment, report));
  KALAM_RETURN_IF_ERROR(FanOut(*environment, 1'000, report));
  return FanOut(*environment, 10'000, report);
}

}  // namespace kalam::bench
