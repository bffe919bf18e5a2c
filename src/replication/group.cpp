// Proposing from a thread that may wait.
#include "replication/group.h"

#include <future>
#include <memory>
#include <utility>

namespace kalam::replication {

CommitResult ProposeAndWait(ReplicationGroup& group, std::shared_ptr<const Command> command) {
  // Shared: the committer may still be inside set_value when this thread has its value and is gone.
  auto promise = std::make_shared<std::promise<CommitResult>>();
  std::future<CommitResult> future = promise->get_future();
  ProposeResult proposed = group.Propose(
      std::move(command), [promise](const CommitResult& result) { promise->set_value(result); });
  switch (proposed.outcome) {
    case ProposeOutcome::kAppended:
      return future.get();
    case ProposeOutcome::kConflict:
      return {Status(ErrorKind::Conflict, "The row was changed meanwhile"), {}};
    case ProposeOutcome::kRejected:
      break;
  }
  return {std::move(proposed.status), {}};
}

}  // namespace kalam::replication
