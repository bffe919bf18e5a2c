// TCP sockets for load generators.
#include "load/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <memory>

namespace kalam::load {
namespace {

Status SystemError(const char* action) {
  return Status(ErrorKind::StorageIo, std::string(action) + ": " + std::strerror(errno));
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = other.fd_;
    other.fd_ = -1;
  }
  return *this;
}

void Socket::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<Endpoint> ParseUrl(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const Status refused(ErrorKind::InvalidOperation,
                       "'" + std::string(url) + "' is not a URL like http://127.0.0.1:8080");
  if (url.substr(0, kScheme.size()) != kScheme) return refused;
  url.remove_prefix(kScheme.size());
  url = url.substr(0, url.find('/'));
  const size_t colon = url.find(':');
  int port = 8080;
  if (colon != std::string_view::npos) {
    const std::string_view digits = url.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) return refused;
  }
  const std::string_view host = url.substr(0, colon);
  if (host.empty() || port <= 0 || port > 65535) return refused;
  return Endpoint(std::string(host), port);
}

Result<Socket> Socket::Connect(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure =
      getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (failure != 0) {
    return Status(ErrorKind::StorageIo, endpoint.host + ": " + gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.open()) return SystemError("socket");
  const int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(socket.fd(), owned->ai_addr, owned->ai_addrlen) != 0) return SystemError("connect");
  return socket;
}

Status Socket::SendAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd wait{fd_, POLLOUT, 0};
      poll(&wait, 1, 1000);
    } else if (errno != EINTR) {
      return SystemError("send");
    }
  }
  return {};
}

Status Socket::Receive(std::string* buffer, int timeout_ms) {
  char chunk[64 << 10];
  while (true) {
    if (timeout_ms >= 0) {
      pollfd wait{fd_, POLLIN, 0};
      const int ready = poll(&wait, 1, timeout_ms);
      if (ready == 0) return Status(ErrorKind::Timeout, "nothing received in time");
    }
    const ssize_t got = recv(fd_, chunk, sizeof(chunk), 0);
    if (got > 0) {
      buffer->append(chunk, static_cast<size_t>(got));
      return {};
    }
    if (got == 0) return Status(ErrorKind::Cancelled, "the server closed the connection");
    if (errno != EINTR) return SystemError("recv");
  }
}

void Socket::SetNonBlocking() { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }

void Socket::SetReceiveBuffer(int bytes) {
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int64_t RaiseFileLimit() {
  constexpr rlim_t kFiles = 65'536;
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const rlimit wanted{kFiles, std::max(kFiles, files.rlim_max)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return kFiles;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return static_cast<int64_t>(files.rlim_cur);
}

int64_t SteadyNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int FreePort() {
  const Socket probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(probe.fd(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  getsockname(probe.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace kalam::load
