// The pull loop: everyone who is not level reads what is missing, from the snapshot, the tail or
// the change log, at the pace of the socket.
#include <algorithm>

#include "live/hub.h"

namespace kalam::live {
namespace {

/// Rows looked at on the I/O thread before a snapshot batch goes to a worker.
constexpr uint64_t kInlineRowsMax = 256;
/// Changes of the tail that one subscription may look at in one turn, and subscriptions served in
/// one turn.
constexpr int kTurnChangesMax = 4096;
constexpr size_t kTurnSubscriptionsMax = 64;
constexpr uint8_t kChunkShiftMax = 4;
/// A batch of a snapshot takes at most this part of the room that is left for what sockets have not
/// taken (others are being read meanwhile, and rows grow when they are written as JSON), but is
/// worth a message.
constexpr size_t kBatchesOfRoom = 8;
constexpr size_t kSnapshotBatchBytesMin = 16 << 10;

}  // namespace

void Hub::OnWritable(ConnectionId connection_id) {
  Connection* connection = FindConnection(connection_id);
  if (connection == nullptr) return;
  const bool nested = delivery_depth_ > 0;
  const DeliveryScope scope(*this);
  for (Subscription* at = connection->first.get(); at != nullptr;
       at = at->next_in_connection.get()) {
    if (at->ending || at->queued) continue;
    if (!at->may_stall()) continue;
    SetStalled(at, false);
    if (nested) {
      Enqueue(&ready_, at);
      ScheduleTurn();
    } else {
      Pump(at);
    }
  }
}

void Hub::NextBatch(ConnectionId connection_id, std::string_view id,
                    std::optional<int64_t> /*last_seq*/) {
  Connection* connection = FindConnection(connection_id);
  if (connection == nullptr) return;
  Subscription* subscription = FindSubscription(*connection, id);
  if (subscription == nullptr) {
    connection->subscriber->Send(EncodeError(connection->subscriber->format(), id,
                                             "BATCH_FETCH_FAILED",
                                             "Subscription not found: " + std::string(id)));
    return;
  }
  // Where to go on is known here; what the client echoes is not needed. A request out of turn has
  // no answer.
  if (subscription->state != State::kSnapshotIdle) return;
  const DeliveryScope scope(*this);
  SetState(subscription, State::kSnapshotDue);
  Pump(subscription);
}

void Hub::Pump(Subscription* subscription) {
  if (subscription->ending || subscription->queued) return;
  if (subscription->state == State::kSnapshotDue) {
    PumpSnapshot(subscription);
  } else if (subscription->state == State::kLagging) {
    PumpChanges(subscription);
  }
}

void Hub::PumpAhead() {
  // Their cursor was newer than this core's head when they subscribed.
  for (size_t count = ahead_.size(); count > 0; --count) {
    Subscription* subscription = ahead_.front();
    ahead_.pop_front();
    subscription->queued = false;
    if (!subscription->ending) Pump(subscription);
  }
}

void Hub::PumpSnapshot(Subscription* subscription) {
  if (!IsWritable(*subscription)) {
    SetStalled(subscription, true);
    return;
  }
  SnapshotRequest request = MakeSnapshotRequest(*subscription);
  request.examined_max = kInlineRowsMax;
  SnapshotBatch batch = ReadSnapshotBatch(source_, request);
  if (batch.gave_up) {
    Enqueue(&waiting_, subscription);
    StartReads();
    return;
  }
  FinishSnapshot(subscription, std::move(batch));
}

void Hub::PumpChanges(Subscription* subscription) {
  if (subscription->cursor > head_) {
    Enqueue(&ahead_, subscription);
    return;
  }
  if (subscription->cursor == head_ && !subscription->ack_due) {
    SetState(subscription, State::kLevel);
    return;
  }
  if (!IsWritable(*subscription)) {
    SetStalled(subscription, true);
    return;
  }
  if (!subscription->ack_due && TailReaches(*subscription)) {
    PullFromTail(subscription);
    return;
  }
  Enqueue(&waiting_, subscription);
  StartReads();
}

bool Hub::TailReaches(const Subscription& subscription) const {
  return subscription.cursor >= tail_.begin() &&
         subscription.cursor >= subscription.shape->watch->since;
}

void Hub::PullFromTail(Subscription* subscription) {
  const catalog::TableDefinition& table = *subscription->shape->query->table();
  const bool scoped = table.is_scoped_by_user();
  ChangeTail::Cursor cursor = tail_.After(subscription->cursor);
  int examined = 0;
  while (const replication::CommittedChange* change = cursor.Next()) {
    const bool concerned =
        change->mutation->table == table.id &&
        (!scoped || change->mutation->scope.user_id() == subscription->connection->user_id);
    const bool turn_over = ++examined > kTurnChangesMax;
    if (turn_over || (concerned && !Offer(subscription, ChangeView::Of(*change)))) {
      subscription->cursor = Seq{change->seq.value - 1};
      if (turn_over) {
        Enqueue(&ready_, subscription);
        ScheduleTurn();
      } else {
        SetStalled(subscription, true);
      }
      return;
    }
    if (subscription->ending) return;
  }
  subscription->cursor = head_;
  SetState(subscription, State::kLevel);
}

void Hub::Enqueue(std::deque<Subscription*>* queue, Subscription* subscription) {
  if (subscription->queued) return;
  subscription->queued = true;
  queue->push_back(subscription);
}

void Hub::ScheduleTurn() {
  if (turn_scheduled_ || closed_) return;
  turn_scheduled_ = true;
  dependencies_.post([self = std::weak_ptr<Hub*>(self_)] {
    if (const auto hub = self.lock()) (*hub)->RunTurn();
  });
}

void Hub::RunTurn() {
  turn_scheduled_ = false;
  const DeliveryScope scope(*this);
  for (size_t count = std::min(ready_.size(), kTurnSubscriptionsMax); count > 0; --count) {
    Subscription* subscription = ready_.front();
    ready_.pop_front();
    subscription->queued = false;
    Pump(subscription);
  }
  if (!ready_.empty()) ScheduleTurn();
}

void Hub::StartReads() {
  while (!waiting_.empty() && jobs_.size() < static_cast<size_t>(limits_.catch_up_readers_max)) {
    Subscription* subscription = waiting_.front();
    waiting_.pop_front();
    subscription->queued = false;
    if (subscription->ending) continue;
    // The socket may have filled up, or the tail may reach by now.
    if (!IsWritable(*subscription)) {
      SetStalled(subscription, true);
      continue;
    }
    StartRead(subscription);
  }
}

ReadTarget Hub::TargetOf(const Subscription& subscription) const {
  const QueryShape& shape = *subscription.shape;
  return {shape.query, shape.key_column, std::string(subscription.key()),
          subscription.connection->user_id};
}

SnapshotRequest Hub::MakeSnapshotRequest(const Subscription& subscription) const {
  SnapshotRequest request;
  request.target = TargetOf(subscription);
  request.format = subscription.connection->subscriber->format();
  request.id = subscription.id();
  request.after = subscription.cursor;
  request.up_to = subscription.snapshot_end;
  request.batch_size = subscription.batch_size;
  if (subscription.has_last_rows) request.last_rows = subscription.last_rows;
  request.batch_num = subscription.batch_num;
  request.bytes_max = SnapshotBatchBytes();
  return request;
}

// A client may ask for rows and never read them: together, such clients must not hold more than
// sockets may.
size_t Hub::SnapshotBatchBytes() const {
  const MemoryAccount* unsent = dependencies_.unsent;
  if (unsent == nullptr || unsent->limit_bytes() <= 0) return limits_.snapshot_batch_bytes_max;
  const int64_t room = unsent->limit_bytes() - unsent->used_bytes() - reads_account_.used_bytes();
  const auto bytes = static_cast<size_t>(std::max<int64_t>(room, 0)) / kBatchesOfRoom;
  return std::min(std::max(bytes, kSnapshotBatchBytesMin), limits_.snapshot_batch_bytes_max);
}

void Hub::StartRead(Subscription* subscription) {
  auto job = std::make_shared<ReadJob>();
  job->hub = this;
  job->subscription = subscription;
  job->is_snapshot = subscription->state == State::kSnapshotDue;
  if (job->is_snapshot) {
    job->snapshot_request = MakeSnapshotRequest(*subscription);
    SetState(subscription, State::kSnapshotReading);
  } else {
    job->changes_request.target = TargetOf(*subscription);
    job->changes_request.after = subscription->cursor;
    job->changes_request.up_to = head_;
    job->changes_request.bytes_max = limits_.catch_up_chunk_bytes >> subscription->chunk_shift;
    SetState(subscription, State::kLogReading);
    catch_up_reads_.Add();
  }
  jobs_.push_back(job);
  dependencies_.post_worker(
      [job, source = source_, post = dependencies_.post, account = &reads_account_] {
        if (job->is_snapshot) {
          job->snapshot = ReadSnapshotBatch(source, job->snapshot_request);
          job->charge = MemoryCharge(*account, static_cast<int64_t>(job->snapshot.message.size()));
        } else {
          job->changes = ReadChanges(source, job->changes_request);
          job->charge = MemoryCharge(*account, job->changes.byte_size());
        }
        post([job] {
          if (job->hub != nullptr) job->hub->OnReadDone(job);
        });
      });
}

void Hub::OnReadDone(const std::shared_ptr<ReadJob>& job) {
  jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), job), jobs_.end());
  const DeliveryScope scope(*this);
  if (Subscription* subscription = job->subscription;
      subscription != nullptr && !subscription->ending) {
    if (job->is_snapshot) {
      FinishSnapshot(subscription, std::move(job->snapshot));
    } else {
      FinishChanges(subscription, *job);
    }
  }
  StartReads();
}

