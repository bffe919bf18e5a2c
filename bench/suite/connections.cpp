// Private memory of idle authenticated WebSockets and of further subscriptions on them.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kConnections = 5000;
constexpr int kSubscriptions = 50'000;  // further ones, ten on each connection
constexpr int kWaitMs = 20'000;

int64_t SettledPrivateBytes(Environment& environment) {
  sync();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  return environment.server().memory().private_bytes;
}

Status Subscribe(load::WebSocketClient& socket, int number) {
  // 25-byte ids and a constant that no other subscription has.
  KALAM_RETURN_IF_ERROR(
      socket.Subscribe(fmt::format("subscription-{:012}", number),
                       fmt::format("SELECT * FROM scale.rooms WHERE room = {}", number), ""));
  KALAM_ASSIGN_OR_RETURN(const std::string message, socket.Receive(kWaitMs));
  if (message.find("subscription_ack") == std::string::npos)
    return Status(ErrorKind::Execution, message);
  return {};
}

}  // namespace

Status RunConnections(const SuiteOptions& options, Report& report) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE scale").status());
  KALAM_RETURN_IF_ERROR(
      environment
          ->Admin("CREATE SHARED TABLE scale.rooms (id BIGINT PRIMARY KEY, room BIGINT, body TEXT)")
          .status());
  std::vector<load::WebSocketClient> sockets;
  const auto open_one = [&](int number) {
    Result<load::WebSocketClient> socket =
        load::WebSocketClient::Open(environment->port(), environment->root_token());
    if (!socket.ok()) return std::move(socket).status();
    sockets.push_back(std::move(*socket));
    return Subscribe(sockets.back(), number);
  };
  // The first hundred pay for what all share.
  for (int i = 0; i < 100; ++i) KALAM_RETURN_IF_ERROR(open_one(i));
  const int64_t kernel_before = load::KernelTcpBytes();
  const int64_t before = SettledPrivateBytes(*environment);
  for (int i = 0; i < kConnections; ++i) KALAM_RETURN_IF_ERROR(open_one(100 + i));
  const int64_t connected = SettledPrivateBytes(*environment);
  const int64_t kernel_after = load::KernelTcpBytes();
  report.Add({"idle WebSocket with one subscription", "B",
              static_cast<double>(connected - before) / kConnections, 4096, false,
              fmt::format("{} connections; kernel sockets +{} KB", kConnections,
                          (kernel_after - kernel_before) / 1024)});
  for (int i = 0; i < kSubscriptions; ++i) {
    KALAM_RETURN_IF_ERROR(Subscribe(sockets[static_cast<size_t>(i % kConnections)], 1'000'000 + i));
  }
  const int64_t subscribed = SettledPrivateBytes(*environment);
  report.Add({"further subscription", "B",
              static_cast<double>(subscribed - connected) / kSubscriptions, 400, false,
              fmt::format("{} subscriptions", kSubscriptions)});
  return {};
}

}  // namespace kalam::bench
