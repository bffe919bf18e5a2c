// ReplicationGroup: the order that every command goes through, behind which a single node or Raft
// stands.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/memory_account.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "replication/command.h"
#include "storage/store.h"

namespace kalam::replication {

/// A consistent state: rows with `_seq` <= seq, read through the snapshot. `seq` was read first, so
/// that the snapshot may show more than it says but never less.
struct View {
  Seq seq;
  storage::SnapshotPtr snapshot;
};

/// How a proposal that was appended ended.
struct CommitResult {
  /// ok; Conflict: a command that was pending when this one came wrote the same row or changed the
  /// catalog; it is published by now and nothing of this one was applied, so evaluate again on a
  /// fresh view, exactly as after ProposeOutcome::kConflict; OutcomeUnknown; ReadOnly;
  /// ShuttingDown; StaleSchema (plan again).
  Status status;
  Seq seq_begin;  // the rows of the command took seq_begin .. seq_begin + rows - 1
};
/// Called once, on the committer's thread or, for proposals that waited at a gate, on the thread
/// that left it: must only hand over (post, notify), never work or block.
using CommitCallback = std::function<void(const CommitResult&)>;

/// What Propose says at once.
enum class ProposeOutcome : uint8_t {
  kAppended,  // the callback will come
  kConflict,  // a row changed since the view: evaluate again on a fresh view (the callback will not
              // come)
  kRejected,  // see status: StaleSchema (plan again), TooLarge, Busy, ReadOnly, ShuttingDown
};
struct ProposeResult {
  ProposeOutcome outcome = ProposeOutcome::kAppended;
  Status status;
};

/// Told about every durable batch, in order, on the committer's thread, after published_seq moved
/// and before completions.
using CommitObserver = std::function<void(std::shared_ptr<const CommittedBatch>)>;

/// Source: docs/adr/0003-commit-path.md.
/// Thread-safety: all methods may be called from any thread.
class ReplicationGroup {
 public:
  virtual ~ReplicationGroup() = default;

  /// Appends the command to the order and returns; the callback comes when it is durable and
  /// published. Checks every written key against writes since `command->view_seq` without I/O under
  /// the lock; a possible conflict is settled by reading the key's current `_seq` outside of it.
  /// Never waits: a command that meets a pending write of the same row is kept until that write is
  /// published and then answered with Conflict through the callback, because no view could show the
  /// row before; returning kConflict at once would make the caller spin.
  virtual ProposeResult Propose(std::shared_ptr<const Command> command, CommitCallback done) = 0;

  /// The newest published state.
  virtual View TakeView() = 0;
  virtual Seq published_seq() const = 0;

  /// Makes the rounds after the eighth conflict succeed: hold it while evaluating and proposing,
  /// until the callback, and propose from the thread that entered it. Proposals of other threads
  /// wait meanwhile, at most kGateExclusiveMaxUs, and are checked and appended when the gate is
  /// left.
  class Gate {
   public:
    virtual ~Gate() = default;
  };
  /// Blocks; never call it on an I/O thread.
  virtual std::unique_ptr<Gate> EnterGate() = 0;

  /// Registers an observer; call before the first proposal or from any thread later, but not from
  /// an observer. Returns an id for RemoveObserver.
  virtual int AddObserver(CommitObserver observer) = 0;
  /// After it returns the observer is not running and will not run.
  virtual void RemoveObserver(int id) = 0;

  /// Stops intake, waits until everything appended is settled, joins the committer. Idempotent.
  virtual void Close() = 0;
};

/// How long a gate keeps others waiting; a holder that needs longer competes like everybody else.
inline constexpr int64_t kGateExclusiveMaxUs = 1'000'000;
/// Exit code of the process when a durable write fails for another reason than a full disk: after a
/// failed fsync nobody knows what the disk holds, and only a restart from the log tells.
inline constexpr int kExitStorageFailure = 74;

struct StandaloneOptions {
  storage::Durability durability = storage::Durability::kFsync;
  int64_t pending_bytes_max = 64 << 20;  // back-pressure: Busy beyond it
  const Clock* clock = nullptr;          // SystemClock when null
  Metrics* metrics = nullptr;
  MemoryAccount* account = nullptr;  // child "commit_pending"
  /// The version of a table's set of segments in the newest state, for rows that the store does not
  /// have: what a view did not find there may have been written and moved to a segment since.
  /// Called on any thread, outside of every lock; empty when no table has segments.
  std::function<Result<uint64_t>(TableId)> segments_version;
  /// Called when a durable write failed; logs and exits with kExitStorageFailure when empty. If it
  /// returns, the group refuses everything from then on.
  std::function<void(const Status&)> on_storage_failure;
  int64_t full_disk_probe_interval_us = 1'000'000;  // how often a full disk is tried again
};

/// The single-node order: one append mutex, one committer thread, one fsync for all that is
/// pending. `store` and `catalog` must outlive the group.
Result<std::unique_ptr<ReplicationGroup>> OpenStandaloneGroup(storage::Store& store,
                                                              catalog::Catalog& catalog,
                                                              const StandaloneOptions& options);

/// Proposes and waits; for worker threads only. Conflict comes back as ErrorKind::Conflict.
CommitResult ProposeAndWait(ReplicationGroup& group, std::shared_ptr<const Command> command);

}  // namespace kalam::replication
