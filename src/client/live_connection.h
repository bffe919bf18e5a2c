// A WebSocket to /v1/ws: authentication, subscriptions, messages as JSON text.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "client/connection.h"

namespace kalam::client {

/// Not thread-safe. Compressed messages are inflated; pings are answered inside Next.
class LiveConnection {
 public:
  /// Connects, upgrades with the token, waits for auth_success. Errors: StorageIo, Unauthorized,
  /// Timeout.
  static Result<std::unique_ptr<LiveConnection>> Open(const Endpoint& endpoint,
                                                      std::string_view token, int timeout_ms);
  ~LiveConnection();

  /// `options_json`: an object, or empty for none.
  Status Subscribe(std::string_view id, std::string_view sql, std::string_view options_json);
  Status NextBatch(std::string_view id, std::string_view last_seq);
  Status Unsubscribe(std::string_view id);
  Status Ping();
  /// The next message as JSON. Errors: Timeout; Cancelled when the server closed, with its reason.
  Result<std::string> Next(int timeout_ms);

 private:
  explicit LiveConnection(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}
  Status SendFrame(int op, std::string_view payload);
  Status Upgrade(const Endpoint& endpoint, std::string_view token, int timeout_ms);
  std::unique_ptr<Connection> connection_;
  std::string buffer_;
};

/// Inflates one gzip member. Errors: InvalidInput; TooLarge above 64 MiB.
Result<std::string> InflateGzip(std::string_view bytes);

}  // namespace kalam::client
