// Private memory of idle authenticated WebSockets and of further subscriptions on them, at a size
// where a cost that grows would show.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kFirst = 100;              // they pay for what all share
constexpr int kConnections = 20'000;     // or as many as the limit of open files permits
constexpr int kReservedFiles = 1000;     // of the server, for the database
constexpr int kSubscriptions = 180'000;  // further ones, about nine on each connection
constexpr int kQuarters = 4;
constexpr int kWaitMs = 20'000;
constexpr int64_t kPingEveryNs = 20'000'000'000;

/// Connections that stay open, a subscription each and then more.
class Crowd {
 public:
  explicit Crowd(Environment& environment) : environment_(environment) {}

  Status Connect(int count) {
    while (static_cast<int>(sockets_.size()) < count) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Open(environment_.port(), environment_.root_token()));
      sockets_.push_back(std::move(socket));
      KALAM_RETURN_IF_ERROR(SubscribeNext(sockets_.back()));
    }
    return {};
  }

  /// So many further ones in all, spread over all connections.
  Status Subscribe(int count) {
    while (further_ < count) {
      KALAM_RETURN_IF_ERROR(
          SubscribeNext(sockets_[static_cast<size_t>(further_++) % sockets_.size()]));
    }
    return {};
  }

 private:
  // 25-byte ids and a constant that no other subscription has.
  Status SubscribeNext(load::WebSocketClient& socket) {
    const int number = next_++;
    KALAM_RETURN_IF_ERROR(
        socket.Subscribe(fmt::format("subscription-{:012}", number),
                         fmt::format("SELECT * FROM scale.rooms WHERE room = {}", number), ""));
    KALAM_ASSIGN_OR_RETURN(const std::string message, socket.Receive(kWaitMs));
    if (message.find("subscription_ack") == std::string::npos)
      return Status(ErrorKind::Execution, message);
    // Whoever came first must not fall silent for longer than the server allows.
    if (load::SteadyNs() < pinged_ns_ + kPingEveryNs) return {};
    pinged_ns_ = load::SteadyNs();
    for (load::WebSocketClient& open : sockets_)
      KALAM_RETURN_IF_ERROR(open.Send("{\"type\":\"ping\"}"));
    return {};
  }

  Environment& environment_;
  std::vector<load::WebSocketClient> sockets_;
  int next_ = 1'000'000;
  int further_ = 0;
  int64_t pinged_ns_ = load::SteadyNs();
};

int64_t SettledPrivateBytes(Environment& environment) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  return environment.server().memory().private_bytes;
}

/// Lets `grow` reach `count` in quarters; private bytes per item in each of them.
Result<std::vector<double>> BytesByQuarter(Environment& environment, int count,
                                           const std::function<Status(int)>& grow) {
  std::vector<double> each;
  int64_t before = SettledPrivateBytes(environment);
  for (int quarter = 1; quarter <= kQuarters; ++quarter) {
    KALAM_RETURN_IF_ERROR(grow(count * quarter / kQuarters));
    const int64_t after = SettledPrivateBytes(environment);
    each.push_back(static_cast<double>(after - before) * kQuarters / count);
    before = after;
  }
  return each;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Status RunConnections(const SuiteOptions& options, Report& report) {
  const int connections =
      std::min(kConnections, static_cast<int>(load::RaiseFileLimit()) - kFirst - kReservedFiles);
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE scale").status());
  KALAM_RETURN_IF_ERROR(
      environment
          ->Admin("CREATE SHARED TABLE scale.rooms (id BIGINT PRIMARY KEY, room BIGINT, body TEXT)")
          .status());
  Crowd crowd(*environment);
  KALAM_RETURN_IF_ERROR(crowd.Connect(kFirst));
  const int64_t kernel_before = load::KernelTcpBytes();
  KALAM_ASSIGN_OR_RETURN(const auto per_connection,
                         BytesByQuarter(*environment, connections,
                                        [&](int count) { return crowd.Connect(kFirst + count); }));
  report.Add(
      {fmt::format("idle WebSocket with a subscription, of {}", connections), "B",
       Mean(per_connection), 1536, false,
       fmt::format("by quarters {:.0f}; kernel sockets +{} KB", fmt::join(per_connection, ", "),
                   (load::KernelTcpBytes() - kernel_before) / 1024)});
  KALAM_ASSIGN_OR_RETURN(const auto per_subscription,
                         BytesByQuarter(*environment, kSubscriptions,
                                        [&](int count) { return crowd.Subscribe(count); }));
  report.Add({fmt::format("further subscription, of {}", kSubscriptions), "B",
              Mean(per_subscription), 250, false,
              fmt::format("by quarters {:.0f}", fmt::join(per_subscription, ", "))});
  return {};
}

}  // namespace kalam::bench
