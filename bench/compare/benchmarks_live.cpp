// Benchmarks of live queries: initial rows, change to notification, reconnect, fan-out, topics.
#include <fmt/format.h>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kWaitMs = 30'000;
constexpr int kLanes = 10;
constexpr char kId[] = "bench-subscription";

Status CreateUserTable(Peer& peer, const std::string& name, int rows) {
  KALAM_RETURN_IF_ERROR(DropTable(peer, name));
  const std::string table = peer.Table(name);
  KALAM_RETURN_IF_ERROR(
      peer.Sql(fmt::format("CREATE USER TABLE {} (id INT PRIMARY KEY, body TEXT)", table))
          .status());
  for (int first = 0; first < rows; first += 50)
    KALAM_RETURN_IF_ERROR(peer.Sql(InsertRows(table, "id, body", first, 50, MessageRow)).status());
  return {};
}

/// The next message of `type`; an error message of the server is an error.
Result<std::string> Await(load::WebSocketClient& socket, std::string_view type) {
  const std::string wanted = "\"type\":\"" + std::string(type) + "\"";
  while (true) {
    KALAM_ASSIGN_OR_RETURN(std::string message, socket.Receive(kWaitMs));
    if (message.find(wanted) != std::string::npos) return message;
    if (message.find("\"type\":\"error\"") != std::string::npos)
      return Status(ErrorKind::Execution, message.substr(0, 300));
  }
}

int CountRows(std::string_view message) {
  int rows = 0;
  for (size_t at = 0; (at = message.find("\"_seq\":", at)) != std::string_view::npos; ++at) ++rows;
  return rows;
}

Status SubscribeFromNow(load::WebSocketClient& socket, const std::string& table) {
  KALAM_RETURN_IF_ERROR(socket.Subscribe(kId, "SELECT * FROM " + table, ""));
  return Await(socket, "subscription_ack").status();
}

/// Subscribes with all rows and takes batch after batch; fails unless there were `expected`.
Status SubscribeAndDrain(load::WebSocketClient& socket, const std::string& table, int expected) {
  KALAM_RETURN_IF_ERROR(socket.Subscribe(kId, "SELECT * FROM " + table, "{\"batch_size\":1000}"));
  int rows = 0;
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const std::string batch, Await(socket, "initial_data_batch"));
    rows += CountRows(batch);
    if (batch.find("\"has_more\":true") == std::string::npos) break;
    const auto last = load::FieldText(batch, "last_seq_id");
    KALAM_RETURN_IF_ERROR(socket.Send(
        fmt::format("{{\"type\":\"next_batch\",\"subscription_id\":\"{}\",\"last_seq_id\":{}}}",
                    kId, last.value_or("null"))));
  }
  if (rows == expected) return {};
  return Status(ErrorKind::Execution, fmt::format("{} of {} rows arrived", rows, expected));
}

Benchmark Live(std::string name, std::string shape, int rows,
               std::function<Status(Peer&, const std::string& table, int)> run) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "live";
  benchmark.shape = std::move(shape);
  benchmark.set_up = [=](Peer& peer) { return CreateUserTable(peer, name, rows); };
  benchmark.run = [=](Peer& peer, int i) { return run(peer, peer.Table(name), i); };
  benchmark.tear_down = [=](Peer& peer) { return DropTable(peer, name); };
  return benchmark;
}

Status TenSubscribers(Peer& peer, const std::string& table, int i) {
  std::vector<load::WebSocketClient> sockets;
  for (int lane = 0; lane < kLanes; ++lane) {
    KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket, peer.OpenSocket());
    KALAM_RETURN_IF_ERROR(SubscribeFromNow(socket, table));
    sockets.push_back(std::move(socket));
  }
  std::vector<std::string> inserts;
  for (int lane = 0; lane < kLanes; ++lane)
    inserts.push_back(InsertRows(table, "id, body", i * kLanes + lane, 1, MessageRow));
  KALAM_RETURN_IF_ERROR(peer.Parallel(inserts));
  for (load::WebSocketClient& socket : sockets) {
    for (int lane = 0; lane < kLanes; ++lane)
      KALAM_RETURN_IF_ERROR(Await(socket, "change").status());
  }
  return {};
}

