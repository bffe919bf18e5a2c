// ReplicationGroup: the order that every command goes through, behind which a single node or Raft stands.
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

/// A consistent state: rows with `_seq` <= seq, read through the snapshot (R5: seq was read first).
struct View {
  Seq seq;
  storage::SnapshotPtr snapshot;
};

/// How a proposal ended.
struct CommitResult {
  Status status;       // ok; OutcomeUnknown; ReadOnly; StorageIo; ShuttingDown
  Seq seq_begin;       // the rows of the command took seq_begin .. seq_begin + rows - 1
};
/// Called once, on the committer's thread: must only hand over (post, notify), never work or block.
using CommitCallback = std::function<void(const CommitResult&)>;

/// What Propose says at once.
enum class ProposeOutcome : uint8_t {
  kAppended,  // the callback will come
  kConflict,  // a row changed since the view: evaluate again on a fresh view (the callback will not come)
  kRejected,  // see status: StaleSchema (plan again), TooLarge, Busy, ReadOnly, ShuttingDown
};
struct ProposeResult {
  ProposeOutcome outcome = ProposeOutcome::kAppended;
  Status status;
};

/// Told about every durable batch, in order, on the committer's thread, after published_seq moved and before completions.
using CommitObserver = std::function<void(std::shared_ptr<const CommittedBatch>)>;

/// Source: docs/adr "commit path"; rules R1 to R6, R14 to R17.
/// Thread-safety: all methods may be called from any thread.
class ReplicationGroup {
 public:
  virtual ~ReplicationGroup() = default;

  /// Appends the command to the order and returns; the callback comes when it is durable and published.
  /// Checks every written key against writes since `command->view_seq` (R15) without I/O under the lock; a possible
  /// conflict is settled by reading the key's current `_seq` outside of it.
  virtual ProposeResult Propose(std::shared_ptr<const Command> command, CommitCallback done) = 0;

  /// The newest published state.
  virtual View TakeView() = 0;
  virtual Seq published_seq() const = 0;

  /// Serialises the rounds after the eighth conflict (R15): hold it while evaluating and proposing, until the callback.
  class Gate {
   public:
    virtual ~Gate() = default;
  };
  /// Blocks; never call it on an I/O thread.
  virtual std::unique_ptr<Gate> EnterGate() = 0;

  /// Registers an observer; call before the first proposal or from any thread later. Returns an id for RemoveObserver.
  virtual int AddObserver(CommitObserver observer) = 0;
  /// After it returns the observer is not running and will not run.
  virtual void RemoveObserver(int id) = 0;

  /// Stops intake, waits until everything appended is settled, joins the committer. Idempotent.
  virtual void Close() = 0;
};

struct StandaloneOptions {
  storage::Durability durability = storage::Durability::kFsync;
  int64_t pending_bytes_max = 64 << 20;  // back-pressure: Busy beyond it
  const Clock* clock = nullptr;          // SystemClock when null
  Metrics* metrics = nullptr;
  MemoryAccount* account = nullptr;      // child "commit_pending"
};

/// The single-node order: one append mutex, one committer thread, one fsync for all that is pending (R4).
Result<std::unique_ptr<ReplicationGroup>> OpenStandaloneGroup(storage::Store& store, catalog::Catalog& catalog,
                                                             const StandaloneOptions& options);

/// Proposes and waits; for worker threads only. Conflict comes back as ErrorKind::Conflict.
CommitResult ProposeAndWait(ReplicationGroup& group, std::shared_ptr<const Command> command);

}  // namespace kalam::replication
