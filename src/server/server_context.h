// What the sessions of the server share, and what belongs to one core.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "server/address.h"
#include "server/connection_accounts.h"
#include "server/cors.h"
#include "server/event_loop.h"
#include "server/http_message.h"
#include "server/rate_limiter.h"
#include "server/worker_pool.h"

namespace kalam::auth {
class Authenticator;
}
namespace kalam::files {
class FileStore;
}
namespace kalam::live {
class LiveHub;
}
namespace kalam::statements {
class StatementProcessor;
}

namespace kalam::server {

class MemoryGuard;
class RequestReader;

/// Times and sizes of sessions, from the configuration.
struct SessionOptions {
  HttpLimits http;
  int64_t keep_alive_s = 75;
  int64_t request_s = 5;
  int64_t disconnect_s = 2;
  int64_t websocket_silence_s = 60;
  int64_t websocket_authentication_s = 10;
  int64_t websocket_heartbeat_s = 15;
  int64_t websocket_messages_per_s = 50;
  size_t websocket_message_bytes_max = 1 << 20;
  bool cookie_secure = true;
  bool allow_remote_setup = false;
  bool password_complexity = false;
};

/// Shared by all cores; everything in it is thread-safe or constant while the server runs.
struct ServerContext {
  ServerContext(const Clock& system_clock, Metrics& server_metrics, MemoryAccount& memory,
                SessionOptions session_options, CorsPolicy cors_policy, IpRanges trusted,
                RateLimiter& limiter, WorkerPool& pool)
      : clock(system_clock),
        metrics(server_metrics),
        options(std::move(session_options)),
        cors(std::move(cors_policy)),
        trusted_proxies(std::move(trusted)),
        rates(limiter),
        workers(pool),
        started_steady_us(system_clock.SteadyUs()),
        connection_memory(memory.Child("connections")),
        requests(server_metrics.counter("http_requests")),
        statements_to_workers(server_metrics.counter("statements_to_workers_total")),
        answers_refused(server_metrics.counter("memory_answers_refused")),
        connections(server_metrics.gauge("active_connections")),
        websockets(server_metrics.gauge("websocket_sessions")) {}

  const Clock& clock;
  Metrics& metrics;
  const SessionOptions options;
  const CorsPolicy cors;
  const IpRanges trusted_proxies;
  RateLimiter& rates;
  WorkerPool& workers;
  const int64_t started_steady_us;
  const ConnectionAccounts connection_memory;
  Counter& requests;
  Counter& statements_to_workers;  // that a core could not or would not answer by itself
  Counter& answers_refused;        // large ones, while others are not read
  Gauge& connections;
  Gauge& websockets;

  // Set before the first connection.
  auth::Authenticator* authenticator = nullptr;
  catalog::Catalog* catalog = nullptr;
  statements::StatementProcessor* statements = nullptr;
  files::FileStore* files = nullptr;
  MemoryGuard* memory_guard = nullptr;
  /// The bodies of the metrics routes; block, so on workers only.
  std::function<std::string()> memory_json;
  std::function<std::string()> prometheus_text;
  /// Makes catalog records durable; blocks, so on workers only.
  std::function<Status(catalog::RecordWrites)> write_records;
  std::string data_directory;
  std::string api_address;  // host:port as clients reach it

  std::mutex setup_mutex;  // one setup at a time
  std::atomic<bool> stopping{false};
  std::atomic<int64_t> websocket_count{0};
};

/// The answer of /v1/api/cluster/health: a cluster of this node alone.
std::string ClusterHealthBody(const ServerContext& server);

/// One core's own things. Used on its loop only.
class CoreContext {
 public:
  CoreContext(ServerContext& server_context, EventLoop& event_loop);
  ~CoreContext();

  ServerContext& server;
  EventLoop& loop;
  // Set before the loop runs.
  live::LiveHub* hub = nullptr;
  /// Whether commits are brought to this core's hub: on while it has WebSockets.
  std::function<void(bool)> set_following;
  /// Brings the commits that wait for this core to its hub now: everything acknowledged before.
  std::function<void()> take_commits;
  size_t follower_count = 0;
  const std::unique_ptr<RequestReader> reader;

  /// The value of the Date header, remade once a second.
  std::string_view Date();

 private:
  uint32_t date_at_s_ = 0;
  std::string date_;
};

}  // namespace kalam::server
