// Committed batches on their way from the committer to one core.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "replication/command.h"

namespace kalam::server {

/// The committer puts batches in, the core takes them out in order. Bounded: what a core cannot
/// keep up with is dropped and said so. While nobody on the core listens only the newest batch is
/// kept and the core is not woken.
class CommitMailbox {
 public:
  using Batch = std::shared_ptr<const replication::CommittedBatch>;

  /// `wake` asks the core to call Take; called on the committer's thread. `batches_max` bounds what
  /// waits.
  CommitMailbox(std::function<void()> wake, size_t batches_max)
      : wake_(std::move(wake)), batches_max_(batches_max) {}

  /// Any thread; never blocks for long.
  void Put(Batch batch);
  /// What has come since, oldest first; `*overrun` when some was dropped before it. On the core.
  std::vector<Batch> Take(bool* overrun);
  /// Somebody listens from now on (or nobody any more). Take what has come right after switching
  /// on. On the core.
  void SetListening(bool listening);

 private:
  const std::function<void()> wake_;
  const size_t batches_max_;
  std::mutex mutex_;
  std::vector<Batch> waiting_;  // guarded by mutex_
  bool listening_ = false;      // guarded by mutex_
  bool woken_ = false;          // guarded by mutex_
  bool overrun_ = false;        // guarded by mutex_
};

}  // namespace kalam::server
