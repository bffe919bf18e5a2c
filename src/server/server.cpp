// Start and stop of the server, each one function that reads top to bottom.
#include "server/server.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/code_pages.h"
#include "base/log.h"
#include "base/process_memory.h"
#include "server/database.h"
#include "server/heap_trim.h"
#include "server/limits.h"
#include "server/listener.h"
#include "server/upload.h"

namespace kalam::server {
namespace {

RateLimits RateLimitsFrom(const Settings& settings) {
  RateLimits limits;
  limits.requests_per_address = settings.number("rate_limit.max_requests_per_ip_per_sec");
  limits.authentications_per_address =
      settings.number("rate_limit.max_auth_requests_per_ip_per_sec");
  limits.connections_per_address = settings.number("rate_limit.max_connections_per_ip");
  limits.queries_per_user = settings.number("rate_limit.max_queries_per_sec");
  limits.ban_seconds = settings.number("rate_limit.ban_duration_seconds");
  limits.protection = settings.flag("rate_limit.enable_connection_protection");
  limits.entries_max = static_cast<size_t>(settings.number("rate_limit.cache_max_entries"));
  limits.entry_idle_seconds = settings.number("rate_limit.cache_ttl_seconds");
  return limits;
}

SessionOptions SessionOptionsFrom(const Settings& settings) {
  SessionOptions options;
  options.http.head_bytes_max = static_cast<size_t>(settings.number("performance.max_header_size"));
  options.http.body_bytes_max =
      static_cast<size_t>(settings.number("rate_limit.request_body_limit_bytes"));
  options.http.streams_body = IsUpload;
  options.http.streamed_bytes_max = static_cast<size_t>(
      settings.number("files.max_size_bytes") * settings.number("files.max_files_per_request") +
      kUploadFormBytesMax);
  options.keep_alive_s = settings.number("performance.keepalive_timeout");
  options.request_s = settings.number("performance.client_request_timeout");
  options.disconnect_s = settings.number("performance.client_disconnect_timeout");
  options.websocket_silence_s = settings.number("websocket.client_timeout_secs");
  options.websocket_authentication_s = settings.number("websocket.auth_timeout_secs");
  options.websocket_heartbeat_s = settings.number("websocket.heartbeat_interval_secs");
  options.websocket_messages_per_s = settings.number("rate_limit.max_messages_per_sec");
  options.websocket_message_bytes_max =
      static_cast<size_t>(settings.number("security.max_ws_message_size"));
  options.cookie_secure = settings.flag("auth.cookie_secure");
  options.allow_remote_setup = settings.flag("auth.allow_remote_setup");
  options.password_complexity = settings.flag("auth.enforce_password_complexity");
  return options;
}

// Every socket is a descriptor; the soft limit is often 1024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, 65'536);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Connections may not take the descriptors that the database needs: a log file that cannot be
// opened is a failed write.
int64_t ConnectionsMax(const Settings& settings, int64_t core_count) {
  const int64_t configured = settings.number("performance.max_connections") * core_count;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return configured;
  const int64_t spare = static_cast<int64_t>(limit.rlim_cur) - kReservedDescriptors -
                        settings.number("storage.rocksdb.max_open_files");
  return std::min(configured, std::max<int64_t>(spare, kConnectionsAlways));
}

// Has due background work done, a second after the last round ended or later.
class Ticker : public Deadline {
 public:
  /// `rest_after_rounds` 0: never.
  Ticker(EventLoop& loop, WorkerPool& workers, Database& database, int64_t rest_after_rounds)
      : loop_(loop),
        workers_(workers),
        database_(database),
        rest_after_rounds_(rest_after_rounds) {}
  /// On the loop.
  void Start() { loop_.Arm(*this, 1); }
  void Stop() { loop_.Disarm(*this); }

 private:
  void OnDeadline() override {
    loop_.Arm(*this, 1);
    WatchMemory();
    if (running_.exchange(true)) return;
    const bool submitted = workers_.Submit([this] {
      database_.Tick();
      GiveBackMemory();
      running_.store(false);
    });
    if (!submitted) running_.store(false);
  }

  // Not behind other background work, and not refused by a full queue: what frees memory goes
  // first.
  void WatchMemory() {
    if (relieving_.load() || !database_.NeedsMemoryRound()) return;
    relieving_.store(true);
    workers_.SubmitAlways([this] {
      database_.RunMemoryRound();
      relieving_.store(false);
    });
  }

