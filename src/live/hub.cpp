// Connections and registrations of the hub.
#include "live/hub.h"

#include <algorithm>

#include "base/log.h"
#include "tables/lost_history.h"

namespace kalam::live {
namespace {

/// Ids are echoed in every message; longer ones are refused.
/// A subscription that takes more than this asks whether there is room.
constexpr size_t kUnaskedSubscriptionBytes = 2 << 10;
constexpr size_t kIdBytesMax = 1024;

/// The options as they show in system.live; empty when none were given.
std::string OptionsJson(const SubscribeOptions& options) {
  if (!options.present) return {};
  std::string json = "{\"batch_size\":" + std::to_string(options.batch_size);
  if (options.last_rows) json += ",\"last_rows\":" + std::to_string(*options.last_rows);
  if (options.from_seq) json += ",\"from\":" + std::to_string(*options.from_seq);
  return json + "}";
}

bool IsBlank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

std::string LiveId(const Connection& connection, std::string_view subscription_id) {
  return connection.user_id + "-" + std::to_string(connection.number) + "-" +
         std::string(subscription_id);
}

}  // namespace

std::string_view SubscribeErrorCode(const Status& status) {
  switch (status.kind()) {
    case ErrorKind::InvalidSql:
    case ErrorKind::EmptySql:
    case ErrorKind::BatchParse:
    case ErrorKind::InvalidOperation:
      return "INVALID_SQL";
    case ErrorKind::PermissionDenied:
    case ErrorKind::Unauthorized:
      return "UNAUTHORIZED";
    case ErrorKind::TableNotFound:
    case ErrorKind::NotFound:
      return "NOT_FOUND";
    case ErrorKind::NotAvailable:
      return "UNSUPPORTED";
    case ErrorKind::MemoryPressure:
      return TraitsOf(status.kind()).wire_code;
    default:
      return "SUBSCRIPTION_FAILED";
  }
}

std::string SubscriberText(const Status& status, const catalog::Caller& caller) {
  const bool is_ours = status.Is(ErrorKind::Corruption) || status.Is(ErrorKind::StorageIo) ||
                       status.Is(ErrorKind::Internal);
  if (!is_ours) return status.ToString();
  Log(LogLevel::kError, "live", "a subscription cannot be served", {{"error", status.ToString()}});
  return catalog::IsAdmin(caller.role) ? status.ToString() : "The rows cannot be read now";
}

std::unique_ptr<LiveHub> LiveHub::Make(Dependencies dependencies, const LiveLimits& limits) {
  return std::make_unique<Hub>(std::move(dependencies), limits);
}

Hub::Hub(Dependencies dependencies, const LiveLimits& limits)
    : dependencies_(std::move(dependencies)),
      limits_(limits),
      source_{dependencies_.store, dependencies_.group, dependencies_.clock,
              dependencies_.cold_rows},
      own_counts_(dependencies_.counts == nullptr ? std::make_unique<SubscriptionCounts>()
                                                  : nullptr),
      counts_(dependencies_.counts == nullptr ? *own_counts_ : *dependencies_.counts),
      charge_(dependencies_.memory.Child("subscriptions"), 0),
      reads_account_(dependencies_.memory.Child("resumes")),
      statements_account_(dependencies_.memory.Child("statements")),
      subscriptions_gauge_(dependencies_.metrics.gauge("live_subscriptions")),
      deliveries_(dependencies_.metrics.counter("live_deliveries")),
      encodings_(dependencies_.metrics.counter("live_encodings")),
      catch_up_reads_(dependencies_.metrics.counter("live_catch_up_reads")),
      snapshot_batches_(dependencies_.metrics.counter("live_snapshot_batches")),
      decode_errors_(dependencies_.metrics.counter("live_decode_errors")),
      missed_(dependencies_.metrics.counter("live_mailbox_overflows")),
      head_(dependencies_.group.published_seq()),
      tail_(dependencies_.memory.Child("change_tail"), limits.tail_bytes_max, head_),
      cursors_refreshed_us_(dependencies_.clock.SteadyUs()),
      self_(std::make_shared<Hub*>(this)) {}

Hub::~Hub() { Close(); }

void Hub::Close() {
  if (closed_) return;
  closed_ = true;
  std::vector<ConnectionId> ids;
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  for (ConnectionId id : ids) RemoveConnection(id);
  for (const auto& job : jobs_) job->hub = nullptr;
  jobs_.clear();
  tail_.Clear(head_);
  self_.reset();
}

Connection* Hub::FindConnection(ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second->subscriber == nullptr) return nullptr;
  return found->second.get();
}

