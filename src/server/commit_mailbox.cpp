// The mailbox between committer and core.
#include "server/commit_mailbox.h"

#include <utility>

namespace kalam::server {

void CommitMailbox::Put(Batch batch) {
  bool wake = false;
  const size_t bytes = batch->byte_size();
  {
    std::lock_guard lock(mutex_);
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
