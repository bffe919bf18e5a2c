// Five thousand clients that come back and resume at once, and how somebody else fares meanwhile.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kClients = 5000;
constexpr int kMissed = 5;  // changes that happened while they were away
constexpr int kWaitMs = 60'000;

/// A client on its way back: upgrade, authentication, subscription, the changes it missed.
struct Returning {
  load::WebSocketClient socket;
  bool upgraded = false;
  bool subscribed = false;
  int changes = 0;
};

class Storm {
 public:
  Storm(Environment& environment, std::string from)
      : environment_(environment), from_(std::move(from)), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  /// Everybody connects at once; returns the seconds until the last one has all that it missed.
  Result<double> Run() {
    const int64_t begin_ns = load::SteadyNs();
    for (int i = 0; i < kClients; ++i) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Begin(environment_.port(), environment_.root_token()));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = static_cast<uint32_t>(i);
      epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, socket.socket().fd(), &event);
      clients_.push_back({std::move(socket)});
    }
    std::array<epoll_event, 256> events{};
    while (complete_ < kClients) {
      const int ready =
          epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), kWaitMs);
      if (ready == 0)
        return Status(ErrorKind::Timeout, fmt::format("{} of {} came back", complete_, kClients));
      for (int e = 0; e < ready; ++e)
        KALAM_RETURN_IF_ERROR(Advance(clients_[events[static_cast<size_t>(e)].data.u32]));
    }
    return static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
  }

 private:
  Status Advance(Returning& client) {
    std::vector<std::string> messages;
    if (!client.upgraded) {
      KALAM_ASSIGN_OR_RETURN(client.upgraded, client.socket.FinishUpgrade());
      if (!client.upgraded) return {};
      KALAM_RETURN_IF_ERROR(client.socket.TakeBuffered(&messages));
    } else {
      KALAM_RETURN_IF_ERROR(client.socket.ReadAvailable(&messages));
    }
    for (const std::string& message : messages) {
      if (message.find("\"auth_success\"") != std::string::npos) {
        client.subscribed = true;
        KALAM_RETURN_IF_ERROR(client.socket.Subscribe("storm", "SELECT * FROM storm.news",
                                                      "{\"from\":" + from_ + "}"));
      } else if (message.find("\"type\":\"change\"") != std::string::npos) {
        if (++client.changes == kMissed) ++complete_;
      } else if (message.find("\"type\":\"error\"") != std::string::npos) {
        return Status(ErrorKind::Execution, message);
      }
    }
    return {};
  }

  Environment& environment_;
  const std::string from_;
  load::Socket poller_;
  std::vector<Returning> clients_;
  int complete_ = 0;
};

/// Asks for one row every few milliseconds until it is told to stop.
Status AskMeanwhile(int port, const std::string& token, const std::atomic<bool>& stop,
                    std::vector<double>* milliseconds) {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(port));
  const std::string request = load::MakeSql(token, "SELECT * FROM storm.news WHERE id = 1");
  while (!stop.load()) {
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(client.SendOk(request).status());
    milliseconds->push_back(static_cast<double>(load::SteadyNs() - begin_ns) / 1e6);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {};
}

}  // namespace

Status RunStorm(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE storm").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE storm.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("INSERT INTO storm.news (id, body) VALUES (1, 'before')").status());
  KALAM_ASSIGN_OR_RETURN(const std::string answer,
                         environment->Admin("SELECT _seq FROM storm.news WHERE id = 1"));
  const size_t rows = answer.find("\"rows\":[[\"");
  if (rows == std::string::npos) return Status(ErrorKind::Execution, answer);
  const std::string from = answer.substr(rows + 10, answer.find('"', rows + 10) - rows - 10);
  for (int i = 0; i < kMissed; ++i) {
    KALAM_RETURN_IF_ERROR(
        environment
            ->Admin(fmt::format("INSERT INTO storm.news (id, body) VALUES ({}, 'missed')", i + 2))
            .status());
  }
  std::vector<double> meanwhile;
  std::atomic<bool> stop{false};
  Status asked;
  Result<double> seconds = 0.0;
  {
    std::jthread other([&] {
      asked = AskMeanwhile(environment->port(), environment->root_token(), stop, &meanwhile);
    });
    seconds = Storm(*environment, from).Run();
    stop = true;
  }
  KALAM_RETURN_IF_ERROR(asked);
  if (!seconds.ok()) return seconds.status();
  report.Add({"5,000 clients come back and resume at once", "s", *seconds, 10, false,
              fmt::format("{} missed changes each", kMissed)});
  report.Add({"a SELECT by somebody else meanwhile, p99", "ms", Percentile(meanwhile, 99), 100,
              false,
              fmt::format("worst {:.1f} ms of {}", Percentile(meanwhile, 100), meanwhile.size())});
  return {};
}

}  // namespace kalam::bench
