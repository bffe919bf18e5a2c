// The live hub of one core: its subscriptions, what they have seen, and what goes out to whom.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "query/live_query.h"
#include "replication/group.h"
#include "tables/table_reader.h"

namespace kalam::segments {
class ColdRows;
}  // namespace kalam::segments

namespace kalam::live {

/// How messages are written for one connection; fixed at authentication.
struct WireFormat {
  bool msgpack = false;
  bool gzip = true;
};

/// A message ready for a frame: `head` and `tail` are this subscriber's, `body` is shared by all
/// subscribers with the same projection. The frame's payload is head + *body + tail, three pieces
/// of one gathered write. (A plain message has its subscription id in the head; in a compressed one
/// the shared deflate blocks come first and the id follows in a stored block of the tail, with the
/// combined checksum, so that the body is compressed once for everybody.)
struct OutgoingMessage {
  bool binary = false;
  std::string head;
  std::shared_ptr<const std::string> body;  // may be null
  std::string tail;                         // often empty
  size_t size() const { return head.size() + (body ? body->size() : 0) + tail.size(); }
};

/// The connection side, implemented by the WebSocket session. All calls happen on the connection's
/// core.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  /// Queues one message for writing.
  virtual void Send(OutgoingMessage message) = 0;
  /// True when the socket takes more now: the hub stops pulling for this connection until
  /// OnWritable.
  virtual bool writable() const = 0;
  virtual const WireFormat& format() const = 0;
  virtual const catalog::Caller& caller() const = 0;
};

struct SubscribeOptions {
  bool present = false;  // an options object was given
  uint64_t batch_size = 1000;
  std::optional<uint32_t> last_rows;
  std::optional<int64_t> from_seq;
  bool reports_cursor_too_old = false;  // asked for by clients that know the code
};

struct LiveLimits {
  uint32_t subscriptions_per_connection = 100;
  uint32_t subscriptions_per_user = 10;
  size_t tail_bytes_max = 4 << 20;  // recent changes kept in memory per core
  int catch_up_readers_max = 4;
  size_t catch_up_chunk_bytes = 256 << 10;
  size_t snapshot_batch_bytes_max = 4 << 20;  // a batch ends early at this size, or before
  /// A subscriber that was sent nothing for this long gets an empty batch with the current head, so
  /// that its cursor stays above the floor of the change log (a quarter of the retention).
  int64_t cursor_refresh_us = int64_t{7} * 24 * 3600 * 1'000'000 / 4;
};

/// A row of system.live.
struct LiveRecord {
  std::string live_id, connection_id, subscription_id, namespace_id, table_name, user_id, query,
      options_json, status;
  int64_t created_at_us = 0, last_update_us = 0, changes = 0, last_ping_us = 0;
};

/// How many subscriptions each user has on all cores, and the numbers of connections. One per
/// process. Thread-safety: all methods may be called from any thread.
class SubscriptionCounts {
 public:
  SubscriptionCounts();
  ~SubscriptionCounts();
  /// Counts one more for `user` unless they have `count_max` already.
  [[nodiscard]] bool TryAdd(std::string_view user_id, uint32_t count_max);
  void Remove(std::string_view user_id);
  uint32_t count(std::string_view user_id) const;
  /// A number that no other connection of this process has.
  uint64_t NextConnectionNumber();

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

/// Identifies a connection within the hub.
using ConnectionId = uint64_t;

/// One per core. Single-threaded: every method runs on its core; other threads reach it through
/// `post`.
class LiveHub {
 public:
  struct Dependencies {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    const Clock& clock;
    MemoryAccount& memory;
    Metrics& metrics;
    /// Runs a function on this hub's core.
    std::function<void(std::function<void()>)> post;
    /// Runs a function on the worker pool (catch-up reads, snapshot batches).
    std::function<void(std::function<void()>)> post_worker;
    /// Asked before each subscription; what is not ok is its answer. Empty: all are admitted.
    std::function<Status()> admit;
    /// Shared by the hubs of all cores; null: the hub counts for itself. Outlives the hub.
    SubscriptionCounts* counts = nullptr;
    segments::ColdRows* cold_rows = nullptr;  // null: no table has segments
    /// What sockets have not taken: the less room its limit leaves, the smaller are the batches of
    /// snapshots. May be null.
    const MemoryAccount* unsent = nullptr;
  };
  static std::unique_ptr<LiveHub> Make(Dependencies dependencies, const LiveLimits& limits);
  virtual ~LiveHub() = default;

  virtual ConnectionId AddConnection(Subscriber& subscriber) = 0;
  virtual void RemoveConnection(ConnectionId connection) = 0;

  // The client messages of wire.md 2.3; answers and errors go out through Subscriber::Send.
  virtual void Subscribe(ConnectionId connection, std::string id, std::string sql,
                         const SubscribeOptions& options) = 0;
  virtual void NextBatch(ConnectionId connection, std::string_view id,
                         std::optional<int64_t> last_seq) = 0;
  virtual void Unsubscribe(ConnectionId connection, std::string_view id) = 0;
  /// The socket drained: pulling goes on.
  virtual void OnWritable(ConnectionId connection) = 0;

  /// KILL LIVE QUERY; false when it is not on this core.
  virtual bool Kill(std::string_view live_id) = 0;
  virtual std::vector<LiveRecord> List() const = 0;
  virtual size_t subscription_count() const = 0;

  /// A durable batch, on this core (posted once per core by the server, in commit order).
  virtual void OnCommitted(std::shared_ptr<const replication::CommittedBatch> batch) = 0;
  /// Some durable batches did not reach this core (its mailbox was full): whoever was level pulls
  /// what was missed from the change log, at the pace of its socket. Call before the next
  /// OnCommitted.
  virtual void OnCommitsMissed() = 0;
  /// Bounds the recent changes kept in memory; 0 keeps none, so that lagging subscriptions read the
  /// change log.
  virtual void SetTailBytes(size_t bytes_max) = 0;
  virtual void Close() = 0;
};

/// Messages that the server itself sends, in the connection's format (auth_success and auth_error
/// are always plain JSON).
OutgoingMessage EncodeError(const WireFormat& format, std::string_view subscription_id,
                            std::string_view code, std::string_view message);
std::string EncodeAuthSuccess(std::string_view user, std::string_view role,
                              const WireFormat& format);
std::string EncodeAuthError(std::string_view message);

/// A client message, decoded from JSON or MessagePack (gzip already undone).
struct ClientMessage {
  enum class Type : uint8_t { kAuthenticate, kSubscribe, kNextBatch, kUnsubscribe, kPing };
  Type type = Type::kPing;
  std::string method, token;  // authenticate
  std::optional<WireFormat> protocol;
  std::string subscription_id, sql;
  SubscribeOptions options;
  std::optional<int64_t> last_seq;
};
/// Errors: InvalidInput (the socket is closed with 1011 and this text).
Result<ClientMessage> DecodeClientMessage(std::string_view bytes, bool msgpack);
/// Inflates one gzip member up to `bytes_max`. Errors: TooLarge, InvalidInput.
Result<std::string> Gunzip(std::string_view bytes, size_t bytes_max);

}  // namespace kalam::live
