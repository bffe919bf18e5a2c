// Rows on their way to Parquet segments and in them: how fast they move, what that does to writers,
// and what reading them costs against the engine on the same files.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "suite/chat_rows.h"
#include "suite/direct_engine.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kCopies = 8;         // of the chat history, 108,137 rows each
constexpr int kCopiesBesides = 6;  // flushed while others write
constexpr int kWriters = 4;
constexpr double kIdleSeconds = 3, kSliceSeconds = 0.25;
constexpr double kAfterSeconds = 1;   // a flush may leave work behind
constexpr int64_t kHotRows = 20'000;  // among the cold ones; half of them replace some
constexpr int kPoints = 500;
constexpr int kEngineThreads = 2;
constexpr char kEngineMemory[] = "64MB";

constexpr const char* kAggregates[] = {
    "SELECT domain, COUNT(*), MAX(created_at) FROM {} GROUP BY domain",
    "SELECT user_id, COUNT(*), SUM(turn) FROM {} GROUP BY user_id ORDER BY 2 DESC, 1 LIMIT 10",
    "SELECT COUNT(*), SUM(turn), MIN(created_at) FROM {} WHERE role = 'user'"};

/// Starts the job of a statement; its id.
Result<std::string> StartJob(Environment& environment, const std::string& statement) {
  KALAM_ASSIGN_OR_RETURN(const std::string answer, environment.Admin(statement));
  const size_t at = answer.find("Job ID: ");
  if (at == std::string::npos) return Status(ErrorKind::Execution, answer);
  return answer.substr(at + 8, answer.find_first_of(".\"", at) - at - 8);
}

Result<bool> IsJobDone(Environment& environment, const std::string& job) {
  KALAM_ASSIGN_OR_RETURN(const std::string answer,
                         environment.Admin(fmt::format(
                             "SELECT status, message FROM system.jobs WHERE job_id = '{}'", job)));
  if (answer.find("\"completed\"") != std::string::npos) return true;
  if (answer.find("\"running\"") != std::string::npos ||
      answer.find("\"queued\"") != std::string::npos || answer.find("\"new\"") != std::string::npos)
    return false;
  return Status(ErrorKind::Execution, answer);
}

/// Seconds until the job of the statement is done.
Result<double> RunJob(Environment& environment, const std::string& statement) {
  const int64_t begin_ns = load::SteadyNs();
  KALAM_ASSIGN_OR_RETURN(const std::string job, StartJob(environment, statement));
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const bool done, IsJobDone(environment, job));
    if (done) return static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

class Cold {
 public:
  Cold(Environment& environment, const ChatRows& rows, DirectEngine& engine, Report& report)
      : environment_(environment), rows_(rows), engine_(engine), report_(report) {}

  Status Run() {
    KALAM_RETURN_IF_ERROR(environment_.Admin("CREATE NAMESPACE cold").status());
    for (const char* table : {"cold.messages", "cold.others", "cold.hot"})
      KALAM_RETURN_IF_ERROR(environment_.Admin(ChatRows::CreateTable(table)).status());
    KALAM_RETURN_IF_ERROR(Flush());
    KALAM_RETURN_IF_ERROR(FlushWhileOthersWrite());
    KALAM_RETURN_IF_ERROR(CompareSizes());
    KALAM_RETURN_IF_ERROR(ReadPoints());
    KALAM_RETURN_IF_ERROR(Aggregate("cold", 1.3));
    KALAM_RETURN_IF_ERROR(ChangeSome());
    return Aggregate("hot and cold", 2);
  }

 private:
  Status Flush() {
    KALAM_RETURN_IF_ERROR(rows_.Insert(environment_, "cold.messages", 0, kCopies));
    KALAM_ASSIGN_OR_RETURN(const double seconds,
                           RunJob(environment_, "STORAGE FLUSH TABLE cold.messages"));
    report_.Add({"flush, chat-sized rows", "rows/s",
                 static_cast<double>(kCopies * rows_.size()) / seconds, 300'000, true,
                 fmt::format("{} rows in {:.2f} s", kCopies * rows_.size(), seconds)});
    return {};
  }

