// Benchmarks that grow: durable INSERTs and point reads by many clients, subscriptions by the
// thousand, one socket each.
#include <fmt/format.h>

#include <array>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kWaitMs = 60'000;
constexpr int kSubscriptionsPerSocket = 100;
constexpr int kStatementsEach = 10;
constexpr int kSeedRows = 10'000, kSeedRowsEach = 500;
// What a process keeps open beside the sockets, the server's share included.
constexpr int kOtherFiles = 1100;

/// Ten statements by each of `clients` clients; `statement` makes the n-th of all.
Benchmark ByClients(const std::string& name, std::string shape, int clients, int seed_inserts,
                    std::function<std::string(const std::string& table, int n)> statement) {
  const int count = std::max(100, clients * kStatementsEach);
  Benchmark benchmark;
  benchmark.name = fmt::format("{}_{}", name, clients);
  benchmark.category = "scale";
  benchmark.shape = fmt::format("{} {} by {} clients", count, shape, clients);
  benchmark.iterations = 20;
  const std::string table = benchmark.name;
  benchmark.set_up = [=](Peer& peer) {
    return SeedTable(peer, table, "body TEXT", "id, body", seed_inserts, kSeedRowsEach, MessageRow);
  };
  benchmark.run = [=](Peer& peer, int i) -> Status {
    std::vector<std::string> statements;
    for (int n = 0; n < count; ++n)
      statements.push_back(statement(peer.Table(table), i * count + n));
    KALAM_ASSIGN_OR_RETURN(const int failures, peer.Pipeline(statements, clients));
    if (failures > 0) return Status(ErrorKind::Execution, fmt::format("{} failed", failures));
    return {};
  };
  benchmark.tear_down = [=](Peer& peer) { return DropTable(peer, table); };
  return benchmark;
}

std::string InsertOne(const std::string& table, int n) {
  return InsertRows(table, "id, body", n, 1, MessageRow);
}

std::string SelectOne(const std::string& table, int n) {
  return fmt::format("SELECT * FROM {} WHERE id = {}", table, n * 997LL % kSeedRows);
}

struct Subscriber {
  load::WebSocketClient socket;
  int subscriptions = 0;
};

/// Subscribes `count` times, at most `per_socket` on each new socket; every one must be
/// acknowledged.
Status OpenSubscriptions(Peer& peer, const std::string& table, int count, int per_socket,
                         std::vector<Subscriber>* subscribers) {
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
    subscribers->push_back({std::move(socket), batch});
  }
  return {};
}

/// Inserts one row and fails unless every subscription is told exactly once.
Status Deliver(Peer& peer, const std::string& table, int id, std::vector<Subscriber>& subscribers) {
  KALAM_RETURN_IF_ERROR(peer.Sql(InsertOne(table, id)).status());
  int arrived = 0, expected = 0;
  for (Subscriber& subscriber : subscribers) {
    expected += subscriber.subscriptions;
    for (int n = 0; n < subscriber.subscriptions; ++n) {
      Result<std::string> message = subscriber.socket.Receive(kWaitMs);
      if (!message.ok())
        return Status(ErrorKind::Execution, fmt::format("only {} changes arrived: {}", arrived,
                                                        message.status().ToString()));
      if (message->find("\"change\"") != std::string::npos) ++arrived;
    }
  }
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
    load::RaiseFileLimit();
    KALAM_RETURN_IF_ERROR(DropTable(peer, name));
    return peer
        .Sql(fmt::format("CREATE {} TABLE {} (id INT PRIMARY KEY, body TEXT)",
                         user_table ? "USER" : "SHARED", peer.Table(name)))
        .status();
  };
  benchmark.run = [name, tiers, per_socket](Peer& peer, int iteration) -> Status {
    std::vector<Subscriber> subscribers;
    int open = 0;
    peer.Note("before: " + ToText(peer.MeasureMemory()));
    const int sockets_max = static_cast<int>(load::RaiseFileLimit()) - kOtherFiles;
    for (size_t tier = 0; tier < tiers.size(); ++tier) {
      if (iteration >= kFirstWarmUp && tier > 0) break;  // a warm-up need not go all the way
      const int wanted = std::min(tiers[tier], sockets_max * per_socket);
      if (wanted < tiers[tier]) {
        peer.Note(fmt::format("{} are out of reach of this machine: a process may open {} files",
                              tiers[tier], sockets_max + kOtherFiles));
      }
      if (wanted <= open) break;
      KALAM_RETURN_IF_ERROR(
          OpenSubscriptions(peer, peer.Table(name), wanted - open, per_socket, &subscribers));
      open = wanted;
      KALAM_RETURN_IF_ERROR(
          Deliver(peer, peer.Table(name), iteration * 100 + static_cast<int>(tier), subscribers));
      peer.Note(fmt::format("{} open, one change delivered to each: {}", open,
                            ToText(peer.MeasureMemory())));
    }
    return {};
  };
  benchmark.tear_down = [name](Peer& peer) { return DropTable(peer, name); };
  return benchmark;
}

}  // namespace

void AddScaleBenchmarks(std::vector<Benchmark>* benchmarks) {
  for (const int clients : {1, 16, 64, 256}) {
    benchmarks->push_back(ByClients("durable_insert", "INSERTs of one row", clients, 0, InsertOne));
    benchmarks->push_back(ByClients("point_read", "SELECTs by key of 10,000 rows", clients,
                                    kSeedRows / kSeedRowsEach, SelectOne));
  }
  benchmarks->push_back(Scale(
      "subscriber_scale",
      "10 to 100,000 subscriptions, 100 a socket; each step delivers one change to all", true,
      {10, 100, 500, 1000, 2000, 5000, 10'000, 25'000, 50'000, 100'000}, kSubscriptionsPerSocket));
  benchmarks->push_back(
      Scale("connection_scale",
            "1,000 to 20,000 sockets (as the machine's limit of files allows) with one "
            "subscription; each step delivers one change to all",
            false, {1000, 5000, 10'000, 20'000}, 1));
}

}  // namespace kalam::bench