void AddTopics(std::vector<Benchmark>* benchmarks) {
  Benchmark publishers;
  publishers.name = "concurrent_publishers";
  publishers.category = "topics";
  publishers.shape = "10 INSERTs at once into a table that feeds a topic";
  publishers.set_up = [](Peer& peer) -> Status {
    KALAM_RETURN_IF_ERROR(SeedTable(peer, "published", "body TEXT", "id, body", 0, 0, {}));
    KALAM_RETURN_IF_ERROR(peer.Sql("CREATE TOPIC " + peer.Table("feed")).status());
    return peer
        .Sql(fmt::format("ALTER TOPIC {} ADD SOURCE {} ON INSERT", peer.Table("feed"),
                         peer.Table("published")))
        .status();
  };
  publishers.run = [](Peer& peer, int i) {
    std::vector<std::string> inserts;
    for (int lane = 0; lane < kLanes; ++lane)
      inserts.push_back(
          InsertRows(peer.Table("published"), "id, body", i * kLanes + lane, 1, MessageRow));
    return peer.Parallel(inserts);
  };
  publishers.tear_down = [](Peer& peer) { return DropTable(peer, "published"); };
  benchmarks->push_back(std::move(publishers));

  Benchmark consumers;
  consumers.name = "concurrent_consumers";
  consumers.category = "topics";
  consumers.shape = "10 new groups at once take up to 50 messages from the earliest on";
  consumers.set_up = [](Peer& peer) -> Status {
    KALAM_RETURN_IF_ERROR(SeedTable(peer, "consumed", "body TEXT", "id, body", 0, 0, {}));
    KALAM_RETURN_IF_ERROR(peer.Sql("CREATE TOPIC " + peer.Table("queue")).status());
    KALAM_RETURN_IF_ERROR(peer.Sql(fmt::format("ALTER TOPIC {} ADD SOURCE {} ON INSERT",
                                               peer.Table("queue"), peer.Table("consumed")))
                              .status());
    for (int first = 0; first < 200; first += 50)
      KALAM_RETURN_IF_ERROR(
          peer.Sql(InsertRows(peer.Table("consumed"), "id, body", first, 50, MessageRow)).status());
    return {};
  };
  consumers.run = [](Peer& peer, int i) {
    std::vector<std::string> consumes;
    for (int lane = 0; lane < kLanes; ++lane)
      consumes.push_back(fmt::format("CONSUME FROM {} GROUP 'g_{}_{}' FROM EARLIEST LIMIT 50",
                                     peer.Table("queue"), i, lane));
    return peer.Parallel(consumes);
  };
  consumers.tear_down = [](Peer& peer) { return DropTable(peer, "consumed"); };
  benchmarks->push_back(std::move(consumers));
}

}  // namespace

void AddLiveBenchmarks(std::vector<Benchmark>* benchmarks) {
  benchmarks->push_back(Live("subscribe_initial_load", "connect, subscribe, take 1,000 rows", 1000,
                             [](Peer& peer, const std::string& table, int) -> Status {
                               KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                                                      peer.OpenSocket());
                               return SubscribeAndDrain(socket, table, 1000);
                             }));
  benchmarks->push_back(Live(
      "subscribe_change_latency", "connect, subscribe, INSERT, wait for the change; no sleeps", 0,
      [](Peer& peer, const std::string& table, int i) -> Status {
        KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket, peer.OpenSocket());
        KALAM_RETURN_IF_ERROR(SubscribeFromNow(socket, table));
        KALAM_RETURN_IF_ERROR(peer.Sql(InsertRows(table, "id, body", i, 1, MessageRow)).status());
        return Await(socket, "change").status();
      }));
  benchmarks->push_back(
      Live("reconnect_subscribe", "connect, subscribe, take 100 rows, close, and all of it again",
           100, [](Peer& peer, const std::string& table, int) -> Status {
             for (int time = 0; time < 2; ++time) {
               KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket, peer.OpenSocket());
               KALAM_RETURN_IF_ERROR(SubscribeAndDrain(socket, table, 100));
             }
             return {};
           }));
  Benchmark subscribers =
      Live("concurrent_subscribers",
           "10 subscribers, 10 INSERTs at once, until all 100 changes arrived", 0, TenSubscribers);
  subscribers.iterations = 50;
  benchmarks->push_back(std::move(subscribers));
  AddTopics(benchmarks);
}

}  // namespace kalam::bench
