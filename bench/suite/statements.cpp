// Latencies of single statements over one connection, and rates with 64 clients.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "load/one_core.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kRequests = 1500;
constexpr int kWarmUp = 300;
constexpr int kSeedRows = 10'000;
constexpr int kClients = 64;
// Of rates: short rounds, so that the kinds stand close together, and many of them.
constexpr int kRateRounds = 10;
constexpr double kRateSeconds = 0.7;
constexpr int kSyncsOfRound = 200;
// Long enough that the memtables which are written out meanwhile were filled before: what an INSERT
// leaves to the background is then counted, whenever a round ends.
constexpr double kLeadInSeconds = 0.3;
// The server is quiet when it took no more than this of a processor for so long.
constexpr double kQuietSeconds = 0.2;
constexpr double kQuietProcessor = 0.05;
constexpr int kQuietTriesMax = 20;

Status Seed(Environment& environment) {
  KALAM_RETURN_IF_ERROR(environment.Admin("CREATE NAMESPACE bench").status());
  KALAM_RETURN_IF_ERROR(environment
                            .Admin("CREATE SHARED TABLE bench.items (id BIGINT PRIMARY KEY, name "
                                   "TEXT, score DOUBLE, active BOOLEAN)")
                            .status());
  for (int begin = 0; begin < kSeedRows; begin += 500) {
    std::string sql = "INSERT INTO bench.items (id, name, score, active) VALUES ";
    for (int id = begin; id < begin + 500; ++id) {
      sql += fmt::format("{}({}, 'item number {}', {}.5, true)", id == begin ? "" : ", ", id, id,
                         id % 100);
    }
    KALAM_RETURN_IF_ERROR(environment.Admin(sql).status());
  }
  return {};
}

// Medians of every round, per kind of request.
struct Medians {
  std::vector<double> echo, sync, sync_inside, health, select_literal, select_parameter,
      insert_literal, insert_parameter, update, remove, insert_many;
};

class Rounds {
 public:
  Rounds(Environment& environment, load::HttpClient& client)
      : environment_(environment), client_(client) {}

  Status Run(int echo_port, Medians* medians) {
    const std::string& token = environment_.root_token();
    KALAM_ASSIGN_OR_RETURN(const std::vector<double> echo,
                           EchoLatenciesUs(echo_port, 200, kRequests));
    medians->echo.push_back(Median(echo));
    medians->sync.push_back(Median(SyncLatenciesUs(environment_.directory(), 500)));
    medians->sync_inside.push_back(
        Median(SyncLatenciesUs(environment_.directory(), 500, SyncPlace::kInside)));
    const std::string health = load::MakeGet("/health");
    KALAM_RETURN_IF_ERROR(Time(&medians->health, [&](int) { return health; }));
    KALAM_RETURN_IF_ERROR(Time(&medians->select_literal, [&](int n) {
      return load::MakeSql(token,
                           fmt::format("SELECT id, name, score FROM bench.items WHERE id = {}",
                                       n * 997 % kSeedRows));
    }));
    KALAM_RETURN_IF_ERROR(Time(&medians->select_parameter, [&](int n) {
      return load::MakeSql(token, "SELECT id, name, score FROM bench.items WHERE id = $1",
                           fmt::format("[{}]", n * 997 % kSeedRows));
    }));
    KALAM_RETURN_IF_ERROR(Time(&medians->insert_literal, [&](int) {
      return load::MakeSql(
          token, fmt::format(
                     "INSERT INTO bench.items (id, name, score, active) VALUES ({}, 'a name', 1.5, "
                     "true)",
                     ++next_id_));
    }));
    KALAM_RETURN_IF_ERROR(Time(&medians->insert_parameter, [&](int) {
      return load::MakeSql(
          token, "INSERT INTO bench.items (id, name, score, active) VALUES ($1, $2, $3, $4)",
          fmt::format("[{},\"a name\",1.5,true]", ++next_id_));
    }));
    KALAM_RETURN_IF_ERROR(Time(&medians->update, [&](int n) {
      return load::MakeSql(token, fmt::format("UPDATE bench.items SET score = {} WHERE id = {}",
                                              ++changes_ + 0.25, n * 991 % kSeedRows));
    }));
    KALAM_RETURN_IF_ERROR(Time(&medians->remove, [&](int) {
      return load::MakeSql(token,
                           fmt::format("DELETE FROM bench.items WHERE id = {}", next_delete_++));
    }));
    return Time(
        &medians->insert_many,
        [&](int) {
          std::string sql = "INSERT INTO bench.items (id, name, score, active) VALUES ";
          for (int row = 0; row < 50; ++row) {
            sql += fmt::format("{}({}, 'a name', 1.5, true)", row == 0 ? "" : ", ", ++next_id_);
          }
          return load::MakeSql(token, sql);
        },
        300);
  }

