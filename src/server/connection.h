// One accepted socket: reads into its core's shared buffer, writes at once, keeps bytes only while
// it must.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "server/address.h"
#include "server/connection_accounts.h"
#include "server/event_loop.h"
#include "server/tls.h"

namespace kalam::server {

class Connection;

/// What speaks on a connection: HTTP, later perhaps WebSocket. Every call comes on the connection's
/// core.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// Takes bytes from the front (it may change them) and returns how many; the rest is given again
  /// with what follows.
  virtual size_t OnBytes(std::span<char> bytes) = 0;
  /// Unsent bytes fell below the low-water mark.
  virtual void OnWritable() {}
  /// The client closed its side or vanished: nobody waits for long work any more.
  virtual void OnPeerGone() {}
  virtual void OnDeadline() {}
  /// The server stops: finish what is under way, then close.
  virtual void OnShutdown() = 0;
  /// Tokens of a user (of one session when `session_id` is not empty) are no longer valid.
  virtual void OnRevoked(std::string_view /*user_id*/, std::string_view /*session_id*/) {}
  /// The connection is gone; called once, also before destruction.
  virtual void OnClosed() {}
};

/// Whose connections they are; outlives them.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  /// Called once, on the core, when the socket is closed.
  virtual void OnConnectionClosed(Connection& connection) = 0;
  virtual const ConnectionAccounts& connection_accounts() const = 0;
};

/// Owned by shared_ptr; the list of its core holds one until it is closed.
class Connection : public EventLoop::Watcher,
                   public Deadline,
                   public std::enable_shared_from_this<Connection> {
 public:
  /// Takes over `fd` (non-blocking).
  Connection(EventLoop& loop, int fd, const IpAddress& peer, std::unique_ptr<TlsStream> tls,
             ConnectionOwner& owner);
  ~Connection() override;

  /// Begins to serve. `protocol` may be replaced later.
  void Start(std::unique_ptr<Protocol> protocol);
  /// Hands the connection over (upgrade); the old protocol lives until the current call is over.
  void Replace(std::unique_ptr<Protocol> protocol);

  /// Writes the pieces in order, at once (while the loop gathers: when that ends) as far as the
  /// socket takes them; the rest is kept. A client that lets more than kOutputBytesMax pile up is
  /// cut off.
  void Send(std::initializer_list<std::string_view> pieces);
  void Send(std::string_view bytes) { Send({bytes}); }
  /// False while the unsent bytes are above the high-water mark, which is lower while sockets hold
  /// more than half of what they may; OnWritable follows.
  bool writable();
  /// OnWritable will come once what is unsent now has drained.
  void NotifyWhenDrained() { was_full_ = true; }
  /// Bytes from which on the connection is not writable; OnWritable comes at a quarter of it.
  void set_high_water_bytes(size_t bytes) { high_water_ = static_cast<uint32_t>(bytes); }
  size_t unsent_bytes() const { return unsent_.size() - unsent_begin_; }

  /// Stops and resumes giving bytes to the protocol.
  void PauseReading() { paused_ = true; }
  void ResumeReading();

  /// Closes once everything is sent and the client has closed as well, or after `grace_seconds`.
  void CloseGracefully(int64_t grace_seconds);
  /// Closes now.
  void Close();
  bool open() const { return fd_ >= 0; }
  bool closing() const { return closing_; }
  /// True while the front of a message waits for the rest.
  bool has_unparsed() const { return !unparsed_.empty(); }
  /// True while bytes lie in the socket that are to be read but were not yet. One system call.
  bool has_unread() const;

  EventLoop& loop() { return loop_; }
  const IpAddress& peer() const { return peer_; }
  bool secure() const { return tls_ != nullptr; }
  Protocol* protocol() { return protocol_.get(); }
  /// Seconds from now until the protocol's OnDeadline; replaces an earlier one.
  void SetDeadline(int64_t seconds) { loop_.Arm(*this, seconds); }

  // For the owner's list.
  std::shared_ptr<Connection> next;
  Connection* previous = nullptr;

 private:
  void OnEvents(uint32_t events) override;
  void OnGathered() override;
  void OnDeadline() override;
  size_t ReadBytes() const;
  void Read();
  void Receive(std::span<char> bytes);
  void Deliver(std::span<char> bytes);
  size_t Offer(std::span<char> bytes);
  void SendRaw(std::span<const std::string_view> pieces);
  /// Keeps the pieces until the loop's turn is over; false when they must be sent now.
  bool Gather(std::span<const std::string_view> pieces);
  void Keep(std::string_view bytes);
  /// Gives up what `unsent_` holds beyond its bytes.
  void FitKept();
  /// False when the socket is broken.
  bool SendKept();
  void Flush();
  void ScheduleRead();
  /// Charges what `unparsed_` and `unsent_` hold by now.
  void ChargeBuffers();

  EventLoop& loop_;
  int fd_;
  bool readable_ = false;
  bool paused_ = false;
  bool peer_closed_ = false;
  bool closing_ = false;
  bool was_full_ = false;
  bool delivering_ = false;
  bool read_scheduled_ = false;
  bool gathered_ = false;  // what is unsent waits for OnGathered, not for the socket
  uint32_t high_water_;
  uint32_t unsent_begin_ = 0;
  IpAddress peer_;
  std::unique_ptr<TlsStream> tls_;
  std::unique_ptr<Protocol> protocol_;
  std::string unparsed_;
  std::string unsent_;
  ConnectionOwner& owner_;
  uint32_t read_charge_ = 0;
  uint32_t write_charge_ = 0;
};

}  // namespace kalam::server
