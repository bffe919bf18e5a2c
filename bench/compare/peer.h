// A server under measurement, ours or another one that speaks the same protocol: signed in, with
// connections in stock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/http_client.h"
#include "load/websocket_client.h"

namespace kalam::bench {

/// Not thread-safe.
class Peer {
 public:
  /// `token` empty: signs in with user and password. `label` names it in reports. The namespace is
  /// new for every run.
  struct Options {
    std::string label;
    load::Endpoint endpoint = 0;
    std::string user = "root";
    std::string password;
    std::string token;
    std::string namespace_id;
    /// Stops the server and starts it again on the same data without waiting for it; returns where
    /// it will listen. Empty: nobody here can.
    std::function<Result<load::Endpoint>()> restart;
  };
  /// Bytes of the server's process; -1 where they cannot be known.
  struct Memory {
    int64_t rss_bytes = -1;
    int64_t private_bytes = -1;
  };
  static Result<std::unique_ptr<Peer>> Connect(Options options);

  const std::string& label() const { return options_.label; }
  const load::Endpoint& endpoint() const { return options_.endpoint; }
  const std::string& token() const { return token_; }
  const std::string& namespace_id() const { return options_.namespace_id; }
  /// `name` in the run's namespace.
  std::string Table(std::string_view name) const;

  /// Runs a request on the first connection; the answer's body. Errors: Execution with the server's
  /// text; NotAvailable when the server says that it lacks the feature.
  Result<std::string> Sql(std::string_view sql, std::string_view params_json = {});
  /// The value of the first cell of the first result.
  Result<std::string> Cell(std::string_view sql);
  /// All at once, one connection each, and waits for every answer.
  Status Parallel(const std::vector<std::string>& statements);
  /// The two halves of Parallel. Finish takes the answers to the statements of the last Begin.
  Status Begin(const std::vector<std::string>& statements);
  Status Finish(size_t statement_count);
  /// The same over `connections` connections, the rest in line; returns how many failed.
  Result<int> Pipeline(const std::vector<std::string>& statements, int connections);
  /// A WebSocket that has been told auth_success.
  Result<load::WebSocketClient> OpenSocket() const;
  /// A login with the password on a connection of its own, and one statement with the token that it
  /// gave.
  Status LoginAndQuery(const std::string& sql);
  /// True when there is a password to log in with.
  bool can_log_in() const { return !options_.password.empty(); }
  /// The access token of a login. Errors: Execution with the server's text.
  Result<std::string> LogIn(const std::string& user, const std::string& password) const;
  /// Restarts the server; the time from its start to the first answer to `sql`, in microseconds.
  /// Errors: NotAvailable when nobody here can start it.
  Result<double> TimeColdStart(const std::string& sql);
  /// From the kernel when the server runs on this machine (whoever may not read a process's maps
  /// sees no private bytes), else what system.stats tells.
  Memory MeasureMemory();
  /// Something that the report shows beside the figures of the benchmark that runs.
  void Note(std::string note) { notes_.push_back(std::move(note)); }
  std::vector<std::string> TakeNotes() { return std::exchange(notes_, {}); }

 private:
  explicit Peer(Options options) : options_(std::move(options)) {}
  /// Connections for so many requests at once; idle ones are replaced.
  Status Grow(size_t connections);

  Options options_;
  std::string token_;
  std::vector<load::HttpClient> clients_;
  int64_t used_ns_ = 0;
  std::vector<std::string> notes_;
};

/// "12.3 MB resident, 4.5 MB private", as far as known.
std::string ToText(const Peer::Memory& memory);

}  // namespace kalam::bench