 private:
  Status Time(std::vector<double>* medians, const std::function<std::string(int)>& make,
              int count = kRequests) {
    KALAM_RETURN_IF_ERROR(RequestLatenciesUs(client_, std::min(kWarmUp, count), make).status());
    KALAM_ASSIGN_OR_RETURN(const std::vector<double> latencies,
                           RequestLatenciesUs(client_, count, make));
    medians->push_back(Median(latencies));
    return {};
  }

  Environment& environment_;
  load::HttpClient& client_;
  int64_t next_id_ = 1'000'000;
  int64_t next_delete_ = 1'000'001;
  int64_t changes_ = 0;
};

// The median over rounds of (a - subtract) / b.
double Ratio(const std::vector<double>& a, const std::vector<double>& b,
             const std::vector<double>* subtract = nullptr) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i)
    ratios.push_back((a[i] - (subtract ? (*subtract)[i] : 0)) / b[i]);
  return Median(ratios);
}

void ReportLatencies(const Medians& m, Report& report) {
  const std::string base =
      fmt::format("echo {:.1f} us, health {:.1f} us, fsync {:.1f} us (inside a file {:.1f} us)",
                  Median(m.echo), Median(m.health), Median(m.sync), Median(m.sync_inside));
  report.Add({"GET /health / TCP echo, p50", "x", Ratio(m.health, m.echo), 2, false, base});
  const auto add = [&](const char* name, const std::vector<double>& figures,
                       const std::vector<double>* subtract) {
    report.Add({name, "x", Ratio(figures, m.health, subtract), 2, false,
                fmt::format("{:.1f} us", Median(figures))});
  };
  add("SELECT by key, literal / health", m.select_literal, nullptr);
  add("SELECT by key, parameter / health", m.select_parameter, nullptr);
  add("(INSERT, literal - fsync) / health", m.insert_literal, &m.sync);
  add("(INSERT, parameter - fsync) / health", m.insert_parameter, &m.sync);
  report.Add({"UPDATE by key / INSERT", "x", Ratio(m.update, m.insert_literal), 1.5, false,
              fmt::format("{:.1f} us", Median(m.update))});
  report.Add({"DELETE by key / INSERT", "x", Ratio(m.remove, m.insert_literal), 1.5, false,
              fmt::format("{:.1f} us", Median(m.remove))});
  report.Add({"50-row INSERT / single INSERT", "x", Ratio(m.insert_many, m.insert_literal), 5,
              false, fmt::format("{:.1f} us", Median(m.insert_many))});
}

// Waits until the flushes and compactions of what was written before are done: they would slow the
// next rate down, which did not cause them.
void WaitForQuiet(Environment& environment) {
  for (int tries = 0; tries < kQuietTriesMax; ++tries) {
    const double before_s = environment.server().cpu_seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(kQuietSeconds));
    const double taken_s = environment.server().cpu_seconds() - before_s;
    if (taken_s <= kQuietProcessor * kQuietSeconds) return;
  }
}

// Requests a second of 64 clients by round, and how they compare with GET /health.
struct Rates {
  std::vector<double> per_second, ratios;