Subscription* Hub::FindSubscription(Connection& connection, std::string_view id) {
  for (Subscription* at = connection.first.get(); at != nullptr;
       at = at->next_in_connection.get()) {
    if (!at->ending && at->id() == id) return at;
  }
  return nullptr;
}

template <typename F>
void Hub::ForEachSubscription(F visit) const {
  for (const auto& [id, connection] : connections_) {
    for (Subscription* at = connection->first.get(); at != nullptr;
         at = at->next_in_connection.get()) {
      if (!at->ending) visit(at);
    }
  }
}

ConnectionId Hub::AddConnection(Subscriber& subscriber) {
  auto connection = std::make_unique<Connection>();
  connection->subscriber = &subscriber;
  connection->number = counts_.NextConnectionNumber();
  connection->user_id = subscriber.caller().user_id;
  const ConnectionId id = connection->number;
  connections_.emplace(id, std::move(connection));
  return id;
}

void Hub::RemoveConnection(ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  const DeliveryScope scope(*this);
  connection.subscriber = nullptr;
  for (Subscription* at = connection.first.get(); at != nullptr;
       at = at->next_in_connection.get()) {
    End(at);
  }
  ended_connections_.push_back(id);
}

void Hub::Subscribe(ConnectionId connection_id, std::string id, std::string sql,
                    const SubscribeOptions& options) {
  Connection* connection = FindConnection(connection_id);
  if (connection == nullptr || closed_) return;
  // A new subscription under a live id replaces it, whether it succeeds or not: its answer is about
  // the new one.
  if (Subscription* old = FindSubscription(*connection, id)) End(old);
  const auto refuse = [connection](std::string_view answer_id, std::string_view code,
                                   std::string_view text) {
    connection->subscriber->Send(
        EncodeError(connection->subscriber->format(), answer_id, code, text));
  };
  if (!counts_.TryAdd(connection->user_id, limits_.subscriptions_per_user)) {
    refuse(id, "SUBSCRIPTION_LIMIT_EXCEEDED",
           "Maximum of " + std::to_string(limits_.subscriptions_per_user) +
               " subscriptions per user reached");
    return;
  }
  std::string code;
  std::string answer_id = id;
  Status status = CheckSubscribe(*connection, id, options, &code, &answer_id);
  if (status.ok() && dependencies_.admit) {
    status = dependencies_.admit();
    code = TraitsOf(status.kind()).wire_code;
  }
  if (status.ok()) {
    auto query =
        query::CompileLiveQuery(sql, dependencies_.catalog, connection->subscriber->caller(),
                                dependencies_.clock.NowUs(), statements_account_);
    status = query.ok() ? AskForLarge(sql, **query) : query.status();
    if (status.ok()) {
      Register(*connection, std::move(id), std::move(sql), options, std::move(query).value());
      return;
    }
    code = SubscribeErrorCode(status);
  }
  counts_.Remove(connection->user_id);
  refuse(answer_id, code, SubscriberText(status, connection->subscriber->caller()));
}

// What is registered is charged with all others; only what is large has to ask.
Status Hub::AskForLarge(std::string_view sql, const query::LiveQuery& query) {
  const size_t bytes = query.byte_size() + 2 * sql.size();
  MemoryCharge probe(dependencies_.memory.Child("subscriptions"), 0);
  if (bytes <= kUnaskedSubscriptionBytes || probe.TryResize(static_cast<int64_t>(bytes))) return {};
  return Status(
      ErrorKind::MemoryPressure,
      "The server is short of memory and takes no further large subscriptions; try again");
}

