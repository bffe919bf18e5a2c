// Committed batches on their way from the committer to one core.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/memory_account.h"
#include "replication/command.h"

namespace kalam::server {

/// The committer puts batches in, the core takes them out in order. Bounded in number and bytes:
/// what a core cannot keep up with is dropped and said so. While nobody on the core listens only
/// the newest batch is kept, without its changes, and the core is not woken.
class CommitMailbox {
 public:
  using Batch = std::shared_ptr<const replication::CommittedBatch>;

  struct Bounds {
    size_t batches_max = 0;
    size_t bytes_max = 0;  // one batch is taken whatever its size
  };
  /// `wake` asks the core to call Take; called on the committer's thread. What waits is charged to
  /// `account`.
  CommitMailbox(std::function<void()> wake, const Bounds& bounds, MemoryAccount& account)
      : wake_(std::move(wake)), bounds_(bounds), charge_(account, 0) {}

  /// Any thread; never blocks for long.
  void Put(Batch batch);
  /// What has come since, oldest first; `*overrun` when some was dropped before it. On the core.
  std::vector<Batch> Take(bool* overrun);
  /// Somebody listens from now on (or nobody any more). Take what has come right after switching
  /// on. On the core.
  void SetListening(bool listening);

 private:
  const std::function<void()> wake_;
  const Bounds bounds_;
  std::mutex mutex_;
  MemoryCharge charge_;         // guarded by mutex_
  std::vector<Batch> waiting_;  // guarded by mutex_
  bool listening_ = false;      // guarded by mutex_
  bool woken_ = false;          // guarded by mutex_
  bool overrun_ = false;        // guarded by mutex_
};

}  // namespace kalam::server
