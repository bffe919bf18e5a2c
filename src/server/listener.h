// The listening socket and the cores that accepted connections are dealt to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "server/connection.h"
#include "server/server_context.h"

namespace kalam::server {

/// One thread with its loop and its connections.
class Core : public ConnectionOwner {
 public:
  Core() = default;  // use Make
  static Result<std::unique_ptr<Core>> Make(size_t index, ServerContext& server);
  ~Core() override;

  CoreContext& context() { return *context_; }
  EventLoop& loop() { return *loop_; }

  void StartThread();
  /// Takes over an accepted socket. Any thread.
  void Adopt(int fd, const IpAddress& peer, std::unique_ptr<TlsStream> tls);
  /// Tells every connection that the server stops. Any thread.
  void BeginShutdown();
  /// Cuts off whoever is left. Any thread.
  void CloseConnections();
  /// Closes what is left and ends the thread. Called from outside of it.
  void Finish();
  /// Runs `function` for every protocol on the core's thread. Call on the loop only.
  void ForEach(const std::function<void(Protocol&)>& function);
  /// Any thread.
  size_t connection_count() const { return connection_count_.load(std::memory_order_relaxed); }

 private:
  void OnConnectionClosed(Connection& connection) override;
  const ConnectionAccounts& connection_accounts() const override {
    return context_->server.connection_memory;
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<CoreContext> context_;
  std::thread thread_;
  std::shared_ptr<Connection> connections_;  // list; loop only
  std::atomic<size_t> connection_count_{0};
};

/// Accepts on the first core's loop and deals connections to the cores in turn.
class Listener : public EventLoop::Watcher {
 public:
  /// Binds, but does not listen yet. Errors: Busy (address in use), Config (no such address).
  static Result<std::unique_ptr<Listener>> Bind(const std::string& host, int port);
  Listener(int fd, int port) : fd_(fd), port_(port) {}  // use Bind
  ~Listener() override;

  int port() const { return port_; }
  /// Begins to accept. `tls` may be null.
  Status Listen(int backlog, int64_t connections_max, ServerContext& server,
                std::vector<Core*> cores, TlsContext* tls);
  /// Takes no more connections. On the first core's loop, or after it has ended.
  void Close();

 private:
  void OnEvents(uint32_t events) override;
  void AcceptAll();
  bool Admit(int fd, const IpAddress& peer);

  int fd_;
  const int port_;
  ServerContext* server_ = nullptr;
  std::vector<Core*> cores_;
  TlsContext* tls_ = nullptr;
  int64_t connections_max_ = 0;
  size_t next_core_ = 0;

  // Descriptors ran out: try again a second later, not in a spin.
  class Retry : public Deadline {
   public:
    explicit Retry(Listener& listener) : listener_(listener) {}
    void OnDeadline() override { listener_.AcceptAll(); }

   private:
    Listener& listener_;
  };
  Retry retry_{*this};
};

}  // namespace kalam::server
