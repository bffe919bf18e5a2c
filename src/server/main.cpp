// The process: command line, signals, exit codes.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "base/build_facts.h"
#include "server/build_features.h"
#include "server/database.h"
#include "server/server.h"
#include "server/server_context.h"
#include "server/settings.h"

namespace kalam::server {
namespace {

// Budgets below this keep the heap small; the price is a third of the rate of answers of megabytes.
constexpr int64_t kRoomyBudgetBytes = 32 << 20;
constexpr int kSmallHeapPieceBytes = 64 << 10;

// What this build lacks, for --version; nothing when it is complete.
std::string LeftOut() {
  std::string parts;
  const auto add = [&parts](bool built_in, std::string_view name) {
    if (built_in) return;
    parts += parts.empty() ? "built without: " : ", ";
    parts += name;
  };
  add(kWithAnalytics, "the analytical engine");
  add(kWithWebSocket, "WebSockets and live queries");
  add(kWithTls, "TLS");
  return parts.empty() ? parts : parts + "\n";
}

std::optional<std::string> ReadEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

int Fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "kalamdb-server: {}\n", message);
  return static_cast<int>(code);
}

int CheckConfig(const LoadedSettings& loaded) {
  std::vector<std::string> warnings = loaded.warnings;
  // Without a configured secret the server makes one of 64 digits.
  const std::string& secret = loaded.settings.text("auth.jwt_secret");
  const Status status = CheckStartupSafety(
      loaded.settings, secret.empty() ? std::string(64, '0') : secret, &warnings);
  for (const std::string& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (!status.ok()) return Fail(ExitCode::kConfiguration, status.message());
  const auto plan = PlanMemory(loaded.settings, ReadMachineMemory());
  if (!plan.ok()) return Fail(ExitCode::kConfiguration, plan.status().message());
  for (const SettingRow& row : SettingRows(loaded.settings))
    fmt::print("{} = {}\n", row.name, row.value);
  fmt::print(stderr, "{}: the configuration is right\n",
             loaded.path.empty() ? "no file, defaults" : loaded.path);
  return static_cast<int>(ExitCode::kClean);
}

// Reads one line from the terminal without showing it, or from a pipe.
std::string ReadPassword() {
  termios before{};
  const bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    fmt::print(stderr, "New password of root: ");
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  std::string password;
  std::getline(std::cin, password);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fmt::print(stderr, "\n");
  }
  return password;
}

int ResetRoot(const LoadedSettings& loaded) {
  const std::string& directory = loaded.settings.text("storage.data_path");
  if (access((directory + "/rocksdb").c_str(), F_OK) != 0) {
    return Fail(ExitCode::kDataDirectory, fmt::format("there is no database in {}", directory));
  }
  const Status status = ResetRootPassword(loaded.settings, ReadPassword());
  if (!status.ok()) return Fail(ExitCode::kFailure, status.message());
  fmt::print("The password of root is set; all its tokens are void.\n");
  return static_cast<int>(ExitCode::kClean);
}

// Within a small budget a heap that stays as large as its last burst would be most of it: buffers
// of some pages come from the system and go back at once.
void KeepHeapSmall(const Settings& settings) {
  const auto plan = PlanMemory(settings, ReadMachineMemory());
  if (!plan.ok() || plan->budget_bytes >= kRoomyBudgetBytes) return;
  mallopt(M_MMAP_THRESHOLD, kSmallHeapPieceBytes);
}

int Serve(const LoadedSettings& loaded) {
  // Threads inherit the mask, so that these signals reach sigwait below and nobody else.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGINT);
  sigaddset(&stop_signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  KeepHeapSmall(loaded.settings);

  StartFailure failure;
  const std::unique_ptr<Server> server = Server::Start(loaded, &failure);
  if (server == nullptr) return Fail(failure.code, failure.message);
  int received = 0;
  sigwait(&stop_signals, &received);
  server->Stop();
  return static_cast<int>(ExitCode::kClean);
}

int Main(const std::vector<std::string>& arguments) {
  // One heap for the loops and one for the rest: glibc's default of eight per core keeps what each
  // thread once used. Measured against jemalloc with two arenas and background decay: 0.7 MB less
  // while idle, and no further threads.
  mallopt(M_ARENA_MAX, 2);
  // Large buffers stay outside of the heaps. Left alone, glibc raises this bound with each one that
  // is freed, up to 32 MB; later ones lie in the heap, small things that stay settle around them,
  // and their pages never go back (docs/adr/0011-allocator.md).
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  // With the bound above comes one for the heap's free end, at which it would be given back and
  // fetched again all the time: with 256 KB, 64 clients read a third less.
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  auto line = ParseCommandLine(arguments);
  if (!line.ok()) return Fail(ExitCode::kConfiguration, line.status().message());
  switch (line->action) {
    case CommandLine::Action::kHelp:
      fmt::print("{}", HelpText());
      return 0;
    case CommandLine::Action::kVersion:
      fmt::print("kalamdb-server {} ({} {})\n", ThisBuild().version, ThisBuild().commit,
                 ThisBuild().date);
      fmt::print("{}", LeftOut());
      return 0;
    case CommandLine::Action::kPrintExample:
      fmt::print("{}", ExampleFile());
      return 0;
    case CommandLine::Action::kPrintReference:
      fmt::print("{}", ConfigurationDocument());
      return 0;
    default:
      break;
  }
  auto loaded = LoadSettings(*line, ReadEnvironment);
  if (!loaded.ok()) return Fail(ExitCode::kConfiguration, loaded.status().message());
  if (line->action == CommandLine::Action::kCheckConfig) return CheckConfig(*loaded);
  if (line->action == CommandLine::Action::kResetRootPassword) return ResetRoot(*loaded);
  return Serve(*loaded);
}

}  // namespace
}  // namespace kalam::server

int main(int argc, char** argv) {
  return kalam::server::Main(std::vector<std::string>(argv + 1, argv + argc));
}
