// From a commit to the subscriptions that are level: index, filters, one encoding per projection.
#include <algorithm>

#include "base/log.h"
#include "live/hub.h"
#include "types/key_codec.h"

namespace kalam::live {
namespace {

using replication::ChangeOp;

/// How often the cursors of quiet subscriptions are looked at.
constexpr int64_t kRefreshCheckUs = int64_t{10} * 60 * 1'000'000;

/// Of the tail, for each subscription that waits for its client.
constexpr size_t kTailBytesPerWaiting = 16 << 10;

/// The constant that a cell stands for in the index; empty string and false for NULL.
bool CellKey(std::span<const Datum> cells, int column, std::string* key) {
  key->clear();
  const Datum& cell = cells[static_cast<size_t>(column)];
  if (cell.is_null) return false;
  EncodeKey(cell, key);
  return true;
}

int64_t AgeUs(Seq seq, int64_t now_us) {
  return now_us - ((seq.value >> kSeqCounterBits) + kSeqEpochMs) * 1000;
}

}  // namespace

void Hub::SetState(Subscription* subscription, State state) {
  if (subscription->state == state) return;
  if (subscription->state == State::kLevel) ++behind_count_;
  if (state == State::kLevel) --behind_count_;
  if (subscription->waits_for_client()) --waiting_count_;
  subscription->state = state;
  subscription->stalled = false;
  if (subscription->waits_for_client()) ++waiting_count_;
}

void Hub::SetStalled(Subscription* subscription, bool stalled) {
  if (subscription->stalled == stalled || !subscription->may_stall()) return;
  subscription->stalled = stalled;
  if (stalled) {
    ++waiting_count_;
  } else {
    --waiting_count_;
  }
}

// The tail is for those who will be level again in a moment. Whoever does not read is worth a few
// changes of it, the change log has the rest.
void Hub::TrimTail() {
  if (behind_count_ == 0 || tail_.bytes_max() == 0) {
    tail_.Clear(head_);
  } else if (behind_count_ == waiting_count_) {
    tail_.TrimTo(waiting_count_ * kTailBytesPerWaiting);
  }
}

bool Hub::IsWritable(const Subscription& subscription) const {
  const Subscriber* subscriber = subscription.connection->subscriber;
  return subscriber != nullptr && subscriber->writable();
}

void Hub::Send(const Subscription& subscription, OutgoingMessage message) {
  if (Subscriber* subscriber = subscription.connection->subscriber)
    subscriber->Send(std::move(message));
}

void Hub::OnCommitted(std::shared_ptr<const replication::CommittedBatch> batch) {
  if (closed_) return;
  const DeliveryScope scope(*this);
  OnCatalogChanged(*batch);
  if (batch->published_seq <= head_) return;
  head_ = batch->published_seq;
  const bool watched = std::any_of(
      batch->changes.begin(), batch->changes.end(),
      [this](const auto& change) { return watches_.count(change.mutation->table) != 0; });
  if (watched) {
    tail_.Push(batch);
    for (const replication::CommittedChange& change : batch->changes) Dispatch(change);
  }
  PumpAhead();
  RefreshCursors();
}

void Hub::SetTailBytes(size_t bytes_max) {
  if (closed_) return;
  tail_.set_bytes_max(bytes_max);
  if (bytes_max == 0) tail_.Clear(head_);
}

void Hub::OnCommitsMissed() {
  if (closed_) return;
  const DeliveryScope scope(*this);
  missed_.Add();
  // Everything up to here is in the change log; batches that still wait for this core and are not
  // newer say nothing more.
  const Seq old_head = head_;
  head_ = dependencies_.group.published_seq();
  tail_.Clear(head_);
  RefreshStaleTables();
  if (head_ <= old_head) return;
  // First the states, then the reads: a pull that becomes level at once must not look like one that
  // missed nothing.
  std::vector<Subscription*> behind;
  for (const auto& [id, connection] : connections_) {
    for (Subscription* at = connection->first.get(); at != nullptr;
         at = at->next_in_connection.get()) {
      if (at->ending || at->state != State::kLevel) continue;
      at->cursor = old_head;
      SetState(at, State::kLagging);
      behind.push_back(at);
    }
  }
  for (Subscription* subscription : behind) Pump(subscription);
  PumpAhead();
}

bool Hub::LoadImage(TableWatch* watch, const ChangeView& change) {
  ++change_serial_;
  const Status status = watch->image->Load(change);
  if (status.ok()) return true;
  decode_errors_.Add();
  Log(LogLevel::kError, "live", "a change cannot be decoded and is not delivered",
      {{"table", watch->image->table()->QualifiedName()},
       {"seq", change.seq.value},
       {"error", status.ToString()}});
  return false;
}

void Hub::Dispatch(const replication::CommittedChange& change) {
  const auto found = watches_.find(change.mutation->table);
  if (found == watches_.end()) return;
  TableWatch& watch = *found->second;
  const ChangeView view = ChangeView::Of(change);
  if (!LoadImage(&watch, view)) return;
  IndexKey key{change.mutation->table, {}, RowFilter::kNoKey, {}};
  if (watch.image->table()->is_scoped_by_user()) key.user_id = change.mutation->scope.user_id();
  const bool has_new = watch.image->has_new();
  const bool has_old = watch.image->has_old();
  for (size_t i = 0; i < watch.key_columns.size(); ++i) {
    key.column = watch.key_columns[i].column;
    key.key = {};
    if (key.column == RowFilter::kNoKey) {
      DispatchTo(key, watch, view, has_new, has_old);
      continue;
    }
    const bool new_keyed = has_new && CellKey(watch.image->new_cells(), key.column, &new_key_);
    const bool old_keyed = has_old && CellKey(watch.image->old_cells(), key.column, &old_key_);
    const bool same = new_keyed && old_keyed && new_key_ == old_key_;
    if (new_keyed) {
      key.key = new_key_;
      DispatchTo(key, watch, view, true, same);
    }
    if (old_keyed && !same) {
      key.key = old_key_;
      DispatchTo(key, watch, view, false, true);
    }
  }
  ForgetEncodings();
}

void Hub::DispatchTo(const IndexKey& key, const TableWatch& watch, const ChangeView& change,
                     bool as_new, bool as_old) {
  const ChangeRows rows = watch.image->rows(key.user_id);
  for (Subscription* at = index_.First(key); at != nullptr; at = index_.Next(at, key)) {
    if (at->state != State::kLevel || at->ending) continue;
    const std::optional<ChangeKind> kind = Classify(at->shape, watch, change, as_new, as_old);
    if (!kind) continue;
    if (!IsWritable(*at)) {
      at->cursor = Seq{change.seq.value - 1};
      SetState(at, State::kLagging);
      SetStalled(at, true);
      continue;
    }
    Deliver(at, *kind, rows);
  }
}

std::optional<ChangeKind> Hub::Classify(QueryShape* shape, const TableWatch& watch,
                                        const ChangeView& change, bool as_new, bool as_old) {
  if (shape->evaluated_serial != change_serial_) {
    shape->evaluated_serial = change_serial_;
    const query::LiveQuery& query = *shape->query;
    const bool keyed = shape->key_column != RowFilter::kNoKey;
    const auto matches = [&query, keyed](std::span<const Datum> cells) {
      return keyed ? query.MatchesRest(cells) : query.Matches(cells);
    };
    shape->rest_matches_new = watch.image->has_new() && matches(watch.image->new_cells());
    shape->rest_matches_old = watch.image->has_old() && matches(watch.image->old_cells());
  }
  const bool matches_new = as_new && shape->rest_matches_new;
  const bool matches_old = as_old && shape->rest_matches_old;
  if (matches_new) return matches_old ? ChangeKind::kUpdate : ChangeKind::kInsert;
  if (!matches_old) return std::nullopt;
  return change.op == ChangeOp::kDelete ? ChangeKind::kDelete : ChangeKind::kLeave;
}

void Hub::Deliver(Subscription* subscription, ChangeKind kind, const ChangeRows& rows) {
  const WireFormat format = subscription->connection->subscriber->format();
  Projection& projection = *subscription->shape->projection;
  std::unique_ptr<EncodedChange>& encoded =
      projection.encoded[(format.msgpack ? kChangeKindCount : 0) + static_cast<size_t>(kind)];
  if (encoded == nullptr) {
    encoded = std::make_unique<EncodedChange>(format.msgpack, kind, rows,
                                              subscription->shape->query->projection());
    encodings_.Add();
    if (!projection.has_encoded) {
      projection.has_encoded = true;
      encoded_projections_.push_back(&projection);
    }
  }
  subscription->cursor = rows.seq;
  ++subscription->change_count;
  subscription->updated_at_us = dependencies_.clock.NowUs();
  deliveries_.Add();
  Send(*subscription, encoded->For(subscription->id(), format.gzip));
}

void Hub::ForgetEncodings() {
  for (Projection* projection : encoded_projections_) {
    for (auto& encoded : projection->encoded) encoded.reset();
    projection->has_encoded = false;
  }
  encoded_projections_.clear();
}

bool Hub::Offer(Subscription* subscription, const ChangeView& change) {
  TableWatch& watch = *subscription->shape->watch;
  if (!LoadImage(&watch, change)) return true;
  const int column = subscription->shape->key_column;
  bool as_new = watch.image->has_new();
  bool as_old = watch.image->has_old();
  if (column != RowFilter::kNoKey) {
    as_new = as_new && CellKey(watch.image->new_cells(), column, &new_key_) &&
             new_key_ == subscription->key();
    as_old = as_old && CellKey(watch.image->old_cells(), column, &old_key_) &&
             old_key_ == subscription->key();
  }
  const std::optional<ChangeKind> kind =
      Classify(subscription->shape, watch, change, as_new, as_old);
  if (!kind) return true;
  if (!IsWritable(*subscription)) return false;
  Deliver(subscription, *kind, watch.image->rows(subscription->connection->user_id));
  ForgetEncodings();
  return true;
}

bool Hub::OfferState(Subscription* subscription, const ChangeView& change) {
  TableWatch& watch = *subscription->shape->watch;
  // What the row was when the client saw it last is not known: a row that matches is sent as it is,
  // everything else that changed since is taken away.
  ChangeView current = change;
  const bool tombstone = change.op == ChangeOp::kDelete;
  if (!tombstone) current.op = ChangeOp::kInsert;
  if (!LoadImage(&watch, current)) return true;
  ChangeKind kind = ChangeKind::kDelete;
  ChangeRows rows = watch.image->rows(subscription->connection->user_id);
  if (!tombstone) {
    kind =
        subscription->filter().Matches(rows.new_cells) ? ChangeKind::kInsert : ChangeKind::kLeave;
    rows.old_cells = rows.new_cells;
  }
  if (!IsWritable(*subscription)) return false;
  Deliver(subscription, kind, rows);
  ForgetEncodings();
  return true;
}

void Hub::RefreshCursors() {
  if (dependencies_.clock.SteadyUs() - cursors_refreshed_us_ < kRefreshCheckUs) return;
  cursors_refreshed_us_ = dependencies_.clock.SteadyUs();
  const int64_t now_us = dependencies_.clock.NowUs();
  for (const auto& [id, connection] : connections_) {
    for (Subscription* at = connection->first.get(); at != nullptr;
         at = at->next_in_connection.get()) {
      if (at->ending || at->state != State::kLevel || !IsWritable(*at)) continue;
      if (AgeUs(at->cursor, now_us) < limits_.cursor_refresh_us) continue;
      at->cursor = head_;
      BatchControl control;
      control.last_seq = head_;
      Send(*at, BatchMessage(connection->subscriber->format(), at->id()).Finish(control));
    }
  }
}

}  // namespace kalam::live
