// HTTP/1.1 requests over one keep-alive connection.
#pragma once

#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client/connection.h"

namespace kalam::client {

struct HttpReply {
  int status = 0;
  std::string body;
};

/// Reconnects when the server closed the idle connection. A request that was sent and not answered
/// is not sent again: its outcome is unknown. Not thread-safe.
class HttpClient {
 public:
  HttpClient(Endpoint endpoint, int connect_timeout_ms, int receive_timeout_ms)
      : endpoint_(std::move(endpoint)),
        connect_timeout_ms_(connect_timeout_ms),
        receive_timeout_ms_(receive_timeout_ms) {}
  /// `token` empty: no Authorization header; `body` empty: none. Errors: StorageIo, Timeout,
  /// OutcomeUnknown.
  Result<HttpReply> Request(std::string_view method, std::string_view path, std::string_view token,
                            std::string_view body) {
    return Send(method, path, token, "application/json", {&body, 1});
  }
  /// A body in pieces of another type; the pieces are sent one after the other.
  Result<HttpReply> Send(std::string_view method, std::string_view path, std::string_view token,
                         std::string_view content_type, std::span<const std::string_view> body);
  /// GET, with a body of any size that goes to `file` as it comes; the reply has a body only when
  /// the status is not 200. Errors: as Request; StorageIo when the file cannot be written.
  Result<HttpReply> Download(std::string_view path, std::string_view token, std::FILE* file);
  const Endpoint& endpoint() const { return endpoint_; }

 private:
  Result<HttpReply> ReadReply();
  Status Connect();
  Status ReadHead(std::string* head, HttpReply* reply);
  const Endpoint endpoint_;
  const int connect_timeout_ms_;
  const int receive_timeout_ms_;
  std::unique_ptr<Connection> connection_;
  std::string buffer_;
};

}  // namespace kalam::client