Status Hub::CheckSubscribe(Connection& connection, std::string_view id,
                           const SubscribeOptions& options, std::string* code,
                           std::string* answer_id) {
  if (IsBlank(id) || id.size() > kIdBytesMax) {
    *code = "INVALID_SUBSCRIPTION_ID";
    *answer_id = "invalid_subscription";
    return Status(ErrorKind::InvalidInput, "Subscription id must have 1 to " +
                                               std::to_string(kIdBytesMax) +
                                               " bytes and must not be blank");
  }
  *code = "UNSUPPORTED";
  if (options.last_rows && *options.last_rows > options.batch_size) {
    return Status(ErrorKind::InvalidInput, "last_rows (" + std::to_string(*options.last_rows) +
                                               ") must not exceed batch_size (" +
                                               std::to_string(options.batch_size) + ")");
  }
  if (connection.subscription_count >= limits_.subscriptions_per_connection) {
    return Status(ErrorKind::InvalidInput,
                  "Maximum of " + std::to_string(limits_.subscriptions_per_connection) +
                      " subscriptions per connection reached");
  }
  return Status();
}

void Hub::Register(Connection& connection, std::string id, std::string sql,
                   const SubscribeOptions& options, std::shared_ptr<const query::LiveQuery> query) {
  const DeliveryScope scope(*this);
  auto owned = std::make_unique<Subscription>();
  Subscription* subscription = owned.get();
  subscription->connection = &connection;
  subscription->created_at_us = subscription->updated_at_us = dependencies_.clock.NowUs();
  subscription->batch_size =
      static_cast<uint32_t>(std::min<uint64_t>(options.batch_size, UINT32_MAX));
  subscription->has_last_rows = options.last_rows.has_value();
  subscription->last_rows = options.last_rows.value_or(0);
  subscription->reports_cursor_too_old = options.reports_cursor_too_old;
  owned->next_in_connection = std::move(connection.first);
  connection.first = std::move(owned);
  ++connection.subscription_count;
  ++subscription_count_;
  ++behind_count_;
  subscriptions_gauge_.Add(1);
  Attach(subscription, std::move(query), id, sql, OptionsJson(options));
  Start(subscription, options);
}

void Hub::Start(Subscription* subscription, const SubscribeOptions& options) {
  subscription->cursor = head_;
  if (!options.present) {
    Send(*subscription,
         EncodeAck(subscription->connection->subscriber->format(), subscription->id(),
                   BatchControl(), subscription->shape->query->schema()));
    SetState(subscription, State::kLevel);
    return;
  }
  subscription->ack_due = true;
  if (options.from_seq) {
    StartResume(subscription, std::max<int64_t>(0, *options.from_seq));
    return;
  }
  subscription->snapshot_end = head_;
  subscription->cursor = Seq{};
  SetState(subscription, State::kSnapshotDue);
  Pump(subscription);
}

void Hub::StartResume(Subscription* subscription, int64_t from) {
  subscription->cursor = Seq{from};
  SetState(subscription, State::kLagging);
  const Result<bool> lost = tables::IsOfLostHistory(
      dependencies_.store, subscription->shape->query->table()->id, subscription->cursor);
  if (!lost.ok()) {
    EndWithError(subscription, "SUBSCRIPTION_FAILED",
                 SubscriberText(lost.status(), subscription->connection->subscriber->caller()));
    return;
  }
  if (*lost || subscription->cursor > dependencies_.group.published_seq()) {
    OnCursorTooOld(subscription);  // it comes from another history
    return;
  }
  if (!TailReaches(*subscription)) {
    tables::ChangeReader reader(dependencies_.store, dependencies_.clock);
    const Result<Seq> floor = reader.Floor(subscription->shape->query->table()->id);
    // Below the floor the answer depends on what the current state can tell: the first read
    // decides.
    if (!floor.ok() || subscription->cursor < *floor) {
      Pump(subscription);
      return;
    }
  }
  AnswerResume(subscription);
  Pump(subscription);
}