  /// Single-row INSERTs of a few clients; microseconds each.
  Status Write(double seconds, std::vector<double>* latencies_us) {
    KALAM_ASSIGN_OR_RETURN(
        const load::LoopResult loop,
        load::RunClosedLoop(environment_.port(), kWriters, seconds, [this](int, int64_t) {
          std::string sql = "INSERT INTO cold.hot VALUES ";
          const int64_t id = next_id_++;
          rows_.AppendRow(0, id % rows_.size(), id, &sql);
          return load::MakeSql(environment_.root_token(), sql);
        }));
    if (loop.failures > 0) return Status(ErrorKind::Execution, loop.first_failure);
    for (const int64_t ns : loop.latencies_ns)
      latencies_us->push_back(static_cast<double>(ns) / 1000.0);
    return {};
  }

  Status FlushWhileOthersWrite() {
    KALAM_RETURN_IF_ERROR(rows_.Insert(environment_, "cold.others", 0, kCopiesBesides));
    std::vector<double> idle_us, busy_us;
    KALAM_RETURN_IF_ERROR(Write(0.5, &idle_us));
    idle_us.clear();
    KALAM_RETURN_IF_ERROR(Write(kIdleSeconds, &idle_us));
    const int64_t begin_ns = load::SteadyNs();
    KALAM_ASSIGN_OR_RETURN(const std::string job,
                           StartJob(environment_, "STORAGE FLUSH TABLE cold.others"));
    bool done = false;
    while (!done) {
      KALAM_RETURN_IF_ERROR(Write(kSliceSeconds, &busy_us));
      KALAM_ASSIGN_OR_RETURN(done, IsJobDone(environment_, job));
    }
    const double seconds = static_cast<double>(load::SteadyNs() - begin_ns) / 1e9;
    std::vector<double> after_us;
    KALAM_RETURN_IF_ERROR(Write(kAfterSeconds, &after_us));
    const double idle_p99 = Percentile(idle_us, 99), busy_p99 = Percentile(busy_us, 99),
                 after_p99 = Percentile(after_us, 99);
    report_.Add({"INSERT p99 during a flush / without", "x",
                 std::max(busy_p99, after_p99) / idle_p99, 2, false,
                 fmt::format("{:.1f} ms / {:.1f} ms; {:.1f} ms in the second after; {} and {} "
                             "INSERTs; {:.0f} rows/s flushed",
                             busy_p99 / 1000, idle_p99 / 1000, after_p99 / 1000, busy_us.size(),
                             idle_us.size(),
                             static_cast<double>(kCopiesBesides * rows_.size()) / seconds)});
    return {};
  }

  std::string Folder() const { return environment_.directory() + "/storage/cold/messages"; }
  std::string Files() const { return fmt::format("read_parquet('{}/batch-*.parquet')", Folder()); }

