// The mailbox between committer and core.
#include "server/commit_mailbox.h"

#include <utility>

namespace kalam::server {

void CommitMailbox::Put(Batch batch) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (!listening_) {
      waiting_.clear();
    } else if (waiting_.size() >= batches_max_) {
      // Those who follow changes here pull them from the log; the memory of the batches is more
      // than they are worth.
      waiting_.clear();
      overrun_ = true;
    }
    waiting_.push_back(std::move(batch));
    wake = listening_ && !std::exchange(woken_, true);
  }
  if (wake) wake_();
}

std::vector<CommitMailbox::Batch> CommitMailbox::Take(bool* overrun) {
  std::lock_guard lock(mutex_);
  woken_ = false;
  *overrun = std::exchange(overrun_, false);
  return std::exchange(waiting_, {});
}

void CommitMailbox::SetListening(bool listening) {
  std::lock_guard lock(mutex_);
  listening_ = listening;
}

}  // namespace kalam::server
