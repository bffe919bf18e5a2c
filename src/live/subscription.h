// One subscription in memory, and what it shares with others: the compiled shape of its query and
// its connection.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "live/live_hub.h"
#include "live/server_message.h"
#include "query/live_query.h"

namespace kalam::live {

struct Connection;
struct Subscription;
struct TableWatch;

/// Decides whether a row belongs to a subscription: the shared rest of the filter, and this
/// subscription's constant. A view: what it points at must outlive it.
struct RowFilter {
  const query::LiveQuery* query = nullptr;
  int key_column = kNoKey;  // of the equality that the constant belongs to
  std::string_view key;     // the constant by EncodeKey

  static constexpr int kNoKey = -1;
  bool Matches(std::span<const Datum> cells) const;
};

/// All subscriptions with one projection of one table; holds the encodings of the change that is
/// being delivered.
struct Projection {
  int use_count = 0;
  const std::string* table_key = nullptr;  // under which it stands in the hub
  /// By serialization (2) and ChangeKind; null but while a change is delivered.
  std::array<std::unique_ptr<EncodedChange>, 2 * kChangeKindCount> encoded;
  bool has_encoded = false;
};

/// A compiled query that many subscriptions share, each with its own constant.
struct QueryShape {
  std::shared_ptr<const query::LiveQuery> query;
  std::string sql;  // of the first subscription; others store how they differ
  Projection* projection = nullptr;
  TableWatch* watch = nullptr;
  int key_column = RowFilter::kNoKey;  // the fan-out index' column
  int use_count = 0;
  const std::string* table_key =
      nullptr;  // under which it stands in the hub; null when it is not shared
  // What the rest of the filter said about the change that is being delivered.
  uint64_t evaluated_serial = 0;
  bool rest_matches_new = false;
  bool rest_matches_old = false;
};

/// A subscription: about 170 bytes with its id and constant, in two allocations. Owned by its
/// connection.
struct Subscription {
  /// level: has seen everything up to the core's head. In all other states `cursor` says what it
  /// has seen.
  enum class State : uint8_t {
    kSnapshotDue,      // the next batch is to be read as soon as the socket takes it
    kSnapshotReading,  // a worker reads it
    kSnapshotIdle,     // waits for next_batch
    kLagging,          // pulls changes
    kLogReading,       // a worker reads a chunk of changes
    kLevel,
  };

  Connection* connection = nullptr;
  QueryShape* shape = nullptr;
  std::unique_ptr<Subscription> next_in_connection;
  // The fan-out index' chain.
  Subscription* chain_next = nullptr;
  Subscription* chain_previous = nullptr;
  /// What was seen; of a level one the last `_seq` that was sent.
  Seq cursor;
  Seq snapshot_end;  // S: the core's head at subscribe
  int64_t created_at_us = 0;
  int64_t updated_at_us = 0;
  std::unique_ptr<char[]> bytes;  // id, key, sql, options one after the other
  uint32_t index_hash = 0;
  uint32_t batch_num = 0;
  uint32_t batch_size = 0;
  uint32_t last_rows = 0;
  uint32_t change_count = 0;
  uint32_t sql_size = 0;    // of the part that differs
  uint32_t sql_prefix = 0;  // bytes of the shape's text before it
  uint32_t sql_suffix = 0;  // and after it
  uint16_t id_size = 0;
  uint16_t options_size = 0;
  uint32_t key_size = 0;
  State state = State::kLagging;
  bool ack_due : 1 = false;  // nothing was sent yet
  bool has_last_rows : 1 = false;
  bool reports_cursor_too_old : 1 = false;
  bool queued : 1 = false;  // stands in one of the hub's queues
  bool indexed : 1 = false;
  bool stalled : 1 = false;  // waits for its socket to drain
  bool ending : 1 = false;   // taken off; to be destroyed after the current delivery
  uint8_t chunk_shift = 0;   // chunks of the log are catch_up_chunk_bytes >> chunk_shift

  bool may_stall() const { return state == State::kLagging || state == State::kSnapshotDue; }
  /// Behind, and what it waits for is its client: nothing needs to be kept for it.
  bool waits_for_client() const {
    return state == State::kSnapshotIdle || (may_stall() && stalled);
  }
  std::string_view id() const { return {bytes.get(), id_size}; }
  std::string_view key() const { return {bytes.get() + id_size, key_size}; }
  std::string_view sql_part() const { return {bytes.get() + id_size + key_size, sql_size}; }
  std::string_view options() const {
    return {bytes.get() + id_size + key_size + sql_size, options_size};
  }
  RowFilter filter() const { return {shape->query.get(), shape->key_column, key()}; }
  int64_t memory_bytes() const {
    return static_cast<int64_t>(sizeof(Subscription)) + id_size + key_size + sql_size +
           options_size + 32;
  }

  /// Lays out the texts. The SQL is stored as its difference to `shape->sql`.
  void SetTexts(std::string_view id, std::string_view key, std::string_view sql,
                std::string_view options);
  std::string Sql() const;
};

struct Connection {
  Subscriber* subscriber = nullptr;  // null once the connection was removed
  std::string user_id;               // whose rows it sees
  uint64_t number = 0;               // unique in the process; part of live_id
  std::unique_ptr<Subscription> first;
  uint32_t subscription_count = 0;
};

}  // namespace kalam::live
