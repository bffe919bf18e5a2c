// Arguments, servers and files of `kalam-bench compare`.
#include "compare/compare_command.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "compare/html_report.h"
#include "suite/environment.h"

namespace kalam::bench {

const char kCompareUsage[] =
    "       kalam-bench compare [--url URL]... [--user NAME] [--password TEXT] [--server PATH] "
    "[--config FILE]\n"
    "                           [--start COMMAND]... [--json FILE] [--html FILE] [--long] "
    "[benchmark...]\n"
    "Without --url: the server of this build. With one: both in turn. With two: those two.\n"
    "--start says how the server at the URL of the same place is started, for cold_start.\n";

namespace {

struct CompareOptions {
  std::vector<std::string> urls, start_commands;
  std::string user = "root", password;
  std::string binary, config_file = "bench/load.toml";
  std::string json_path = "build/compare.json", html_path = "build/compare.html";
  bool with_long = false;
  std::vector<std::string> chosen;
};

Status ParseArguments(const std::vector<std::string>& arguments, CompareOptions* options) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--long") {
      options->with_long = true;
      continue;
    }
    if (argument.rfind("--", 0) != 0) {
      options->chosen.push_back(argument);
      continue;
    }
    if (i + 1 == arguments.size())
      return Status(ErrorKind::InvalidOperation, argument + " needs a value");
    const std::string& value = arguments[++i];
    if (argument == "--url") {
      options->urls.push_back(value);
    } else if (argument == "--start") {
      options->start_commands.push_back(value);
    } else if (argument == "--user") {
      options->user = value;
    } else if (argument == "--password") {
      options->password = value;
    } else if (argument == "--server") {
      options->binary = value;
    } else if (argument == "--config") {
      options->config_file = value;
    } else if (argument == "--json") {
      options->json_path = value;
    } else if (argument == "--html") {
      options->html_path = value;
    } else {
      return Status(ErrorKind::InvalidOperation, "there is no option " + argument);
    }
  }
  if (options->urls.size() > 2)
    return Status(ErrorKind::InvalidOperation, "at most two servers can be compared");
  return {};
}

std::string Machine() {
  std::ifstream cpus("/proc/cpuinfo");
  std::string line, model = "unknown processor";
  while (std::getline(cpus, line)) {
    if (line.rfind("model name", 0) == 0) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  }
  utsname system{};
  uname(&system);
  const double gigabytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                           static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 30);
  return fmt::format("{}, {} cores, {:.0f} GB, {} {}", model, sysconf(_SC_NPROCESSORS_ONLN),
                     gigabytes, system.sysname, system.release);
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &parts);
  return std::string(text, size);
}

std::vector<Benchmark> ChosenBenchmarks(const CompareOptions& options, std::string* unknown) {
  std::vector<Benchmark> all, chosen;
  AddStatementBenchmarks(&all);
  AddQueryBenchmarks(&all);
  AddParallelBenchmarks(&all);
  AddLiveBenchmarks(&all);
  AddScaleBenchmarks(&all);
  AddLoadBenchmarks(&all);
  AddChatBenchmark(&all);
  for (const std::string& name : options.chosen) {
    if (std::none_of(all.begin(), all.end(), [&](const Benchmark& b) { return b.name == name; }))
      *unknown = name;
  }
  for (Benchmark& benchmark : all) {
    const bool named = std::find(options.chosen.begin(), options.chosen.end(), benchmark.name) !=
                       options.chosen.end();
    if (named || (options.chosen.empty() && (options.with_long || !benchmark.opt_in)))
      chosen.push_back(std::move(benchmark));
  }
  return chosen;
}

constexpr int kStopTimeoutMs = 30'000;

