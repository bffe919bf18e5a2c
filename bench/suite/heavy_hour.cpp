// What a server still holds when everything that made it large is gone: analytics, writes,
// connections, tables.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kRows = 100'000, kRowsEachRequest = 500;
constexpr int kConnectionsAtOnce = 2000, kConnectionWaves = 5;
constexpr int kTables = 1000;
constexpr int kAnalysts = 4, kWriters = 64;
constexpr double kSecondsEach = 4;
constexpr int kWaitMs = 60'000;
constexpr double kMegabyte = 1 << 20;

int NumberFromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::max(1, std::atoi(text));
}

class HeavyHour {
 public:
  explicit HeavyHour(Environment& environment) : environment_(environment) {}

  Status Prepare() {
    KALAM_RETURN_IF_ERROR(environment_.Admin("CREATE NAMESPACE heavy").status());
    return environment_
        .Admin("CREATE SHARED TABLE heavy.facts (id BIGINT PRIMARY KEY, room INT, body TEXT)")
        .status();
  }

  Status Round(int round) {
    KALAM_RETURN_IF_ERROR(Fill(round));
    KALAM_RETURN_IF_ERROR(Analyse());
    KALAM_RETURN_IF_ERROR(Write(round));
    for (int wave = 0; wave < kConnectionWaves; ++wave) KALAM_RETURN_IF_ERROR(Connect());
    return MakeAndDropTables();
  }

  int64_t peak_private_bytes() const { return peak_; }

 private:
  void Sample() { peak_ = std::max(peak_, environment_.server().memory().private_bytes); }

  Status Fill(int round) {
    for (int first = round * kRows; first < (round + 1) * kRows; first += kRowsEachRequest) {
      std::string sql = "INSERT INTO heavy.facts (id, room, body) VALUES ";
      for (int i = first; i < first + kRowsEachRequest; ++i) {
        sql += fmt::format("{}({}, {}, 'a line that somebody wrote, number {}')",
                           i == first ? "" : ", ", i, i % 97, i);
      }
      KALAM_RETURN_IF_ERROR(environment_.Admin(sql).status());
    }
    Sample();
    return {};
  }

  Status Loop(int clients, const std::function<std::string(int, int64_t)>& next) {
    KALAM_ASSIGN_OR_RETURN(const load::LoopResult result,
                           load::RunClosedLoop(environment_.port(), clients, kSecondsEach, next));
    Sample();
    return result.failures == 0 ? Status::Ok() : Status(ErrorKind::Execution, result.first_failure);
  }

  Status Analyse() {
    const std::string grouping = load::MakeSql(
        environment_.root_token(),
        "SELECT a.room, COUNT(*) AS n, MAX(b.body) FROM heavy.facts a JOIN heavy.facts b ON a.id = "
        "b.id GROUP BY a.room ORDER BY n");
    return Loop(kAnalysts, [&grouping](int, int64_t) { return grouping; });
  }

  Status Write(int round) {
    return Loop(kWriters, [this, round](int connection, int64_t n) {
      return load::MakeSql(
          environment_.root_token(),
          "INSERT INTO heavy.facts (id, room, body) VALUES ($1, 1, 'written')",
          fmt::format("[{}]", 1'000'000'000 + round * 100'000'000 + n * kWriters + connection));
    });
  }

  // Connections that come, subscribe, see a change and go.
  Status Connect() {
    std::vector<load::WebSocketClient> sockets;
    for (int i = 0; i < kConnectionsAtOnce; ++i) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Open(environment_.port(), environment_.root_token()));
      KALAM_RETURN_IF_ERROR(socket.Subscribe(
          fmt::format("subscription-{:012}", i),
          "SELECT * FROM heavy.facts WHERE id = " + std::to_string(-next_id_), ""));
      KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
      if (answer.find("subscription_ack") == std::string::npos)
        return Status(ErrorKind::Execution, answer);
      sockets.push_back(std::move(socket));
    }
    KALAM_RETURN_IF_ERROR(
        environment_
            .Admin(fmt::format("INSERT INTO heavy.facts (id, room, body) VALUES ({}, 0, 'for all')",
                               -next_id_))
            .status());
    ++next_id_;
    for (load::WebSocketClient& socket : sockets) {
      std::string message;
      while (message.find("\"change\"") == std::string::npos) {
        KALAM_ASSIGN_OR_RETURN(message, socket.Receive(kWaitMs));
      }
    }
    Sample();
    return {};
  }

  Status MakeAndDropTables() {
    for (int i = 0; i < kTables; ++i) {
      KALAM_RETURN_IF_ERROR(
          environment_
              .Admin(fmt::format(
                  "CREATE SHARED TABLE heavy.t{} (id BIGINT PRIMARY KEY, name TEXT, at TIMESTAMP)",
                  i))
              .status());
      KALAM_RETURN_IF_ERROR(
          environment_.Admin(fmt::format("INSERT INTO heavy.t{} (id, name) VALUES (1, 'x')", i))
              .status());
    }
    Sample();
    for (int i = 0; i < kTables; ++i) {
      KALAM_RETURN_IF_ERROR(environment_.Admin(fmt::format("DROP TABLE heavy.t{}", i)).status());
    }
    return {};
  }

  Environment& environment_;
  int64_t peak_ = 0;
  int64_t next_id_ = 1;
};

int64_t SettledPrivateBytes(Environment& environment, int seconds) {
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  sync();
  return environment.server().memory().private_bytes;
}

}  // namespace

Status RunHeavyHour(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  const int rounds = NumberFromEnvironment("KALAM_BENCH_HEAVY_ROUNDS", 1);
  const int idle_seconds = NumberFromEnvironment("KALAM_BENCH_IDLE_SECONDS", 20);
  load::TemporaryDirectory directory("kalam-bench-heavy");
  const std::string config = directory.path() + "/server.toml";
  {
    // The engine is closed and caches are emptied after a minute unless the configuration says
    // otherwise.
    std::ifstream base(options.config_file);
    std::ofstream(config)
        << base.rdbuf()
        << fmt::format(
               "\n[analytics]\nidle_close_seconds = {0}\n[memory]\nrest_after_seconds = {0}\n",
               std::max(1, idle_seconds / 4));
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  const int64_t idle = SettledPrivateBytes(*environment, 5);
  HeavyHour hour(*environment);
  KALAM_RETURN_IF_ERROR(hour.Prepare());
  for (int round = 0; round < rounds; ++round) KALAM_RETURN_IF_ERROR(hour.Round(round));
  KALAM_ASSIGN_OR_RETURN(const int64_t memtables, environment->AccountBytes("server.memtables"));
  const int64_t after = SettledPrivateBytes(*environment, idle_seconds);
  KALAM_ASSIGN_OR_RETURN(const int64_t cached, environment->AccountBytes("server.block_cache"));
  const auto megabytes = [](int64_t bytes) { return static_cast<double>(bytes) / kMegabyte; };
  report.Add({"after heavy hour and idle: private memory beyond idle, block cache apart", "MB",
              megabytes(after - idle - cached), 8, false,
              fmt::format("idle {:.2f}, peak {:.1f}, after {} s {:.2f}; block cache {:.2f}, "
                          "memtables before the pause {:.2f}",
                          megabytes(idle), megabytes(hour.peak_private_bytes()), idle_seconds,
                          megabytes(after), megabytes(cached), megabytes(memtables))});
  return {};
}

}  // namespace kalam::bench
