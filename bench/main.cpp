// kalam-bench: measures a server of this build on this machine and says which targets it meets.
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "compare/compare_command.h"
#include "suite/soak.h"
#include "suite/suites.h"

namespace {

constexpr char kUsage[] =
    "usage: kalam-bench [--server PATH] [--config FILE] [--json FILE] [suite...]\n"
    "suites: idle statements notifications connections scans deliveries steady items users storm "
    "budget heavy cold rows vectors\n"
    "(all but rows and vectors when none is named)\n"
    "Exits 1 when a target is missed, 2 when a measurement could not be taken.\n";

struct Suite {
  const char* name;
  kalam::Status (*run)(const kalam::bench::SuiteOptions&, kalam::bench::Report&);
  bool only_by_name = false;  // takes many minutes
};

constexpr Suite kSuites[] = {
    {"idle", kalam::bench::RunIdle},
    {"statements", kalam::bench::RunStatements},
    {"notifications", kalam::bench::RunNotifications},
    {"connections", kalam::bench::RunConnections},
    {"scans", kalam::bench::RunScans},
    {"deliveries", kalam::bench::RunDeliveries},
    {"steady", kalam::bench::RunSteady},
    {"items", kalam::bench::RunItems},
    {"users", kalam::bench::RunUsers},
    {"storm", kalam::bench::RunStorm},
    {"budget", kalam::bench::RunBudget},
    {"heavy", kalam::bench::RunHeavyHour},
    {"cold", kalam::bench::RunCold},
    {"rows", kalam::bench::RunManyRows, true},
    {"vectors", kalam::bench::RunVectors, true},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "compare") {
    return kalam::bench::RunCompare({argv + 2, argv + argc},
                                    kalam::load::ServerBesideThisProgram());
  }
  if (argc > 1 && std::string_view(argv[1]) == "soak") {
    return kalam::bench::RunSoak({argv + 2, argv + argc}, kalam::load::ServerBesideThisProgram());
  }
  kalam::bench::SuiteOptions options{kalam::load::ServerBesideThisProgram(), "bench/load.toml"};
  std::string json_path = "build/bench.json";
  std::vector<std::string> chosen;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--server" && has_value) {
      options.binary = argv[++i];
    } else if (argument == "--config" && has_value) {
      options.config_file = argv[++i];
    } else if (argument == "--json" && has_value) {
      json_path = argv[++i];
    } else if (argument.rfind("-", 0) == 0) {
      fmt::print(stderr, "{}{}{}", kUsage, kalam::bench::kSoakUsage, kalam::bench::kCompareUsage);
      return 2;
    } else {
      chosen.push_back(argument);
    }
  }
  kalam::bench::Report report;
  report.PrintHeader();
  bool complete = true;
  for (const Suite& suite : kSuites) {
    if (chosen.empty() && suite.only_by_name) continue;
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), suite.name) == chosen.end())
      continue;
    const kalam::Status status = suite.run(options, report);
    if (status.ok()) continue;
    fmt::print(stderr, "{}: {}\n", suite.name, status.ToString());
    complete = false;
  }
  const bool met = report.PrintSummary();
  std::ofstream(json_path) << report.Json();
  fmt::print("written to {}\n", json_path);
  return !complete ? 2 : met ? 0 : 1;
}