/// Ends the server of this machine that listens there and starts it by the command.
Result<load::Endpoint> StartAnew(const load::Endpoint& endpoint, const std::string& command) {
  const auto running = load::FindListener(endpoint);
  if (!running)
    return Status(ErrorKind::NotAvailable, "no process of this machine is seen to listen there");
  kill(*running, SIGTERM);
  const int64_t deadline_ns = load::SteadyNs() + int64_t{kStopTimeoutMs} * 1'000'000;
  while (kill(*running, 0) == 0) {
    if (load::SteadyNs() > deadline_ns)
      return Status(ErrorKind::Timeout, "the server did not end when told to");
    // It may be a child that --start has made.
    waitpid(*running, nullptr, WNOHANG);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const pid_t started = fork();
  if (started == 0) {
    setsid();
    execl("/bin/sh", "sh", "-c", ("exec " + command + " >/dev/null 2>&1").c_str(), nullptr);
    _exit(127);
  }
  return endpoint;
}

/// Our own server, when it takes part; it must outlive the peers.
constexpr char kOwnPassword[] = "Bench-mark-1";

Result<std::vector<std::unique_ptr<Peer>>> ConnectPeers(
    const CompareOptions& options, std::unique_ptr<load::TemporaryDirectory>* directory,
    std::unique_ptr<load::ServerProcess>* own) {
  const std::string run = fmt::format("bench_{}", std::time(nullptr));
  std::vector<std::unique_ptr<Peer>> peers;
  if (options.urls.size() < 2) {
    *directory = std::make_unique<load::TemporaryDirectory>("kalam-compare");
    load::ServerProcess::Options server;
    server.binary = options.binary;
    server.directory = (*directory)->path();
    server.config_file = options.config_file;
    server.environment = {std::string("KALAMDB_ROOT_PASSWORD=") + kOwnPassword};
    KALAM_ASSIGN_OR_RETURN(load::ServerProcess started, load::ServerProcess::Start(server));
    *own = std::make_unique<load::ServerProcess>(std::move(started));
    Peer::Options peer{"this build", (*own)->port(), "root", kOwnPassword, "", run, {}};
    peer.restart = [server = own->get()]() -> Result<load::Endpoint> {
      KALAM_RETURN_IF_ERROR(server->Restart());
      return load::Endpoint(server->port());
    };
    KALAM_ASSIGN_OR_RETURN(auto connected, Peer::Connect(std::move(peer)));
    peers.push_back(std::move(connected));
  }
  for (size_t i = 0; i < options.urls.size(); ++i) {
    const std::string& url = options.urls[i];
    KALAM_ASSIGN_OR_RETURN(load::Endpoint endpoint, load::ParseUrl(url));
    Peer::Options peer{url, endpoint, options.user, options.password, "", run, {}};
    if (i < options.start_commands.size()) {
      peer.restart = [endpoint, command = options.start_commands[i]] {
        return StartAnew(endpoint, command);
      };
    }
    Result<std::unique_ptr<Peer>> connected = Peer::Connect(std::move(peer));
    if (!connected.ok())
      return Status(ErrorKind::Execution, url + ": " + std::string(connected.status().message()));
    peers.push_back(std::move(*connected));
  }
  return peers;
}

}  // namespace

int RunCompare(const std::vector<std::string>& arguments, const std::string& server_binary) {
  CompareOptions options;
  options.binary = server_binary;
  Status status = ParseArguments(arguments, &options);
  std::string unknown;
  std::vector<Benchmark> benchmarks = ChosenBenchmarks(options, &unknown);
  if (status.ok() && !unknown.empty())
    status = Status(ErrorKind::InvalidOperation, "there is no benchmark " + unknown);
  if (!status.ok()) {
    fmt::print(stderr, "{}\n{}", status.message(), kCompareUsage);
    return 2;
  }
  std::unique_ptr<load::TemporaryDirectory> directory;
  std::unique_ptr<load::ServerProcess> own;
  auto peers = ConnectPeers(options, &directory, &own);
  if (!peers.ok()) {
    fmt::print(stderr, "{}\n", peers.status().message());
    return 2;
  }
  PrintOutcomeHeader(*peers);
  std::vector<Outcome> outcomes;
  bool failed = false;
  for (const Benchmark& benchmark : benchmarks) {
    outcomes.push_back(RunBenchmark(benchmark, *peers));
    PrintOutcome(outcomes.back(), *peers);
    failed = failed || outcomes.back().errors[0].rfind("failed", 0) == 0;
  }
  for (const auto& peer : *peers)
    fmt::print("{} afterwards: {}\n", peer->label(), ToText(peer->MeasureMemory()));
  std::ofstream(options.json_path) << OutcomesJson(outcomes, *peers);
  std::ofstream(options.html_path) << HtmlReport(outcomes, *peers, Machine(), Now());
  fmt::print("written to {} and {}\n", options.json_path, options.html_path);
  return failed ? 1 : 0;
}

}  // namespace kalam::bench
