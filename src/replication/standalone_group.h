// The order of a single node: checks and numbers commands under one mutex, commits them on one
// thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "replication/apply.h"
#include "replication/conflict_table.h"
#include "replication/group.h"
#include "replication/sequence_clock.h"

namespace kalam::replication {

/// The life of a command:
///   1. Propose checks it under the append mutex (schema, conflicts, bounds). A doubt about a row
///   is settled by reading it
///      outside the mutex and checking again. Then it gets its position and its `_seq`s and waits
///      in `pending_`.
///   2. The committer takes all that is pending and writes it with one durable batch.
///   3. It moves `published_seq`, tells the catalog, then the observers, then the callers.
/// Three things make a command wait without a thread: a pending write of the same row (then it is
/// answered with Conflict), a pending change of the catalog, and a gate that another thread holds
/// (then it is checked again).
class StandaloneGroup final : public ReplicationGroup {
 public:
  StandaloneGroup(storage::Store& store, catalog::Catalog& catalog,
                  const StandaloneOptions& options, const GroupRecord& recovered);
  ~StandaloneGroup() override;

  ProposeResult Propose(std::shared_ptr<const Command> command, CommitCallback done) override;
  View TakeView() override;
  Seq published_seq() const override { return {published_seq_.load(std::memory_order_acquire)}; }
  std::unique_ptr<Gate> EnterGate() override;
  int AddObserver(CommitObserver observer) override;
  void RemoveObserver(int id) override;
  void Close() override;

 private:
  class HeldGate;

  struct Proposal {
    std::shared_ptr<const Command> command;
    CommitCallback done;
    std::vector<uint64_t> row_hashes;  // by row; empty when no row needs a check (STREAM tables)
    std::vector<Seq> clear_up_to;  // by row: verified by reading; empty means the command's view
    int64_t byte_size = 0;
    bool charged = false;   // byte_size is part of pending_bytes_
    uint64_t position = 0;  // once appended
    Seq base;               // once appended
    int64_t time_us = 0;    // once appended

    bool touches_catalog() const;
  };
  /// A proposal that waits until the commands up to a position are published.
  struct Waiter {
    uint64_t position = 0;
    bool conflicts = false;  // answer with Conflict; otherwise check again
    Proposal proposal;
  };
  enum class Health : uint8_t { kWritable, kDiskFull, kFailed };
  enum class Reading : uint8_t { kAllowed, kForbidden };
  enum class GatePass : uint8_t { kNeeded, kGiven };

  // Checking and appending: standalone_group.cpp. A proposal is moved from when it was appended or
  // is kept waiting.
  ProposeResult Admit(Proposal& proposal, Reading reading, GatePass pass);
  /// Checks again a proposal that was kept waiting; its caller learns the outcome through the
  /// callback.
  void Readmit(Proposal proposal, Reading reading);
  Status CheckIntake(const Proposal& proposal) const;  // append mutex held
  Status CheckSchema(const Command& command) const;    // append mutex held
  /// The position to wait for because of a pending write, or 0; fills in the rows in doubt. Append
  /// mutex held.
  uint64_t CheckRows(const Proposal& proposal, std::vector<size_t>* doubts) const;
  /// Reads the rows in doubt; false when one is not the version that the command was computed from.
  Result<bool> SettleDoubts(const std::vector<size_t>& doubts, Seq published, Proposal* proposal);
  void Append(Proposal&& proposal);                                          // append mutex held
  void KeepWaiting(Proposal&& proposal, uint64_t position, bool conflicts);  // append mutex held
  void ChargePending(Proposal* proposal);                                    // append mutex held
  void ReleasePending(const std::vector<Proposal>& proposals);
  bool GateIsClosedTo(std::thread::id thread) const;  // append mutex held
  /// Whether nothing was appended since the calling thread entered the gate. Append mutex held.
  bool IsFirstInGate() const;
  void LeaveGate();
  void AdmitGateWaiters(Reading reading);

  // The committer's thread: committer.cpp.
  void Run();
  bool WaitForWork(std::vector<Proposal>* batch);
  void TakePending(std::vector<Proposal>* batch);  // append mutex held
  void Commit(std::vector<Proposal> batch);
  Status WriteOut(const std::vector<Proposal>& batch);
  void Publish(const std::vector<Proposal>& batch);
  bool TellCatalog(const std::vector<Proposal>& batch);
  void ForgetDropped(const std::vector<Proposal>& batch);
  void Observe(const std::vector<Proposal>& batch, bool catalog_changed);
  void ReleaseWaiters(uint64_t up_to);
  void Complete(std::vector<Proposal> batch, const Status& status);
  void Fail(std::vector<Proposal> batch, const Status& status);
  void ProbeDisk();
  void WarnIfClockIsBehind();

  storage::Store& store_;
  catalog::Catalog& catalog_;
  const StandaloneOptions options_;
  const Clock& clock_;
  Metrics own_metrics_;  // when the options have none
  Counter& batches_;
  Counter& commands_;
  Counter& rows_;
  Counter& conflicts_counted_;
  Counter& waits_;
  Gauge& pending_gauge_;
  Gauge& write_us_;
  Gauge& clock_behind_ms_;
  MemoryAccount* const account_;  // may be null

  std::atomic<int64_t> published_seq_;

  std::mutex append_mutex_;  // never held over I/O
  // Guarded by append_mutex_:
  std::condition_variable work_;  // for the committer
  bool committer_sleeps_ = false;
  bool closing_ = false;
  Health health_ = Health::kWritable;
  SequenceClock sequence_clock_;
  Seq last_seq_;
  uint64_t appended_position_;
  uint64_t writing_position_;      // of the last command that is being written out
  uint64_t committed_position_;    // of the last command that is published and observed
  uint64_t catalog_position_ = 0;  // of the last appended command that touches the catalog
  ConflictTable conflicts_;
  std::vector<Proposal> pending_;
  std::vector<Proposal> spare_;  // empty: what `pending_` becomes next, with the room of the last
  std::vector<Waiter> waiters_;
  int64_t pending_bytes_ = 0;  // of everything taken in and not answered
  std::unordered_set<uint32_t> dropped_tables_;
  std::condition_variable gate_quiet_;  // everything appended before the gate closed is published
  std::condition_variable gate_free_;
  bool gate_taken_ = false;
  std::thread::id gate_holder_;  // none while the gate is being left
  uint64_t gate_position_ = 0;   // the last one that was appended before its holder entered
  int64_t gate_open_at_us_ = 0;
  std::vector<Proposal> gate_waiters_;

  std::mutex observers_mutex_;  // held while observers run
  std::vector<std::pair<int, std::shared_ptr<CommitObserver>>> observers_;  // guarded by it
  int next_observer_id_ = 1;                                                // guarded by it

  int64_t clock_warned_at_us_ = 0;  // the committer's own

  std::mutex close_mutex_;
  std::thread committer_;  // joined under close_mutex_
};

}  // namespace kalam::replication