  // The heap keeps what a burst has used, and what a steady load has freed; once clients have
  // paused for some rounds it goes back to the system, and what the caches hold after a longer
  // pause.
  void GiveBackMemory() {
    const int64_t activity = database_.activity();
    if (std::exchange(last_activity_, activity) != activity) {
      quiet_rounds_ = 0;
      const auto in_use_bytes = [this] {
        return ReadAllocatorMemory().in_use_bytes + database_.block_page_bytes();
      };
      if (heap_trim_.IsDue(ReadProcessMemory().anonymous_bytes, in_use_bytes)) {
        TrimAllocator();
        heap_trim_.NoteTrimmed(ReadProcessMemory().anonymous_bytes, in_use_bytes());
      }
      return;
    }
    ++quiet_rounds_;
    if (quiet_rounds_ == kQuietRoundsBeforeTrim) {
      TrimAllocator();
      if (!std::exchange(has_started_, true)) UnmapIdleCode();
    }
    if (quiet_rounds_ == rest_after_rounds_) database_.Rest();
  }

  static constexpr int kQuietRoundsBeforeTrim = 3;
  EventLoop& loop_;
  WorkerPool& workers_;
  Database& database_;
  const int64_t rest_after_rounds_;
  std::atomic<bool> running_{false};
  std::atomic<bool> relieving_{false};
  // Of the round under way.
  int64_t last_activity_ = 0;
  int64_t quiet_rounds_ = 0;
  bool has_started_ = false;  // and come to rest: what only the start needed is over
  HeapTrim heap_trim_;
};

ExitCode ExitCodeOf(const Status& status) {
  switch (status.kind()) {
    case ErrorKind::Config:
    case ErrorKind::InvalidInput:
      return ExitCode::kConfiguration;
    case ErrorKind::Corruption:
      return ExitCode::kCorruption;
    case ErrorKind::StorageIo:
    case ErrorKind::ReadOnly:
      return ExitCode::kDataDirectory;
    default:
      return ExitCode::kFailure;
  }
}

// Whoever charged is gone: what an account still holds is a mistake of ours, and would have grown.
void LogUnreturned(const MemoryAccount& root) {
  for (const MemoryAccount* account : root.children()) {
    LogUnreturned(*account);
    if (account->used_bytes() == 0) continue;
    Log(LogLevel::kError, "server.memory", "an account did not return to zero",
        {{"account", account->name()}, {"bytes", account->used_bytes()}});
  }
}

class ServerImpl : public Server {
 public:
  ~ServerImpl() override { Stop(); }
  int port() const override { return listener_->port(); }
  void Stop() override;
  bool Open(const LoadedSettings& loaded, StartFailure* failure);

 private:
  Status OpenLogs(const Settings& settings);

  bool stopped_ = false;
  Metrics metrics_;
  std::unique_ptr<MemoryAccount> memory_;
  std::unique_ptr<RateLimiter> rates_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<ServerContext> context_;
  std::unique_ptr<TlsContext> tls_;
  std::unique_ptr<Listener> listener_;
  // The loops outlive nothing of the database, but are taken apart before it: see Stop.
  std::unique_ptr<Database> database_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::unique_ptr<Ticker> ticker_;
};

Status ServerImpl::OpenLogs(const Settings& settings) {
  LogOptions options;
  KALAM_ASSIGN_OR_RETURN(options.level, ParseLogLevel(settings.text("logging.level")));
  const std::string& format = settings.text("logging.format");
  options.format = format == "json"     ? LogFormat::kJson
                   : format == "pretty" ? LogFormat::kPretty
                                        : LogFormat::kCompact;
  options.to_console = settings.flag("logging.log_to_console");
  options.directory = LogDirectory(settings);
  for (const auto& [target, level] : settings.map("logging.targets")) {
    auto parsed = ParseLogLevel(level);
    if (!parsed.ok()) return std::move(parsed).status().WithContext("logging.targets." + target);
    options.levels_by_target.emplace(target, *parsed);
  }
  return OpenLog(options);
}

bool ServerImpl::Open(const LoadedSettings& loaded, StartFailure* failure) {
  const Settings& settings = loaded.settings;
  const auto fail = [failure](ExitCode code, std::string message) {
    *failure = {code, std::move(message)};
    return false;
  };
  RaiseDescriptorLimit();

  // The address first: nothing of the data is touched when the port is taken.
  auto listener = Listener::Bind(settings.text("server.host"),
                                 static_cast<int>(settings.number("server.port")));
  if (!listener.ok()) {
    return fail(
        listener.status().Is(ErrorKind::Busy) ? ExitCode::kAddressInUse : ExitCode::kConfiguration,
        listener.status().message());
  }
  listener_ = std::move(*listener);

  const std::string& directory = settings.text("storage.data_path");
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error || access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    return fail(ExitCode::kDataDirectory,
                fmt::format("cannot use the data directory {}: {}", directory,
                            error ? error.message() : std::string(strerror(errno))));
  }
  if (Status status = OpenLogs(settings); !status.ok()) {
    return fail(ExitCode::kDataDirectory, status.message());
  }
  for (const std::string& warning : loaded.warnings) Log(LogLevel::kWarn, "server.config", warning);

