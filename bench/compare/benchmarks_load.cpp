// Benchmarks under load: a notification among other writers, one change to a thousand sockets, and
// the first query of a server that has just been started.
#include <fmt/format.h>

#include <map>
#include <memory>

#include "compare/benchmark.h"

namespace kalam::bench {
namespace {

constexpr int kWaitMs = 60'000;
constexpr int kSeedRows = 10'000;
constexpr int kWriters = 63;
constexpr int kFirstWatched = 1'000'000'000;
constexpr int kSockets = 1000;

Status AwaitMessage(load::WebSocketClient& socket, std::string_view type) {
  KALAM_ASSIGN_OR_RETURN(const std::string message, socket.Receive(kWaitMs));
  if (message.find(type) != std::string::npos) return {};
  return Status(ErrorKind::Execution, "unexpected message: " + message.substr(0, 300));
}

/// Sockets that stay open between iterations, by server.
using OpenSockets = std::map<const Peer*, std::vector<load::WebSocketClient>>;

/// A SHARED table and `count` sockets with one subscription to `condition`.
Benchmark WithSockets(const std::string& name, int count, const std::string& condition,
                      const std::shared_ptr<OpenSockets>& sockets) {
  Benchmark benchmark;
  benchmark.name = name;
  benchmark.category = "load";
  benchmark.set_up = [=](Peer& peer) -> Status {
    load::RaiseFileLimit();
    KALAM_RETURN_IF_ERROR(SeedTable(peer, name, "body TEXT", "id, body", 0, 0, {}));
    for (int i = 0; i < count; ++i) {
      KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket, peer.OpenSocket());
      KALAM_RETURN_IF_ERROR(socket.Subscribe("bench-subscription",
                                             "SELECT * FROM " + peer.Table(name) + condition, ""));
      KALAM_RETURN_IF_ERROR(AwaitMessage(socket, "subscription_ack"));
      (*sockets)[&peer].push_back(std::move(socket));
    }
    return {};
  };
  benchmark.tear_down = [=](Peer& peer) {
    sockets->erase(&peer);
    return DropTable(peer, name);
  };
  return benchmark;
}

double SinceUs(int64_t begin_ns) {
  return static_cast<double>(load::SteadyNs() - begin_ns) / 1000.0;
}

Benchmark NotificationUnderLoad() {
  const auto sockets = std::make_shared<OpenSockets>();
  Benchmark benchmark = WithSockets("notification_under_load", 1,
                                    fmt::format(" WHERE id >= {}", kFirstWatched), sockets);
  benchmark.shape = fmt::format(
      "from sending an INSERT behind {} others to its notification at one subscriber", kWriters);
  benchmark.iterations = 200;
  benchmark.measure = [sockets](Peer& peer, int i) -> Result<double> {
    const std::string table = peer.Table("notification_under_load");
    std::vector<std::string> inserts;
    for (int writer = 0; writer < kWriters; ++writer)
      inserts.push_back(InsertRows(table, "id, body", i * kWriters + writer, 1, MessageRow));
    inserts.push_back(InsertRows(table, "id, body", kFirstWatched + i, 1, MessageRow));
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(peer.Begin(inserts));
    KALAM_RETURN_IF_ERROR(AwaitMessage((*sockets)[&peer].front(), "\"change\""));
    const double microseconds = SinceUs(begin_ns);
    KALAM_RETURN_IF_ERROR(peer.Finish(inserts.size()));
    return microseconds;
  };
  return benchmark;
}

Benchmark FanOut() {
  const auto sockets = std::make_shared<OpenSockets>();
  Benchmark benchmark = WithSockets("fan_out_1000", kSockets, "", sockets);
  benchmark.shape = "from sending an INSERT until 1,000 sockets have its notification";
  benchmark.iterations = 50;
  benchmark.measure = [sockets](Peer& peer, int i) -> Result<double> {
    const int64_t begin_ns = load::SteadyNs();
    KALAM_RETURN_IF_ERROR(
        peer.Begin({InsertRows(peer.Table("fan_out_1000"), "id, body", i, 1, MessageRow)}));
    for (load::WebSocketClient& socket : (*sockets)[&peer])
      KALAM_RETURN_IF_ERROR(AwaitMessage(socket, "\"change\""));
    const double microseconds = SinceUs(begin_ns);
    KALAM_RETURN_IF_ERROR(peer.Finish(1));
    return microseconds;
  };
  return benchmark;
}

Benchmark ColdStart() {
  Benchmark benchmark;
  benchmark.name = "cold_start";
  benchmark.category = "load";
  benchmark.shape = "from starting the server to the answer of a SELECT by key, 10,000 rows";
  benchmark.iterations = 10;
  benchmark.set_up = [](Peer& peer) {
    return SeedTable(peer, "cold_start", "body TEXT", "id, body", kSeedRows / 500, 500, MessageRow);
  };
  benchmark.measure = [](Peer& peer, int i) -> Result<double> {
    KALAM_ASSIGN_OR_RETURN(const double microseconds,
                           peer.TimeColdStart(fmt::format("SELECT * FROM {} WHERE id = {}",
                                                          peer.Table("cold_start"), i % 1000)));
    peer.Note("after its first query: " + ToText(peer.MeasureMemory()));
    return microseconds;
  };
  benchmark.tear_down = [](Peer& peer) { return DropTable(peer, "cold_start"); };
  return benchmark;
}

}  // namespace

void AddLoadBenchmarks(std::vector<Benchmark>* benchmarks) {
  benchmarks->push_back(NotificationUnderLoad());
  benchmarks->push_back(FanOut());
  benchmarks->push_back(ColdStart());
}

}  // namespace kalam::bench
