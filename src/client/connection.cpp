// TCP and TLS streams.
#include "client/connection.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace kalam::client {
namespace {

Status SystemError(const std::string& what) {
  return Status(ErrorKind::StorageIo, what + ": " + std::strerror(errno));
}

class TcpConnection : public Connection {
 public:
  explicit TcpConnection(int fd) : fd_(fd) {}
  ~TcpConnection() override { close(fd_); }
  TcpConnection(const TcpConnection&) = delete;
  TcpConnection& operator=(const TcpConnection&) = delete;

  Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return SystemError("Cannot send to the server");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
  }

  Status Read(std::string* buffer, int timeout_ms) override {
    KALAM_RETURN_IF_ERROR(WaitReadable(timeout_ms));
    char chunk[32 << 10];
    const ssize_t got = recv(fd_, chunk, sizeof(chunk), 0);
    if (got < 0) return SystemError("Cannot receive from the server");
    if (got == 0) return Status(ErrorKind::Cancelled, "The server closed the connection");
    buffer->append(chunk, static_cast<size_t>(got));
    return {};
  }

  int fd() const override { return fd_; }

 protected:
  Status WaitReadable(int timeout_ms) const {
    pollfd wait{fd_, POLLIN, 0};
    const int ready = poll(&wait, 1, timeout_ms);
    if (ready == 0) return Status(ErrorKind::Timeout, "The server did not answer in time");
    // A signal (Ctrl+C) is the caller's to look at.
    if (ready < 0 && errno == EINTR) return Status(ErrorKind::Timeout, "Interrupted");
    return ready < 0 ? SystemError("Cannot wait for the server") : Status();
  }

 private:
  const int fd_;
};

struct SslContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

Status TlsError(const std::string& what) {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  return Status(ErrorKind::StorageIo, what + (reason ? std::string(": ") + reason : std::string()));
}

class TlsConnection final : public TcpConnection {
 public:
  explicit TlsConnection(int fd) : TcpConnection(fd) {}

  Status Handshake(const std::string& host) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_default_verify_paths(context_.get());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), fd());
    SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
    SSL_set1_host(ssl_.get(), host.c_str());
    return SSL_connect(ssl_.get()) == 1 ? Status()
                                        : TlsError("TLS handshake with " + host + " failed");
  }

  Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (sent <= 0) return TlsError("Cannot send to the server");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
  }

  Status Read(std::string* buffer, int timeout_ms) override {
    if (SSL_pending(ssl_.get()) == 0) KALAM_RETURN_IF_ERROR(WaitReadable(timeout_ms));
    char chunk[32 << 10];
    const int got = SSL_read(ssl_.get(), chunk, sizeof(chunk));
    if (got <= 0) return Status(ErrorKind::Cancelled, "The server closed the connection");
    buffer->append(chunk, static_cast<size_t>(got));
    return {};
  }

 private:
  std::unique_ptr<SSL_CTX, SslContextFree> context_;
  std::unique_ptr<SSL, SslFree> ssl_;
};

// A connected socket, or -1 with errno set.
int ConnectTo(const addrinfo& address, int timeout_ms) {
  const int fd = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        address.ai_protocol);
  if (fd < 0) return -1;
  if (connect(fd, address.ai_addr, address.ai_addrlen) != 0) {
    pollfd wait{fd, POLLOUT, 0};
    int failure = errno;
    if (failure == EINPROGRESS) {
      failure = ETIMEDOUT;
      socklen_t size = sizeof(failure);
      if (poll(&wait, 1, timeout_ms) > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    }
    if (failure != 0) {
      close(fd);
      errno = failure;
      return -1;
    }
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // Reads poll first, writes may block: the shell has nothing else to do.
  int blocking = 0;
  ioctl(fd, FIONBIO, &blocking);
  return fd;
}

}  // namespace

std::string Endpoint::Url() const {
  const bool v6 = host.find(':') != std::string::npos;
  return std::string(tls ? "https://" : "http://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port);
}

Result<Endpoint> ParseUrl(std::string_view url) {
  const Status invalid(
      ErrorKind::InvalidInput,
      "Invalid server URL '" + std::string(url) + "'; write http://host:port or https://host:port");
  Endpoint endpoint;
  if (url.substr(0, 8) == "https://") {
    endpoint.tls = true;
    endpoint.port = 443;
    url.remove_prefix(8);
  } else if (url.substr(0, 7) == "http://") {
    endpoint.port = 80;
    url.remove_prefix(7);
  } else {
    return invalid;
  }
  if (url.find_first_of("@?#") != std::string_view::npos) return invalid;
  while (!url.empty() && url.back() == '/') url.remove_suffix(1);
  if (url.find('/') != std::string_view::npos) return invalid;
  const size_t bracket = url.rfind(']');
  const size_t colon = url.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view digits = url.substr(colon + 1);
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return invalid;
    if (endpoint.port < 1 || endpoint.port > 65535) return invalid;
    url = url.substr(0, colon);
  }
  if (!url.empty() && url.front() == '[' && url.back() == ']') url = url.substr(1, url.size() - 2);
  if (url.empty()) return invalid;
  endpoint.host = url;
  return endpoint;
}

Result<std::unique_ptr<Connection>> Connection::Open(const Endpoint& endpoint, int timeout_ms) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* addresses = nullptr;
  const int resolved =
      getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &addresses);
  if (resolved != 0) {
    return Status(ErrorKind::StorageIo,
                  "Cannot resolve " + endpoint.host + ": " + gai_strerror(resolved));
  }
  int fd = -1;
  for (const addrinfo* address = addresses; address != nullptr && fd < 0;
       address = address->ai_next) {
    fd = ConnectTo(*address, timeout_ms);
  }
  freeaddrinfo(addresses);
  if (fd < 0) return SystemError("Cannot connect to " + endpoint.Url());
  if (!endpoint.tls) return std::unique_ptr<Connection>(std::make_unique<TcpConnection>(fd));
  auto secure = std::make_unique<TlsConnection>(fd);
  KALAM_RETURN_IF_ERROR(secure->Handshake(endpoint.host));
  return std::unique_ptr<Connection>(std::move(secure));
}

}  // namespace kalam::client
