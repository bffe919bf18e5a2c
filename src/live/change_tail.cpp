// The ring of recent batches.
#include "live/change_tail.h"

#include <algorithm>

namespace kalam::live {

using replication::CommittedBatch;
using replication::CommittedChange;

ChangeTail::ChangeTail(MemoryAccount& account, size_t bytes_max, Seq begin)
    : charge_(account, 0), bytes_max_(bytes_max), begin_(begin) {}

void ChangeTail::Push(std::shared_ptr<const CommittedBatch> batch) {
  bytes_ += batch->byte_size();
  batches_.push_back(std::move(batch));
  // The newest batch stays, however large: it is being delivered.
  while (bytes_ > bytes_max_ && batches_.size() > 1) {
    bytes_ -= batches_.front()->byte_size();
    begin_ = batches_.front()->published_seq;
    batches_.pop_front();
  }
  charge_.Resize(static_cast<int64_t>(bytes_));
}

void ChangeTail::TrimTo(size_t bytes) {
  if (bytes_ <= bytes) return;
  while (bytes_ > bytes) {
    bytes_ -= batches_.front()->byte_size();
    begin_ = batches_.front()->published_seq;
    batches_.pop_front();
  }
  charge_.Resize(static_cast<int64_t>(bytes_));
}

void ChangeTail::Clear(Seq begin) {
  begin_ = begin;
  if (batches_.empty()) return;
  std::deque<std::shared_ptr<const CommittedBatch>>().swap(batches_);
  bytes_ = 0;
  charge_.Resize(0);
}

ChangeTail::Cursor ChangeTail::After(Seq seq) const {
  const auto batch = std::partition_point(
      batches_.begin(), batches_.end(),
      [seq](const auto& held) { return held->changes.empty() || held->changes.back().seq <= seq; });
  Cursor cursor;
  cursor.batches_ = &batches_;
  cursor.batch_ = static_cast<size_t>(batch - batches_.begin());
  if (batch != batches_.end()) {
    const auto& changes = (*batch)->changes;
    cursor.change_ = static_cast<size_t>(
        std::partition_point(changes.begin(), changes.end(),
                             [seq](const CommittedChange& change) { return change.seq <= seq; }) -
        changes.begin());
  }
  return cursor;
}

const CommittedChange* ChangeTail::Cursor::Next() {
  while (batch_ < batches_->size()) {
    const auto& changes = (*batches_)[batch_]->changes;
    if (change_ < changes.size()) return &changes[change_++];
    ++batch_;
    change_ = 0;
  }
  return nullptr;
}

}  // namespace kalam::live