void Hub::Unsubscribe(ConnectionId connection_id, std::string_view id) {
  Connection* connection = FindConnection(connection_id);
  if (connection == nullptr) return;
  if (Subscription* subscription = FindSubscription(*connection, id)) End(subscription);
}

void Hub::End(Subscription* subscription) {
  if (subscription->ending) return;
  const DeliveryScope scope(*this);
  subscription->ending = true;
  ended_.push_back(subscription);
}

void Hub::EndWithError(Subscription* subscription, std::string_view code,
                       std::string_view message) {
  if (subscription->ending) return;
  const DeliveryScope scope(*this);
  if (Subscriber* subscriber = subscription->connection->subscriber) {
    Send(*subscription, EncodeError(subscriber->format(), subscription->id(), code, message));
  }
  End(subscription);
}

void Hub::DestroyEnded() {
  while (!ended_.empty() || !ended_connections_.empty()) {
    const std::vector<Subscription*> subscriptions = std::move(ended_);
    ended_.clear();
    for (Subscription* subscription : subscriptions) Destroy(subscription);
    const std::vector<ConnectionId> connections = std::move(ended_connections_);
    ended_connections_.clear();
    for (ConnectionId id : connections) connections_.erase(id);
  }
}

void Hub::Destroy(Subscription* subscription) {
  for (const auto& job : jobs_) {
    if (job->subscription == subscription) job->subscription = nullptr;
  }
  if (subscription->queued) {
    for (auto* queue : {&waiting_, &ready_, &ahead_}) {
      queue->erase(std::remove(queue->begin(), queue->end(), subscription), queue->end());
    }
  }
  if (subscription->state != State::kLevel) --behind_count_;
  if (subscription->waits_for_client()) --waiting_count_;
  Detach(subscription);
  Connection& connection = *subscription->connection;
  counts_.Remove(connection.user_id);
  subscriptions_gauge_.Add(-1);
  --subscription_count_;
  --connection.subscription_count;
  std::unique_ptr<Subscription>* link = &connection.first;
  while (link->get() != subscription) link = &(*link)->next_in_connection;
  *link = std::move(subscription->next_in_connection);
}

bool Hub::Kill(std::string_view live_id) {
  for (const auto& [id, connection] : connections_) {
    const std::string prefix = LiveId(*connection, "");
    if (connection->subscriber == nullptr || live_id.substr(0, prefix.size()) != prefix) continue;
    Subscription* subscription = FindSubscription(*connection, live_id.substr(prefix.size()));
    if (subscription == nullptr) continue;
    EndWithError(subscription, "SUBSCRIPTION_FAILED", "Live query was killed by an administrator");
    return true;
  }
  return false;
}

std::vector<LiveRecord> Hub::List() const {
  std::vector<LiveRecord> records;
  records.reserve(subscription_count_);
  ForEachSubscription([&records](const Subscription* subscription) {
    const Connection& connection = *subscription->connection;
    const catalog::TableDefinition& table = *subscription->shape->query->table();
    LiveRecord record;
    record.live_id = LiveId(connection, subscription->id());
    record.connection_id = std::to_string(connection.number);
    record.subscription_id = subscription->id();
    record.namespace_id = table.namespace_id;
    record.table_name = table.name;
    record.user_id = connection.user_id;
    record.query = subscription->Sql();
    record.options_json = subscription->options();
    record.status = "active";
    record.created_at_us = subscription->created_at_us;
    record.last_update_us = subscription->updated_at_us;
    record.changes = subscription->change_count;
    record.last_ping_us = subscription->updated_at_us;
    records.push_back(std::move(record));
  });
  return records;
}

}  // namespace kalam::live
