// The implementation of LiveHub: registration, delivery of commits, and the pull loop of those that
// are behind.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "live/background_read.h"
#include "live/change_image.h"
#include "live/change_tail.h"
#include "live/live_hub.h"
#include "live/subscription.h"
#include "live/subscription_index.h"

namespace kalam::live {

/// A table that somebody on this core watches.
struct TableWatch {
  explicit TableWatch(catalog::TablePtr table)
      : image(std::make_unique<ChangeImage>(std::move(table))) {}
  std::unique_ptr<ChangeImage> image;
  Seq since;  // the tail holds this table's changes from here on
  int use_count = 0;
  /// Columns that subscriptions are looked up by (RowFilter::kNoKey among them), with how many use
  /// each.
  struct KeyColumn {
    int column;
    uint32_t use_count;
  };
  std::vector<KeyColumn> key_columns;
};

/// Order of one subscriber's messages: acknowledgement, batches, changes by `_seq`. A commit
/// concerns only subscriptions that are level; every other one reads what it has missed itself, so
/// that nothing is ever queued for it.
class Hub : public LiveHub {
 public:
  Hub(Dependencies dependencies, const LiveLimits& limits);
  ~Hub() override;

  ConnectionId AddConnection(Subscriber& subscriber) override;
  void RemoveConnection(ConnectionId connection) override;
  void Subscribe(ConnectionId connection, std::string id, std::string sql,
                 const SubscribeOptions& options) override;
  void NextBatch(ConnectionId connection, std::string_view id,
                 std::optional<int64_t> last_seq) override;
  void Unsubscribe(ConnectionId connection, std::string_view id) override;
  void OnWritable(ConnectionId connection) override;
  bool Kill(std::string_view live_id) override;
  std::vector<LiveRecord> List() const override;
  size_t subscription_count() const override { return subscription_count_; }
  void OnCommitted(std::shared_ptr<const replication::CommittedBatch> batch) override;
  void OnCommitsMissed() override;
  void SetTailBytes(size_t bytes_max) override;
  void Close() override;

 private:
  using State = Subscription::State;

  /// A read on its way to a worker and back. `hub` and `subscription` belong to the core's thread
  /// and are null once gone.
  struct ReadJob {
    Hub* hub = nullptr;
    Subscription* subscription = nullptr;
    bool is_snapshot = false;
    SnapshotRequest snapshot_request;
    SnapshotBatch snapshot;
    ChangesRequest changes_request;
    ChangesChunk changes;
    MemoryCharge charge;  // for what was read, until it is sent
  };

  /// While one is alive, subscriptions that end are only marked; the last one destroys them and
  /// bounds the tail.
  class DeliveryScope {
   public:
    explicit DeliveryScope(Hub& hub) : hub_(hub) { ++hub_.delivery_depth_; }
    ~DeliveryScope() {
      if (--hub_.delivery_depth_ > 0) return;
      hub_.DestroyEnded();
      hub_.TrimTail();
    }
    DeliveryScope(const DeliveryScope&) = delete;
    DeliveryScope& operator=(const DeliveryScope&) = delete;

   private:
    Hub& hub_;
  };

  // Registration (hub.cpp).
  Connection* FindConnection(ConnectionId id);
  Subscription* FindSubscription(Connection& connection, std::string_view id);
  Status AskForLarge(std::string_view sql, const query::LiveQuery& query);
  Status CheckSubscribe(Connection& connection, std::string_view id,
                        const SubscribeOptions& options, std::string* code, std::string* answer_id);
  void Register(Connection& connection, std::string id, std::string sql,
                const SubscribeOptions& options, std::shared_ptr<const query::LiveQuery> query);
  void Start(Subscription* subscription, const SubscribeOptions& options);
  void StartResume(Subscription* subscription, int64_t from);
  void End(Subscription* subscription);
  void EndWithError(Subscription* subscription, std::string_view code, std::string_view message);
  void Destroy(Subscription* subscription);
  void DestroyEnded();
  template <typename F>
  void ForEachSubscription(F visit) const;

  // What subscriptions share (hub_shapes.cpp).
  void Attach(Subscription* subscription, std::shared_ptr<const query::LiveQuery> query,
              std::string_view id, std::string_view sql, std::string_view options);
  void Detach(Subscription* subscription);
  QueryShape* AcquireShape(std::shared_ptr<const query::LiveQuery> query, std::string_view sql,
                           std::string* key);
  void ReleaseShape(QueryShape* shape);
  TableWatch* AcquireWatch(const catalog::TablePtr& table);
  void ReleaseWatch(TableWatch* watch);
  void OnCatalogChanged(const replication::CommittedBatch& batch);
  void RefreshStaleTables();
  void RefreshTable(TableId id);
  void Recompile(Subscription* subscription);
  void UpdateCharge();