  auto trusted = IpRanges::Parse(settings.list("security.trusted_proxy_ranges"));
  if (!trusted.ok()) {
    return fail(ExitCode::kConfiguration,
                "security.trusted_proxy_ranges: " + trusted.status().message());
  }
  auto plan = PlanMemory(settings, ReadMachineMemory());
  if (!plan.ok()) return fail(ExitCode::kConfiguration, plan.status().message());
  memory_ = std::make_unique<MemoryAccount>("server", nullptr, plan->budget_bytes);
  memory_->set_reserve_bytes(plan->reserve_bytes);
  rates_ = std::make_unique<RateLimiter>(RateLimitsFrom(settings));
  workers_ = std::make_unique<WorkerPool>(
      std::min(static_cast<size_t>(settings.number("performance.worker_max_blocking_threads")),
               plan->worker_threads_max),
      kWorkerQueueMax, metrics_);
  context_ = std::make_unique<ServerContext>(SystemClock(), metrics_, *memory_,
                                             SessionOptionsFrom(settings), CorsPolicy(settings),
                                             std::move(*trusted), *rates_, *workers_);
  context_->connection_memory.request_bodies.set_limit_bytes(plan->request_bodies_bytes);
  context_->connection_memory.write.set_limit_bytes(plan->socket_bytes);
  context_->connection_memory.read.set_limit_bytes(plan->read_bytes);
  context_->api_address = fmt::format("{}:{}", settings.text("server.host"), port());
  if (!settings.text("server.tls.cert").empty()) {
    auto tls = TlsContext::Load(settings.text("server.tls.cert"), settings.text("server.tls.key"));
    if (!tls.ok()) return fail(ExitCode::kConfiguration, tls.status().message());
    tls_ = std::move(*tls);
  }

  int64_t core_count = settings.number("server.workers");
  if (core_count == 0) core_count = std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, 4);
  std::vector<Core*> cores;
  for (int64_t i = 0; i < core_count; ++i) {
    auto core = Core::Make(static_cast<size_t>(i), *context_);
    if (!core.ok()) return fail(ExitCode::kFailure, core.status().message());
    cores.push_back(core->get());
    cores_.push_back(std::move(*core));
  }
  std::vector<std::string> warnings;
  auto database = Database::Open(settings, *plan, *memory_, *context_, cores, &warnings);
  if (!database.ok()) return fail(ExitCodeOf(database.status()), database.status().message());
  database_ = std::move(*database);
  for (const std::string& warning : warnings) Log(LogLevel::kWarn, "server.config", warning);
  ticker_ = std::make_unique<Ticker>(cores[0]->loop(), *workers_, *database_,
                                     settings.number("memory.rest_after_seconds"));
  ticker_->Start();
  const Status listening =
      listener_->Listen(static_cast<int>(settings.number("performance.backlog")),
                        ConnectionsMax(settings, core_count), *context_, cores, tls_.get());
  if (!listening.ok()) {
    return fail(listening.Is(ErrorKind::Busy) ? ExitCode::kAddressInUse : ExitCode::kFailure,
                listening.message());
  }
  for (const std::unique_ptr<Core>& core : cores_) core->StartThread();
  Log(LogLevel::kInfo, "server", "listening",
      {{"address", context_->api_address},
       {"data", directory},
       {"cores", core_count},
       {"memory_budget_bytes", plan->budget_bytes},
       {"memory_budget_from", plan->budget_source}});
  return true;
}

void ServerImpl::Stop() {
  if (std::exchange(stopped_, true) || context_ == nullptr) return;
  context_->stopping.store(true);
  // No new connections; the ones there are hear of it and get a moment to take their last bytes.
  if (!cores_.empty()) {
    cores_[0]->loop().Post([this] {
      listener_->Close();
      if (ticker_ != nullptr) ticker_->Stop();
    });
  }
  for (const std::unique_ptr<Core>& core : cores_) core->BeginShutdown();
  const auto grace_end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kShutdownGraceMs);
  const auto any_open = [this] {
    return std::any_of(cores_.begin(), cores_.end(),
                       [](const auto& core) { return core->connection_count() > 0; });
  };
  while (any_open() && std::chrono::steady_clock::now() < grace_end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // Who is left is cut off, which cancels statements; then the workers come to their end.
  for (const std::unique_ptr<Core>& core : cores_) core->CloseConnections();
  if (workers_ != nullptr) workers_->Close();
  for (const std::unique_ptr<Core>& core : cores_) core->Finish();
  // Commits under way end here; their completions are posted to loops that no longer run, and go
  // with them.
  if (database_ != nullptr) database_->Close();
  ticker_.reset();
  cores_.clear();
  database_.reset();
  LogUnreturned(*memory_);
  Log(LogLevel::kInfo, "server", "stopped");
  CloseLog();
}

}  // namespace

std::unique_ptr<Server> Server::Start(const LoadedSettings& loaded, StartFailure* failure) {
  auto server = std::make_unique<ServerImpl>();
  if (!server->Open(loaded, failure)) return nullptr;
  return server;
}

}  // namespace kalam::server
