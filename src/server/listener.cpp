// Binding, accepting, admission per address, and the cores' threads.
#include "server/listener.h"

#include <errno.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server/http_session.h"
#include "server/limits.h"
#include "server/memory_guard.h"

namespace kalam::server {

namespace {

// What an open connection holds beside its buffers: itself, its protocol (HTTP or WebSocket), and
// the heap's own bytes around them.
constexpr int64_t kConnectionBytes = sizeof(Connection) + sizeof(HttpSession) + 96;
// The state of a TLS stream inside OpenSSL: 16.2 KB beyond a plain one, of a thousand idle ones.
constexpr int64_t kTlsStreamBytes = 16 << 10;

int64_t MemoryOf(bool secure) { return kConnectionBytes + (secure ? kTlsStreamBytes : 0); }

}  // namespace

Result<std::unique_ptr<Core>> Core::Make(size_t index, ServerContext& server) {
  auto core = std::make_unique<Core>();
  KALAM_ASSIGN_OR_RETURN(core->loop_, EventLoop::Make(index));
  core->context_ = std::make_unique<CoreContext>(server, *core->loop_);
  return core;
}

Core::~Core() { Finish(); }

void Core::StartThread() {
  thread_ = std::thread([this] {
    const std::string name = fmt::format("kalam-core-{}", loop_->index());
    pthread_setname_np(pthread_self(), name.c_str());
    loop_->Run();
  });
}

void Core::Adopt(int fd, const IpAddress& peer, std::unique_ptr<TlsStream> tls) {
  connection_count_.fetch_add(1, std::memory_order_relaxed);
  context_->server.connections.Add(1);
  // std::function wants something copyable.
  auto stream = std::make_shared<std::unique_ptr<TlsStream>>(std::move(tls));
  loop_->Post([this, fd, peer, stream] {
    context_->server.connection_memory.sessions.Charge(MemoryOf(*stream != nullptr));
    auto connection = std::make_shared<Connection>(*loop_, fd, peer, std::move(*stream), *this);
    connection->next = connections_;
    if (connections_ != nullptr) connections_->previous = connection.get();
    connections_ = connection;
    connection->Start(std::make_unique<HttpSession>(*connection, *context_));
  });
}

void Core::OnConnectionClosed(Connection& connection) {
  ServerContext& server = context_->server;
  server.connection_memory.sessions.Release(MemoryOf(connection.secure()));
  connection_count_.fetch_sub(1, std::memory_order_relaxed);
  server.connections.Add(-1);
  const IpAddress& peer = connection.peer();
  if (!peer.is_loopback() && !server.trusted_proxies.Contains(peer))
    server.rates.ReleaseConnection(peer);
  std::shared_ptr<Connection> next = std::move(connection.next);
  if (next != nullptr) next->previous = connection.previous;
  // The caller (Connection::Close) holds its own reference.
  if (connection.previous != nullptr) {
    connection.previous->next = next;
  } else {
    connections_ = next;
  }
  connection.previous = nullptr;
}

void Core::ForEach(const std::function<void(Protocol&)>& function) {
  for (std::shared_ptr<Connection> at = connections_; at != nullptr;) {
    const std::shared_ptr<Connection> next = at->next;
    if (Protocol* protocol = at->protocol(); protocol != nullptr && at->open()) function(*protocol);
    at = next;
  }
}

void Core::BeginShutdown() {
  loop_->Post([this] { ForEach([](Protocol& protocol) { protocol.OnShutdown(); }); });
}

void Core::CloseConnections() {
  loop_->Post([this] {
    while (connections_ != nullptr) {
      const std::shared_ptr<Connection> first = connections_;
      first->Close();
    }
  });
}

void Core::Finish() {
  // A core that never ran has nothing to close.
  if (!thread_.joinable()) return;
  CloseConnections();
  loop_->Stop();
  thread_.join();
}

Result<std::unique_ptr<Listener>> Listener::Bind(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  if (const int error = getaddrinfo(host.c_str(), service.c_str(), &hints, &found); error != 0) {
    return Status(ErrorKind::Config,
                  fmt::format("server.host: cannot resolve {}: {}", host, gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return Status(ErrorKind::StorageIo, fmt::format("cannot create a socket: {}", strerror(errno)));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Accepted sockets inherit these (commit rule: a client that stops reading may hold little kernel
  // memory).
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketSendBufferBytes, sizeof kSocketSendBufferBytes);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kSocketUnsentLowWaterBytes,
             sizeof kSocketUnsentLowWaterBytes);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    const int error = errno;
    close(fd);
    if (error == EADDRINUSE) {
      return Status(
          ErrorKind::Busy,
          fmt::format("port {} on {} is already in use; stop the other program or set server.port",
                      port, host));
    }
    return Status(ErrorKind::Config,
                  fmt::format("cannot listen on {}:{}: {}", host, port, strerror(error)));
  }
  const int chosen = bound.ss_family == AF_INET6
                         ? ntohs(reinterpret_cast<sockaddr_in6&>(bound).sin6_port)
                         : ntohs(reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return std::make_unique<Listener>(fd, chosen);
}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Status Listener::Listen(int backlog, int64_t connections_max, ServerContext& server,
                        std::vector<Core*> cores, TlsContext* tls) {
  server_ = &server;
  cores_ = std::move(cores);
  tls_ = tls;
  connections_max_ = connections_max;
  if (listen(fd_, backlog) != 0) {
    const bool in_use = errno == EADDRINUSE;
    return Status(in_use ? ErrorKind::Busy : ErrorKind::StorageIo,
                  fmt::format("cannot listen on port {}: {}", port_, strerror(errno)));
  }
  return cores_[0]->loop().Watch(fd_, *this);
}

void Listener::OnEvents(uint32_t) { AcceptAll(); }

void Listener::AcceptAll() {
  while (fd_ >= 0) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const int fd =
        accept4(fd_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        Log(LogLevel::kWarn, "server.listener", "cannot accept connections",
            {{"reason", strerror(errno)}});
        cores_[0]->loop().Arm(retry_, 1);
      }
      return;
    }
    const std::optional<IpAddress> peer = IpAddress::FromSocket(reinterpret_cast<sockaddr*>(&from));
    if (!peer || !Admit(fd, *peer)) {
      close(fd);
      continue;
    }
    cores_[next_core_]->Adopt(fd, *peer, tls_ != nullptr ? tls_->NewStream() : nullptr);
    next_core_ = (next_core_ + 1) % cores_.size();
  }
}

bool Listener::Admit(int fd, const IpAddress& peer) {
  std::string body;
  int64_t open = server_->connections.value();
  const Status memory =
      server_->memory_guard != nullptr ? server_->memory_guard->AdmitConnection() : Status::Ok();
  if (!memory.ok()) {
    body = ErrorBody(TraitsOf(memory.kind()).wire_code, memory.message());
  } else if (open >= connections_max_) {
    body = ErrorBody("TOO_MANY_CONNECTIONS", "The server has too many connections");
    body.pop_back();
    body += fmt::format(",\"current\":{},\"max\":{}}}", open, connections_max_);
  } else if (!peer.is_loopback() && !server_->trusted_proxies.Contains(peer) &&
             !server_->rates.AcquireConnection(peer, server_->clock.SteadyUs(), &open)) {
    body = ErrorBody("TOO_MANY_CONNECTIONS", "This address has too many connections");
    body.pop_back();
    body += fmt::format(",\"current\":{},\"max\":{}}}", open,
                        server_->rates.limits().connections_per_address);
  } else {
    return true;
  }
  if (tls_ == nullptr) {
    const std::string answer = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: "
        "{}\r\n"
        "Retry-After: 5\r\nConnection: close\r\n\r\n{}",
        body.size(), body);
    [[maybe_unused]] const ssize_t sent = send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
  }
  return false;
}

}  // namespace kalam::server
