// A WebSocket client for load generators: small, blocking or driven by a poller, JSON in plain
// text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "load/socket.h"

namespace kalam::load {

/// One connection to /v1/ws without compression. Not thread-safe.
class WebSocketClient {
 public:
  /// Connects, upgrades with the bearer token and waits for auth_success.
  static Result<WebSocketClient> Open(const Endpoint& endpoint, std::string_view token);
  /// Connects and asks for the upgrade without waiting; for storms of connections.
  static Result<WebSocketClient> Begin(const Endpoint& endpoint, std::string_view token);
  /// After Begin, when a poller says there is something: true when the upgrade has been answered.
  /// What came behind the answer is left for TakeBuffered.
  Result<bool> FinishUpgrade();
  /// Messages that have been read already.
  Status TakeBuffered(std::vector<std::string>* messages);
  /// Sends one text message (masked, as clients must).
  Status Send(std::string_view text);
  /// The next message, waiting at most `timeout_ms`. Pings are answered inside. Errors: Timeout,
  /// Cancelled (closed).
  Result<std::string> Receive(int timeout_ms);
  /// What has already arrived, without waiting; used after a poller said there is something.
  Status ReadAvailable(std::vector<std::string>* messages);
  /// `{"type":"subscribe",...}`; `options_json` empty: without options.
  Status Subscribe(std::string_view id, std::string_view sql, std::string_view options_json);
  Socket& socket() { return socket_; }

 private:
  bool TakeMessage(std::string* message, bool* closed);
  Socket socket_;
  std::string buffer_;
};

/// The text of a string or number field of a flat search in `json`, without unescaping: for hot
/// loops over known messages.
std::optional<std::string_view> FieldText(std::string_view json, std::string_view name);

}  // namespace kalam::load
