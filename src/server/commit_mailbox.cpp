// The mailbox between committer and core.
#include "server/commit_mailbox.h"

#include <utility>

namespace kalam::server {
namespace {

/// The batch without its changes, which share the memory of whole statements.
CommitMailbox::Batch HeadOf(const replication::CommittedBatch& batch) {
  auto head = std::make_shared<replication::CommittedBatch>();
  head->published_seq = batch.published_seq;
  head->commit_time_us = batch.commit_time_us;
  head->dropped_tables = batch.dropped_tables;
  head->catalog_changed = batch.catalog_changed;
  return head;
}

}  // namespace

void CommitMailbox::Put(Batch batch) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (!listening_) batch = HeadOf(*batch);
    const size_t bytes = batch->byte_size();
    auto held = static_cast<size_t>(charge_.bytes());
    if (!listening_) {
      waiting_.clear();
      held = 0;
    } else if (!waiting_.empty() &&
               (waiting_.size() >= bounds_.batches_max || held + bytes > bounds_.bytes_max)) {
      // Those who follow changes here pull them from the log; the memory of the batches is more
      // than they are worth.
      waiting_.clear();
      held = 0;
      overrun_ = true;
    }
    waiting_.push_back(std::move(batch));
    charge_.Resize(static_cast<int64_t>(held + bytes));
    wake = listening_ && !std::exchange(woken_, true);
  }
  if (wake) wake_();
}

std::vector<CommitMailbox::Batch> CommitMailbox::Take(bool* overrun) {
  std::lock_guard lock(mutex_);
  woken_ = false;
  *overrun = std::exchange(overrun_, false);
  charge_.Resize(0);
  return std::exchange(waiting_, {});
}

void CommitMailbox::SetListening(bool listening) {
  std::lock_guard lock(mutex_);
  listening_ = listening;
}

}  // namespace kalam::server
