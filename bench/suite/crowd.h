// Many sockets that receive and a few connections that write, driven by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "suite/environment.h"

namespace kalam::bench {

/// A statement as a client sends it.
struct Statement {
  std::string token;
  std::string sql;
  std::string parameters;  // a JSON array; empty: none
};

struct Subscription {
  std::string id;
  std::string sql;
};

/// Inserts at a steady rate.
struct SteadyLoad {
  int64_t inserts_per_second = 0;
  int seconds = 0;
  int64_t inserts_min = 0;  // goes on until so many were sent, however slow the machine is
  /// Called all the time, at least once a millisecond or two. Empty: nothing to do meanwhile.
  std::function<Status(int64_t elapsed_ns)> meanwhile = {};
};

/// Counts what was written and what arrived; whoever wants to know more is told. Not thread-safe.
class Crowd {
 public:
  struct Callbacks {
    /// The statement that writes number n, counted from 0.
    std::function<Statement(int64_t number)> insert;
    /// What one socket received. Empty: it is only counted.
    std::function<Status(size_t socket, const std::vector<std::string>& messages)> received = {};
    /// What a connection was answered. Empty: anything but 200 is an error.
    std::function<Status(size_t connection, const load::HttpResponse& response)> answered = {};
  };
  /// `environment` must outlive it.
  Crowd(Environment& environment, Callbacks callbacks);

  /// Opens a WebSocket and waits for the acknowledgement of each subscription.
  Status AddSocket(const std::string& token, std::span<const Subscription> subscriptions);
  /// Tells the server that all of them live: those that came first must not fall silent for longer
  /// than it allows while the others come.
  Status PingAll();
  /// Connections for the inserts.
  Status AddWriters(int count);
  /// A connection for other statements; returns its number.
  Result<size_t> AddConnection();

  bool is_busy(size_t connection) const { return connections_[connection].is_busy; }
  /// On a connection that is not busy.
  Status Send(size_t connection, const Statement& statement);
  /// Has writers send until so many inserts were sent in all, or none is free. They take turns: the
  /// server closes a connection that sends nothing for a minute and a quarter.
  Status WriteUntil(int64_t sent);
  /// Returns how many inserts a second really were sent.
  Result<double> WriteSteadily(const SteadyLoad& load);
  /// Waits for something to arrive, at most so long, and takes all of it.
  Status TakeEvents(int64_t wait_ns);
  /// Takes events until so many messages have come in all, or the time is over.
  Status Await(int64_t delivered, int timeout_ms);

  int64_t sent() const { return sent_; }
  int64_t delivered() const { return delivered_; }

 private:
  struct Connection {
    load::HttpClient client;
    std::string buffer;
    bool is_busy = false;
  };

  void Watch(int fd, uint32_t tag);
  Status TakeMessages(size_t socket);
  Status TakeAnswer(size_t connection);

  Environment& environment_;
  const Callbacks callbacks_;
  load::Socket poller_;
  std::vector<load::WebSocketClient> sockets_;
  std::vector<Connection> connections_;
  size_t writer_count_ = 0;  // the first connections
  size_t next_writer_ = 0;
  std::vector<std::string> messages_;
  int64_t sent_ = 0, delivered_ = 0;
};

}  // namespace kalam::bench
