// Starting, measuring and stopping a server of our own.
#include "load/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/id_generators.h"
#include "load/http_client.h"

namespace kalam::load {
namespace {

constexpr int kStartTimeoutMs = 20'000;

int64_t KilobyteField(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(field, 0) == 0)
      return std::strtoll(line.c_str() + field.size(), nullptr, 10) * 1024;
  }
  return 0;
}

std::string FileTail(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() > 2000 ? all.substr(all.size() - 2000) : all;
}

bool Exited(pid_t pid, int* code) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return false;
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

std::string LogOf(const ServerProcess::Options& options) {
  return options.directory + "/server.out";
}

// The inode of the listening socket of the port, from /proc/net/tcp or tcp6; 0 for none.
uint64_t ListenerInode(const std::string& table, int port) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skipped;
    fields >> slot >> local >> remote >> state;
    if (state != "0A" || std::stoi(local.substr(local.rfind(':') + 1), nullptr, 16) != port)
      continue;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    uint64_t inode = 0;
    fields >> inode;
    return inode;
  }
  return 0;
}

bool HoldsSocket(const std::filesystem::path& process, const std::string& socket) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(process / "fd", failure)) {
    if (std::filesystem::read_symlink(entry.path(), failure) == socket) return true;
  }
  return false;
}

}  // namespace

ProcessMemory MeasureProcess(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  ProcessMemory memory = {KilobyteField(process + "/smaps_rollup", "Rss:"),
                          KilobyteField(process + "/smaps_rollup", "Private_Dirty:")};
  if (memory.rss_bytes == 0) memory = {KilobyteField(process + "/status", "VmRSS:"), -1};
  return memory;
}

std::optional<pid_t> FindListener(const Endpoint& endpoint) {
  if (endpoint.host != "127.0.0.1" && endpoint.host != "localhost") return std::nullopt;
  uint64_t inode = ListenerInode("/proc/net/tcp", endpoint.port);
  if (inode == 0) inode = ListenerInode("/proc/net/tcp6", endpoint.port);
  if (inode == 0) return std::nullopt;
  const std::string socket = "socket:[" + std::to_string(inode) + "]";
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos &&
        HoldsSocket(entry.path(), socket))
      return static_cast<pid_t>(std::stol(name));
  }
  return std::nullopt;
}

int64_t KernelTcpBytes() {
  std::ifstream file("/proc/net/sockstat");
  std::string word;
  while (file >> word) {
    if (word == "mem") {
      int64_t pages = 0;
      file >> pages;
      return pages * sysconf(_SC_PAGESIZE);
    }
  }
  return 0;
}

void ServerProcess::Spawn() {
  const std::string log = LogOf(options_);
  std::vector<std::string> arguments = {
      options_.binary,       "--host",     "127.0.0.1",       "--port",
      std::to_string(port_), "--data-dir", options_.directory};
  if (!options_.config_file.empty())
    arguments.insert(arguments.end(), {"--config", options_.config_file});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  pid_ = fork();
  if (pid_ != 0) return;
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  setenv("KALAMDB_JWT_SECRET", secret_.c_str(), 1);
  setenv("KALAMDB_LOGS_DIR", (options_.directory + "/logs").c_str(), 1);
  for (const std::string& variable : options_.environment) {
    const size_t equals = variable.find('=');
    setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  execv(argv[0], argv.data());
  _exit(127);
}

Status ServerProcess::Restart() {
  Stop();
  Spawn();
  return {};
}

Result<ServerProcess> ServerProcess::Start(const Options& options) {
  std::filesystem::create_directories(options.directory);
  ServerProcess server;
  server.options_ = options;
  server.port_ = FreePort();
  server.secret_ = RandomHex(64);
  server.Spawn();
  const std::string log = LogOf(options);
  const int64_t deadline_ns = SteadyNs() + int64_t{kStartTimeoutMs} * 1'000'000;
  while (SteadyNs() < deadline_ns) {
    int code = 0;
    if (Exited(server.pid_, &code)) {
      server.pid_ = -1;
      return Status(ErrorKind::Execution,
                    "the server ended with code " + std::to_string(code) + ":\n" + FileTail(log));
    }
    Result<HttpClient> client = HttpClient::Connect(server.port_);
    if (client.ok() && client->SendOk(MakeGet("/health"), 1000).ok()) return server;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Status(ErrorKind::Timeout, "the server did not answer in time:\n" + FileTail(log));
}

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : options_(std::move(other.options_)),
      pid_(other.pid_),
      port_(other.port_),
      secret_(std::move(other.secret_)) {
  other.pid_ = -1;
}

ServerProcess::~ServerProcess() { Stop(); }

int ServerProcess::Stop() {
  if (pid_ < 0) return 0;
  kill(pid_, SIGTERM);
  const int64_t deadline_ns = SteadyNs() + 10'000'000'000;
  int code = 0;
  while (!Exited(pid_, &code)) {
    if (SteadyNs() > deadline_ns) {
      Kill();
      return -1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  pid_ = -1;
  return code;
}

void ServerProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

ProcessMemory ServerProcess::memory() const { return MeasureProcess(pid_); }

double ServerProcess::cpu_seconds() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // Fields count from after the command's closing parenthesis; utime and stime are the 12th and
  // 13th of them.
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

bool ServerProcess::HasLoaded(const std::string& part) const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/maps");
  std::string line;
  while (std::getline(file, line)) {
    if (line.find(part) != std::string::npos) return true;
  }
  return false;
}

std::string ServerProcess::Token(const std::string& user_id, const std::string& role) const {
  const int64_t now_s = SystemClock().NowUs() / 1'000'000;
  return auth::MintToken(secret_, user_id, role, now_s, now_s + 24 * 3600);
}

TemporaryDirectory::TemporaryDirectory(const std::string& name) {
  path_ = (std::filesystem::temp_directory_path() / (name + "-" + RandomHex(8))).string();
  std::filesystem::create_directories(path_);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ServerBesideThisProgram() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "kalamdb-server";
}

}  // namespace kalam::load
