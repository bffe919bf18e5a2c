// A byte stream to a server: TCP, with TLS for https.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::client {

/// Where a server is. `http://host[:port]` or `https://...`; no credentials, query or fragment.
struct Endpoint {
  bool tls = false;
  std::string host;
  int port = 8080;
  std::string Url() const;
};
/// Errors: InvalidInput saying what the URL may look like.
Result<Endpoint> ParseUrl(std::string_view url);

/// One connected stream. Not thread-safe.
class Connection {
 public:
  /// Resolves, connects and, for https, checks the server's certificate. Errors: StorageIo naming
  /// the endpoint; Timeout.
  static Result<std::unique_ptr<Connection>> Open(const Endpoint& endpoint, int timeout_ms);
  virtual ~Connection() = default;
  virtual Status Write(std::string_view bytes) = 0;
  /// Appends what arrives within `timeout_ms` (-1: waits for ever). Errors: Timeout; Cancelled when
  /// the peer closed; StorageIo.
  virtual Status Read(std::string* buffer, int timeout_ms) = 0;
  virtual int fd() const = 0;
};

}  // namespace kalam::client