void Hub::FinishSnapshot(Subscription* subscription, SnapshotBatch batch) {
  if (!batch.status.ok()) {
    EndWithError(subscription, subscription->ack_due ? "SUBSCRIPTION_FAILED" : "BATCH_FETCH_FAILED",
                 SubscriberText(batch.status, subscription->connection->subscriber->caller()));
    return;
  }
  if (subscription->ack_due) {
    subscription->ack_due = false;
    Send(*subscription,
         EncodeAck(subscription->connection->subscriber->format(), subscription->id(),
                   batch.control, subscription->shape->query->schema()));
  }
  Send(*subscription, std::move(batch.message));
  snapshot_batches_.Add();
  if (batch.control.has_more) {
    subscription->cursor = batch.control.last_seq.value_or(subscription->cursor);
    ++subscription->batch_num;
    SetState(subscription, State::kSnapshotIdle);
    return;
  }
  subscription->cursor = subscription->snapshot_end;
  SetState(subscription, State::kLagging);
  Pump(subscription);
}

void Hub::FinishChanges(Subscription* subscription, const ReadJob& job) {
  const ChangesChunk& chunk = job.changes;
  SetState(subscription, State::kLagging);
  if (chunk.status.Is(ErrorKind::CursorTooOld)) {
    OnCursorTooOld(subscription);
    return;
  }
  if (!chunk.status.ok()) {
    EndWithError(subscription, "SUBSCRIPTION_FAILED",
                 SubscriberText(chunk.status, subscription->connection->subscriber->caller()));
    return;
  }
  if (subscription->ack_due) AnswerResume(subscription);
  const bool is_stream = subscription->shape->query->table()->type == catalog::TableType::kStream;
  const int64_t now_us = dependencies_.clock.NowUs();
  for (const tables::StoredChange& change : chunk.changes) {
    const ChangeView view = ChangeView::Of(change, is_stream);
    const bool expired = view.expire_at_us != 0 && view.expire_at_us <= now_us &&
                         view.op != replication::ChangeOp::kDelete;
    if (expired) continue;
    if (!(chunk.from_state ? OfferState(subscription, view) : Offer(subscription, view))) {
      // The rest is read again when the socket has drained, in a smaller piece.
      subscription->cursor = Seq{change.seq.value - 1};
      subscription->chunk_shift = std::min<uint8_t>(subscription->chunk_shift + 1, kChunkShiftMax);
      SetStalled(subscription, true);
      return;
    }
    if (subscription->ending) return;
  }
  if (subscription->chunk_shift > 0) --subscription->chunk_shift;
  subscription->cursor =
      chunk.changes.empty() ? job.changes_request.up_to : chunk.changes.back().seq;
  Pump(subscription);
}

void Hub::AnswerResume(Subscription* subscription) {
  subscription->ack_due = false;
  const WireFormat format = subscription->connection->subscriber->format();
  BatchControl control;
  control.last_seq = subscription->cursor;
  Send(*subscription,
       EncodeAck(format, subscription->id(), control, subscription->shape->query->schema()));
  Send(*subscription, BatchMessage(format, subscription->id()).Finish(control));
}

void Hub::OnCursorTooOld(Subscription* subscription) {
  if (subscription->reports_cursor_too_old) {
    EndWithError(subscription, "CURSOR_TOO_OLD",
                 "Changes after " + std::to_string(subscription->cursor.value) +
                     " are no longer known completely: subscribe again without 'from'");
    return;
  }
  // Clients that do not know the code get the current rows, as if they had just subscribed.
  subscription->ack_due = true;
  subscription->batch_num = 0;
  subscription->cursor = Seq{};
  subscription->snapshot_end = head_;
  SetState(subscription, State::kSnapshotDue);
  Pump(subscription);
}

}  // namespace kalam::live