  Status CompareSizes() {
    int64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
      if (entry.path().extension() == ".parquet") bytes += static_cast<int64_t>(entry.file_size());
    }
    const std::string copy = environment_.directory() + "/direct.parquet";
    KALAM_RETURN_IF_ERROR(
        engine_
            .TimeUs(fmt::format("COPY (SELECT * FROM {}) TO '{}' (FORMAT "
                                "parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE "
                                "8192)",
                                Files(), copy))
            .status());
    const auto direct = static_cast<double>(std::filesystem::file_size(copy));
    report_.Add({"bytes of segments / of the engine's own file", "x",
                 static_cast<double>(bytes) / direct, 1.2, false,
                 fmt::format("{:.1f} MB / {:.1f} MB", static_cast<double>(bytes) / (1 << 20),
                             direct / (1 << 20))});
    std::filesystem::remove(copy);
    return {};
  }

  Result<double> PointUs(const std::string& table, int64_t row_count) {
    KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment_.port()));
    const auto read = [&](int n) {
      return load::MakeSql(environment_.root_token(),
                           "SELECT content FROM " + table + " WHERE message_id = $1",
                           fmt::format("[{}]", int64_t{n} * 1'000'003 % row_count));
    };
    KALAM_RETURN_IF_ERROR(RequestLatenciesUs(client, kPoints, read).status());
    KALAM_ASSIGN_OR_RETURN(const std::vector<double> us, RequestLatenciesUs(client, kPoints, read));
    return Median(us);
  }

  Status ReadPoints() {
    KALAM_ASSIGN_OR_RETURN(const double cold_us, PointUs("cold.messages", kCopies * rows_.size()));
    KALAM_ASSIGN_OR_RETURN(const double hot_us, PointUs("cold.hot", next_id_));
    report_.Add({"cold row by key, p50 of all rows, warm", "ms", cold_us / 1000, 3});
    report_.Add({"cold row by key / hot row by key", "x", cold_us / hot_us, 10, false,
                 fmt::format("{:.0f} us / {:.0f} us", cold_us, hot_us)});
    return {};
  }

  /// Some of the cold rows are written anew, and some new ones come.
  Status ChangeSome() {
    const int64_t cold_rows = kCopies * rows_.size();
    for (int64_t begin = 0; begin < kHotRows; begin += 500) {
      std::string sql = "INSERT INTO cold.messages VALUES ";
      for (int64_t row = begin; row < begin + 500; ++row) {
        if (row > begin) sql += ',';
        const int64_t id = row % 2 == 0 ? row * (cold_rows / kHotRows) : cold_rows + row;
        rows_.AppendRow(0, row, id, &sql);
      }
      sql += " ON CONFLICT (message_id) DO UPDATE SET turn = EXCLUDED.turn";
      KALAM_RETURN_IF_ERROR(environment_.Admin(sql).status());
    }
    return {};
  }

  /// The slowest of the queries, relative to the engine on the same files.
  Status Aggregate(const std::string& what, double target) {
    KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment_.port()));
    double worst = 0;
    std::string note;
    for (const char* query : kAggregates) {
      const std::string request = load::MakeSql(environment_.root_token(),
                                                fmt::format(fmt::runtime(query), "cold.messages"));
      const std::string direct = fmt::format(fmt::runtime(query), Files());
      std::vector<double> ratios, served_ms, direct_ms;
      for (int round = 0; round <= 2 * kRounds; ++round) {
        KALAM_ASSIGN_OR_RETURN(const std::vector<double> served_us,
                               RequestLatenciesUs(client, 1, [&](int) { return request; }));
        KALAM_ASSIGN_OR_RETURN(const double direct_us, engine_.TimeUs(direct));
        if (round == 0) continue;
        ratios.push_back(served_us[0] / direct_us);
        served_ms.push_back(served_us[0] / 1000);
        direct_ms.push_back(direct_us / 1000);
      }
      worst = std::max(worst, Median(ratios));
      note += fmt::format("{}{:.1f} ms / {:.1f} ms", note.empty() ? "" : ", ", Median(served_ms),
                          Median(direct_ms));
    }
    report_.Add(
        {"aggregates, " + what + " / the engine on the files", "x", worst, target, false, note});
    return {};
  }

  Environment& environment_;
  const ChatRows& rows_;
  DirectEngine& engine_;
  Report& report_;
  int64_t next_id_ = 0;
};

}  // namespace

Status RunCold(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(const ChatRows rows, ChatRows::Load());
  KALAM_ASSIGN_OR_RETURN(const auto engine, DirectEngine::Open(kEngineThreads, kEngineMemory));
  const load::TemporaryDirectory directory("kalam-bench-cold");
  const std::string config = directory.path() + "/server.toml";
  {
    std::ifstream base(options.config_file);
    std::ofstream(config) << base.rdbuf()
                          << fmt::format(
                                 "\n[flush]\ncheck_interval_seconds = 0\n[analytics]\nthreads = "
                                 "{}\nmemory_limit = \"{}\"\n",
                                 kEngineThreads, kEngineMemory);
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  return Cold(*environment, rows, *engine, report).Run();
}

}  // namespace kalam::bench
