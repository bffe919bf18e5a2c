// Benchmarks that grow: durable INSERTs by many clients, subscriptions by the thousand, one socket
// each.
#include <fmt/format.h>
#include <sys/resource.h>

#include <array>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kWaitMs = 60'000;
constexpr int kSubscriptionsPerSocket = 100;

std::string Row(int id) { return fmt::format("({}, 'message {}')", id, id); }

void AddDurableInserts(std::vector<Benchmark>* benchmarks, int clients) {
  const std::string name = fmt::format("durable_insert_{}", clients);
  const int inserts = std::max(100, clients * 10);
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "scale";
  benchmark.shape = fmt::format("{} INSERTs of one row by {} clients", inserts, clients);
  benchmark.iterations = 20;
  benchmark.set_up = [name](Peer& peer) {
    return SeedTable(peer, name, "body TEXT", "id, body", 0, 0, {});
  };
  benchmark.run = [name, clients, inserts](Peer& peer, int i) -> Status {
    std::vector<std::string> statements;
    for (int n = 0; n < inserts; ++n)
      statements.push_back(InsertRows(peer.Table(name), "id, body", i * inserts + n, 1, Row));
    KALAM_ASSIGN_OR_RETURN(const int failures, peer.Pipeline(statements, clients));
    if (failures > 0) return Status(ErrorKind::Execution, fmt::format("{} failed", failures));
    return {};
  };
  benchmark.tear_down = [name](Peer& peer) { return DropTable(peer, name); };
  benchmarks->push_back(std::move(benchmark));
}

/// Subscribes `count` times, `per_socket` on each new socket; every one must be acknowledged.
Status OpenSubscriptions(Peer& peer, const std::string& table, int count, int per_socket,
                         std::vector<load::WebSocketClient>* sockets) {
  for (int done = 0; done < count; done += per_socket) {
    KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket, peer.OpenSocket());
    const int batch = std::min(per_socket, count - done);
    for (int n = 0; n < batch; ++n) {
      KALAM_RETURN_IF_ERROR(socket.Subscribe(fmt::format("subscription-{:012}", done + n),
                                             "SELECT * FROM " + table, ""));
    }
    for (int n = 0; n < batch; ++n) {
      KALAM_ASSIGN_OR_RETURN(const std::string message, socket.Receive(kWaitMs));
      if (message.find("subscription_ack") == std::string::npos)
        return Status(ErrorKind::Execution,
                      fmt::format("after {} subscriptions: {}", done + n, message.substr(0, 200)));
    }
    sockets->push_back(std::move(socket));
  }
  return {};
}

/// Inserts one row and fails unless every subscription is told exactly once.
Status Deliver(Peer& peer, const std::string& table, int id, int per_socket,
               std::vector<load::WebSocketClient>& sockets) {
  KALAM_RETURN_IF_ERROR(peer.Sql(InsertRows(table, "id, body", id, 1, Row)).status());
  int arrived = 0;
  for (load::WebSocketClient& socket : sockets) {
    for (int n = 0; n < per_socket; ++n) {
      Result<std::string> message = socket.Receive(kWaitMs);
      if (!message.ok())
        return Status(ErrorKind::Execution, fmt::format("only {} changes arrived: {}", arrived,
                                                        message.status().ToString()));
      if (message->find("\"change\"") != std::string::npos) ++arrived;
    }
  }
  const int expected = static_cast<int>(sockets.size()) * per_socket;
  if (arrived == expected) return {};
  return Status(ErrorKind::Execution, fmt::format("{} of {} changes arrived", arrived, expected));
}

Benchmark Scale(std::string name, std::string shape, bool user_table, std::vector<int> tiers,
                int per_socket) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "scale";
  benchmark.shape = std::move(shape);
  benchmark.iterations = 1;
  benchmark.opt_in = true;
  benchmark.set_up = [name, user_table](Peer& peer) -> Status {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    KALAM_RETURN_IF_ERROR(DropTable(peer, name));
    return peer
        .Sql(fmt::format("CREATE {} TABLE {} (id INT PRIMARY KEY, body TEXT)",
                         user_table ? "USER" : "SHARED", peer.Table(name)))
        .status();
  };
  benchmark.run = [name, tiers, per_socket](Peer& peer, int iteration) -> Status {
    std::vector<load::WebSocketClient> sockets;
    int open = 0;
    for (size_t tier = 0; tier < tiers.size(); ++tier) {
      if (iteration >= kFirstWarmUp && tier > 0) break;  // a warm-up need not go all the way
      KALAM_RETURN_IF_ERROR(OpenSubscriptions(peer, peer.Table(name), tiers[tier] - open,
                                              std::min(per_socket, tiers[tier]), &sockets));
      open = tiers[tier];
      KALAM_RETURN_IF_ERROR(Deliver(peer, peer.Table(name),
                                    iteration * 100 + static_cast<int>(tier), per_socket, sockets));
    }
    return {};
  };
  benchmark.tear_down = [name](Peer& peer) { return DropTable(peer, name); };
  return benchmark;
}

}  // namespace

void AddScaleBenchmarks(std::vector<Benchmark>* benchmarks) {
  for (const int clients : {1, 16, 64, 256}) AddDurableInserts(benchmarks, clients);
  benchmarks->push_back(
      Scale("subscriber_scale",
            "100 to 10,000 subscriptions, 100 a socket; each step delivers one change to all", true,
            {100, 500, 1000, 2000, 5000, 10'000}, kSubscriptionsPerSocket));
  benchmarks->push_back(
      Scale("connection_scale",
            "1,000 to 10,000 sockets with one subscription; each step delivers one change to all",
            false, {1000, 5000, 10'000}, 1));
}

}  // namespace kalam::bench
