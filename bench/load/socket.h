// A TCP socket for load generators: connect, send all, wait readable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::load {

/// Where a server listens. A port alone is one of this machine.
struct Endpoint {
  Endpoint(int loopback_port) : port(loopback_port) {}  // NOLINT: a port is an endpoint here
  Endpoint(std::string host_name, int host_port) : host(std::move(host_name)), port(host_port) {}
  std::string host = "127.0.0.1";
  int port = 0;
};
/// `http://host[:port]`, port 8080 when there is none. Errors: InvalidOperation.
Result<Endpoint> ParseUrl(std::string_view url);

/// Owns one connected socket.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { Close(); }
  /// TCP_NODELAY is set. Errors: StorageIo with the system's text.
  static Result<Socket> Connect(const Endpoint& endpoint);
  Status SendAll(std::string_view bytes);
  /// Reads what is there, waiting at most `timeout_ms` (-1: for ever); appends to `buffer`. Errors:
  /// Timeout, StorageIo, or Cancelled when the peer closed.
  Status Receive(std::string* buffer, int timeout_ms);
  void SetNonBlocking();
  void SetReceiveBuffer(int bytes);
  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

/// Lets this process, and servers that it starts, open many files; returns how many: 65,536 where
/// that is permitted, else as many as are.
int64_t RaiseFileLimit();

int64_t SteadyNs();
/// A port that nobody listened on a moment ago.
int FreePort();

}  // namespace kalam::load