  void Add(double rate, double health) {
    per_second.push_back(rate);
    ratios.push_back(rate / health);
  }
  void ReportTo(Report& report, const char* name, double target, double health,
                const std::string& more = {}) const {
    report.Add(
        {name, "x", Median(ratios), target, true,
         fmt::format("{:.0f}/s of {:.0f}/s; {} rounds of {:.2f} to {:.2f}, middle half {:.2f} "
                     "to {:.2f}{}",
                     Median(per_second), health, ratios.size(), Percentile(ratios, 0),
                     Percentile(ratios, 100), Percentile(ratios, 25), Percentile(ratios, 75),
                     more)});
  }
};

class RateRounds {
 public:
  explicit RateRounds(Environment& environment) : environment_(environment) {}

  // The first round warms up: it counts nowhere.
  Status Run() {
    for (int round = -1; round < kRateRounds; ++round) {
      // Health stands between those that are compared with it.
      KALAM_ASSIGN_OR_RETURN(const double select, Select());
      KALAM_ASSIGN_OR_RETURN(const double health, Health());
      KALAM_ASSIGN_OR_RETURN(const double insert, Insert());
      if (round < 0) continue;
      const std::vector<double> syncs =
          SyncLatenciesUs(environment_.directory(), kSyncsOfRound, SyncPlace::kInside);
      syncs_.push_back(Median(syncs));
      health_.push_back(health);
      selects_.Add(select, health);
      inserts_.Add(insert, health);
    }
    return {};
  }

  void ReportTo(Report& report) const {
    const double health = Median(health_);
    selects_.ReportTo(report, "64 clients: SELECT by key rate / health rate", 0.6, health);
    inserts_.ReportTo(report, "64 clients: durable INSERT rate / health rate", 0.5, health,
                      fmt::format("; fsync inside a file {:.1f} us", Median(syncs_)));
  }

 private:
  Result<double> Rate(const std::function<std::string(int, int64_t)>& next) {
    WaitForQuiet(environment_);
    KALAM_ASSIGN_OR_RETURN(
        const load::LoopResult result,
        load::RunClosedLoop(environment_.port(), kClients, kRateSeconds, next, kLeadInSeconds));
    if (result.failures > 0)
      return Status(ErrorKind::Execution, "a request failed: " + result.first_failure);
    return result.rate();
  }
  Result<double> Health() {
    const std::string request = load::MakeGet("/health");
    return Rate([&](int, int64_t) { return request; });
  }
  Result<double> Select() {
    const load::SqlRequest request(environment_.root_token(),
                                   "SELECT id, name, score FROM bench.items WHERE id = $1");
    return Rate([&](int, int64_t) {
      return request.With("[" + std::to_string(++next_read_ * 997 % kSeedRows) + "]");
    });
  }
  Result<double> Insert() {
    const load::SqlRequest request(
        environment_.root_token(),
        "INSERT INTO bench.items (id, name, score, active) VALUES ($1, $2, $3, $4)");
    return Rate([&](int, int64_t) {
      return request.With("[" + std::to_string(++next_id_) + ",\"a name\",1.5,true]");
    });
  }

  Environment& environment_;
  int64_t next_id_ = 100'000'000;
  int64_t next_read_ = 0;
  std::vector<double> health_, syncs_;
  Rates selects_, inserts_;
};

Status ReportRates(Environment& environment, Report& report) {
  RateRounds rounds(environment);
  KALAM_RETURN_IF_ERROR(rounds.Run());
  rounds.ReportTo(report);
  return {};
}

}  // namespace

Status RunStatements(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(Seed(*environment));
  const EchoProcess echo;
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment->port()));
  Rounds rounds(*environment, client);
  Medians medians;
  {
    const load::OnOneCore together({getpid(), environment->server().pid(), echo.pid()});
    for (int round = 0; round < kRounds; ++round)
      KALAM_RETURN_IF_ERROR(rounds.Run(echo.port(), &medians));
  }
  ReportLatencies(medians, report);
  return ReportRates(*environment, report);
}

}  // namespace kalam::bench