  // Delivery (hub_delivery.cpp).
  void SetState(Subscription* subscription, State state);
  /// Notes whether one that is behind waits for its socket to drain.
  void SetStalled(Subscription* subscription, bool stalled);
  void TrimTail();
  bool IsWritable(const Subscription& subscription) const;
  void Send(const Subscription& subscription, OutgoingMessage message);
  bool LoadImage(TableWatch* watch, const ChangeView& change);
  void Dispatch(const replication::CommittedChange& change);
  void DispatchTo(const IndexKey& key, const TableWatch& watch, const ChangeView& change,
                  bool as_new, bool as_old);
  /// What the loaded change is for a subscription, given which images carry its constant.
  std::optional<ChangeKind> Classify(QueryShape* shape, const TableWatch& watch,
                                     const ChangeView& change, bool as_new, bool as_old);
  void Deliver(Subscription* subscription, ChangeKind kind, const ChangeRows& rows);
  void ForgetEncodings();
  /// Delivers the change if it concerns the subscription. False: it does, but the socket takes no
  /// more.
  bool Offer(Subscription* subscription, const ChangeView& change);
  bool OfferState(Subscription* subscription, const ChangeView& change);
  void RefreshCursors();

  // The pull loop (hub_pull.cpp).
  void Pump(Subscription* subscription);
  void PumpAhead();
  void PumpSnapshot(Subscription* subscription);
  void PumpChanges(Subscription* subscription);
  void PullFromTail(Subscription* subscription);
  bool TailReaches(const Subscription& subscription) const;
  void Enqueue(std::deque<Subscription*>* queue, Subscription* subscription);
  void ScheduleTurn();
  void RunTurn();
  void StartReads();
  void StartRead(Subscription* subscription);
  size_t SnapshotBatchBytes() const;
  SnapshotRequest MakeSnapshotRequest(const Subscription& subscription) const;
  ReadTarget TargetOf(const Subscription& subscription) const;
  void OnReadDone(const std::shared_ptr<ReadJob>& job);
  void FinishSnapshot(Subscription* subscription, SnapshotBatch batch);
  void FinishChanges(Subscription* subscription, const ReadJob& job);
  void AnswerResume(Subscription* subscription);
  void OnCursorTooOld(Subscription* subscription);

  Dependencies dependencies_;
  const LiveLimits limits_;
  ReadSource source_;
  std::unique_ptr<SubscriptionCounts> own_counts_;
  SubscriptionCounts& counts_;
  MemoryCharge charge_;
  MemoryAccount& reads_account_;
  MemoryAccount& statements_account_;
  Gauge& subscriptions_gauge_;
  Counter& deliveries_;
  Counter& encodings_;
  Counter& catch_up_reads_;
  Counter& snapshot_batches_;
  Counter& decode_errors_;
  Counter& missed_;

  bool closed_ = false;
  Seq head_;
  ChangeTail tail_;
  SubscriptionIndex index_;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
  std::unordered_map<TableId, std::unique_ptr<TableWatch>> watches_;
  std::unordered_map<std::string, std::unique_ptr<QueryShape>> shapes_;
  std::unordered_map<QueryShape*, std::unique_ptr<QueryShape>> unshared_shapes_;
  std::unordered_map<std::string, Projection> projections_;
  size_t subscription_count_ = 0;
  size_t behind_count_ = 0;   // not level
  size_t waiting_count_ = 0;  // of these, those that wait for their client
  int64_t subscription_bytes_ = 0;
  uint64_t change_serial_ = 0;
  std::vector<Projection*> encoded_projections_;  // with encodings of the current change
  std::string new_key_, old_key_;                 // scratch of Dispatch
  int64_t cursors_refreshed_us_ = 0;

  std::deque<Subscription*> waiting_;  // for a reader
  std::deque<Subscription*> ready_;    // for the next turn of this core
  std::deque<Subscription*> ahead_;    // their cursor is newer than this core's head
  std::vector<std::shared_ptr<ReadJob>> jobs_;
  bool turn_scheduled_ = false;
  int delivery_depth_ = 0;
  std::vector<Subscription*> ended_;
  std::vector<ConnectionId> ended_connections_;
  std::shared_ptr<Hub*> self_;  // tasks hold it weakly; looked at on the core's thread only
};

/// `error` code of a failed subscribe.
std::string_view SubscribeErrorCode(const Status& status);
/// What the subscriber may be told of a failure: trouble of the server itself, which names files
/// and records, is shown to dba and system only; the others get a fixed sentence.
std::string SubscriberText(const Status& status, const catalog::Caller& caller);

}  // namespace kalam::live
