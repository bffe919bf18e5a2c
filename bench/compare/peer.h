// A server under measurement, ours or another one that speaks the same protocol: signed in, with
// connections in stock.
#pragma once

#include <memory>
#include <string>
#include <string_view>
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
  };
  static Result<std::unique_ptr<Peer>> Connect(Options options);

  const std::string& label() const { return options_.label; }
  const load::Endpoint& endpoint() const { return options_.endpoint; }
  const std::string& token() const { return token_; }
  /// `name` in the run's namespace.
  std::string Table(std::string_view name) const;

  /// Runs a request on the first connection; the answer's body. Errors: Execution with the server's
  /// text; NotAvailable when the server says that it lacks the feature.
  Result<std::string> Sql(std::string_view sql, std::string_view params_json = {});
  /// The value of the first cell of the first result.
  Result<std::string> Cell(std::string_view sql);
  /// All at once, one connection each, and waits for every answer.
  Status Parallel(const std::vector<std::string>& statements);
  /// The same over `connections` connections, the rest in line; returns how many failed.
  Result<int> Pipeline(const std::vector<std::string>& statements, int connections);
  /// A WebSocket that has been told auth_success.
  Result<load::WebSocketClient> OpenSocket() const;
  /// A login with the password on a connection of its own, and one statement with the token that it
  /// gave.
  Status LoginAndQuery(const std::string& sql);
  /// True when there is a password to log in with.
  bool can_log_in() const { return !options_.password.empty(); }
  std::string MakeLogin() const;

 private:
  explicit Peer(Options options) : options_(std::move(options)) {}
  Status Grow(size_t connections);

  Options options_;
  std::string token_;
  std::vector<load::HttpClient> clients_;
};

}  // namespace kalam::bench
