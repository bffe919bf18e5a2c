// The committer's thread: one durable write for all that is pending, then publishing it.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "base/log.h"
#include "replication/standalone_group.h"

namespace kalam::replication {
namespace {

/// Bounds the memory of one write; a command above it is written alone.
constexpr int64_t kBatchBytesMax = 8 << 20;
constexpr int64_t kClockBehindWarningMs = 1'000;
constexpr int64_t kClockWarningEveryUs = 60'000'000;
/// A queue that a burst has grown is given back.
constexpr size_t kQueueKept = 256;

void ExitAfterStorageFailure(const Status& status) {
  Log(LogLevel::kError, "replication",
      "a durable write failed; stopping, because only a restart tells what the disk holds",
      {{"error", status.ToString()}, {"exit_code", kExitStorageFailure}});
  CloseLog();
  // Not exit: destructors would write to the same disk.
  _exit(kExitStorageFailure);
}

/// Whether all that a command does is to forget versions that are durable elsewhere, or that nobody
/// needs any more.
bool IsForgettingOnly(const Command& command) {
  return !command.rows.empty() && command.records.empty() && command.dropped_tables.empty() &&
         std::all_of(command.rows.begin(), command.rows.end(),
                     [](const RowMutation& row) { return row.forgets_version; });
}

}  // namespace

void StandaloneGroup::Run() {
  pthread_setname_np(pthread_self(), "committer");
  std::vector<Proposal> batch;
  while (WaitForWork(&batch)) {
    if (!batch.empty()) Commit(std::move(batch));
    batch = {};
  }
  // Only those at a gate can be left: everything appended is settled, and with it all that waited
  // for it.
  AdmitGateWaiters(Reading::kForbidden);
}

bool StandaloneGroup::WaitForWork(std::vector<Proposal>* batch) {
  std::unique_lock lock(append_mutex_);
  while (true) {
    if (!pending_.empty()) {
      TakePending(batch);
      return true;
    }
    if (closing_) return false;
    bool gate_overdue = !gate_waiters_.empty() && clock_.SteadyUs() >= gate_open_at_us_;
    if (gate_overdue) {
      lock.unlock();
      AdmitGateWaiters(Reading::kForbidden);
      lock.lock();
      continue;
    }
    committer_sleeps_ = true;
    if (health_ == Health::kDiskFull) {
      work_.wait_for(lock, std::chrono::microseconds(options_.full_disk_probe_interval_us));
      committer_sleeps_ = false;
      if (closing_) return false;
      lock.unlock();
      ProbeDisk();
      lock.lock();
    } else if (!gate_waiters_.empty()) {
      work_.wait_for(lock, std::chrono::microseconds(
                               std::max<int64_t>(gate_open_at_us_ - clock_.SteadyUs(), 1'000)));
    } else {
      work_.wait(lock);
    }
    committer_sleeps_ = false;
  }
}

void StandaloneGroup::TakePending(std::vector<Proposal>* batch) {
  int64_t byte_size = 0;
  size_t count = 0;
  while (count < pending_.size()) {
    byte_size += pending_[count].byte_size;
    if (count > 0 && byte_size > kBatchBytesMax) break;
    ++count;
  }
  std::vector<Proposal> rest = std::exchange(spare_, {});
  if (count == pending_.size()) {
    conflicts_.BeginWrite();
  } else {
    auto first_left = pending_.begin() + static_cast<ptrdiff_t>(count);
    rest.assign(std::make_move_iterator(first_left), std::make_move_iterator(pending_.end()));
    pending_.resize(count);
    std::vector<uint64_t> hashes;
    for (const Proposal& proposal : rest) {
      hashes.insert(hashes.end(), proposal.row_hashes.begin(), proposal.row_hashes.end());
    }
    conflicts_.BeginWrite(hashes);
  }
  *batch = std::move(pending_);
  pending_ = std::move(rest);
  writing_position_ = batch->back().position;
}

void StandaloneGroup::Commit(std::vector<Proposal> batch) {
  Status status = WriteOut(batch);
  if (!status.ok()) {
    Fail(std::move(batch), status);
    return;
  }
  uint64_t last_position = batch.back().position;
  Publish(batch);
  Observe(batch, TellCatalog(batch));
  {
    std::lock_guard lock(append_mutex_);
    committed_position_ = last_position;
    ForgetDropped(batch);
  }
  gate_quiet_.notify_all();
  Complete(std::move(batch), Status::Ok());
  ReleaseWaiters(last_position);
  WarnIfClockIsBehind();
}

Status StandaloneGroup::WriteOut(const std::vector<Proposal>& batch) {
  // Forgotten versions that a power cut brings back are forgotten again.
  const bool must_last = !std::all_of(batch.begin(), batch.end(), [](const Proposal& proposal) {
    return IsForgettingOnly(*proposal.command);
  });
  storage::WriteBatch writes;
  for (const Proposal& proposal : batch) {
    ApplyCommand(*proposal.command, proposal.base, proposal.time_us, &writes);
    rows_.Add(static_cast<int64_t>(proposal.command->rows.size()));
  }
  const Proposal& last = batch.back();
  auto rows = static_cast<int64_t>(last.command->rows.size());
  // Without rows `base` is the next free number, so that this is the number before it.
  PutGroupRecord({last.position, {last.base.value + rows - 1}}, &writes);
  MemoryCharge written;
  if (account_ != nullptr) written = {*account_, static_cast<int64_t>(writes.byte_size())};
  int64_t begin_us = clock_.SteadyUs();
  Status status =
      store_.Write(std::move(writes), must_last ? options_.durability : storage::Durability::kOs);
  write_us_.Set(clock_.SteadyUs() - begin_us);
  batches_.Add();
  commands_.Add(static_cast<int64_t>(batch.size()));
  return status;
}

void StandaloneGroup::Publish(const std::vector<Proposal>& batch) {
  std::lock_guard lock(append_mutex_);
  int64_t published = published_seq_.load(std::memory_order_relaxed);
  for (const Proposal& proposal : batch) {
    Seq seq = proposal.base;
    for (uint64_t hash : proposal.row_hashes) {
      conflicts_.Publish(hash, seq);
      ++seq.value;
    }
    auto rows = static_cast<int64_t>(proposal.command->rows.size());
    if (rows > 0) published = proposal.base.value + rows - 1;
    for (TableId table : proposal.command->dropped_tables) dropped_tables_.insert(table.value);
  }
  conflicts_.EndWrite();
  published_seq_.store(published, std::memory_order_release);
}

bool StandaloneGroup::TellCatalog(const std::vector<Proposal>& batch) {
  bool changed = false;
  for (const Proposal& proposal : batch) {
    if (proposal.command->records.empty()) continue;
    uint64_t before = catalog_.version();
    catalog_.OnCommitted(proposal.command->records);
    changed |= catalog_.version() != before;
  }
  return changed;
}

// From here on the catalog itself knows no such table; ids are not used again.
void StandaloneGroup::ForgetDropped(const std::vector<Proposal>& batch) {
  for (const Proposal& proposal : batch) {
    for (TableId table : proposal.command->dropped_tables)
      if (catalog_.CurrentSchemaVersion(table) == 0) dropped_tables_.erase(table.value);
  }
}

void StandaloneGroup::Observe(const std::vector<Proposal>& batch, bool catalog_changed) {
  std::lock_guard lock(observers_mutex_);
  if (observers_.empty()) return;
  auto committed = std::make_shared<CommittedBatch>();
  committed->published_seq = published_seq();
  committed->commit_time_us = batch.back().time_us;
  committed->catalog_changed = catalog_changed;
  committed->commands.reserve(batch.size());
  committed->command_begins.reserve(batch.size());
  for (const Proposal& proposal : batch) {
    const Command& command = *proposal.command;
    committed->commands.push_back(proposal.command);
    committed->dropped_tables.insert(committed->dropped_tables.end(),
                                     command.dropped_tables.begin(), command.dropped_tables.end());
    const size_t begin = committed->changes.size();
    Seq seq = proposal.base;
    for (const RowMutation& row : command.rows) {
      if (!row.forgets_version) committed->changes.push_back({&row, seq});
      ++seq.value;
    }
    if (committed->changes.size() == begin) continue;
    committed->command_begins.push_back(static_cast<uint32_t>(begin));
  }
  for (const auto& [id, observer] : observers_) (*observer)(committed);
}

void StandaloneGroup::Complete(std::vector<Proposal> batch, const Status& status) {
  ReleasePending(batch);
  for (Proposal& proposal : batch) proposal.done({status, proposal.base});
  if (batch.capacity() > kQueueKept) return;
  batch.clear();
  std::lock_guard lock(append_mutex_);
  if (batch.capacity() > spare_.capacity()) spare_ = std::move(batch);
}

void StandaloneGroup::ReleaseWaiters(uint64_t up_to) {
  std::vector<Waiter> released;
  {
    std::lock_guard lock(append_mutex_);
    if (waiters_.empty()) return;
    auto still = std::stable_partition(waiters_.begin(), waiters_.end(),
                                       [up_to](const Waiter& w) { return w.position > up_to; });
    released.assign(std::make_move_iterator(still), std::make_move_iterator(waiters_.end()));
    waiters_.erase(still, waiters_.end());
  }
  std::vector<Proposal> conflicting;
  for (Waiter& waiter : released) {
    if (waiter.conflicts) {
      conflicting.push_back(std::move(waiter.proposal));
    } else {
      Readmit(std::move(waiter.proposal), Reading::kForbidden);
    }
  }
  conflicts_counted_.Add(static_cast<int64_t>(conflicting.size()));
  Complete(std::move(conflicting), Status(ErrorKind::Conflict, "The row was changed meanwhile"));
}

void StandaloneGroup::Fail(std::vector<Proposal> batch, const Status& status) {
  bool untouched = status.Is(ErrorKind::ReadOnly);
  bool disk_full = untouched || status.Is(ErrorKind::OutcomeUnknown);
  uint64_t last_position = 0;
  {
    std::lock_guard lock(append_mutex_);
    health_ = disk_full ? Health::kDiskFull : Health::kFailed;
    std::move(pending_.begin(), pending_.end(), std::back_inserter(batch));
    pending_.clear();
    conflicts_.DropPending();
    // Numbers are not taken back: the bytes of the failed write may yet be found by a restart.
    committed_position_ = appended_position_;
    last_position = appended_position_;
  }
  gate_quiet_.notify_all();
  if (disk_full) {
    Log(LogLevel::kError, "replication", "the disk is full; read-only until there is room",
        {{"error", status.ToString()}});
  } else if (options_.on_storage_failure) {
    options_.on_storage_failure(status);
  } else {
    ExitAfterStorageFailure(status);
  }
  Complete(std::move(batch),
           untouched ? status
                     : Status(ErrorKind::OutcomeUnknown,
                              "The write failed and may or may not be found after a restart; read "
                              "before repeating it. " +
                                  status.message()));
  ReleaseWaiters(last_position);
}

void StandaloneGroup::ProbeDisk() {
  if (!store_.Resume().ok()) return;
  GroupRecord record;
  {
    std::lock_guard lock(append_mutex_);
    record = {appended_position_, last_seq_};
  }
  storage::WriteBatch probe;
  PutGroupRecord(record, &probe);
  if (!store_.Write(std::move(probe), options_.durability).ok()) return;
  {
    std::lock_guard lock(append_mutex_);
    health_ = Health::kWritable;
  }
  Log(LogLevel::kInfo, "replication", "the disk has room again; writes are accepted");
}

void StandaloneGroup::WarnIfClockIsBehind() {
  int64_t behind_ms =
      (published_seq().value >> kSeqCounterBits) + kSeqEpochMs - clock_.NowUs() / 1'000;
  clock_behind_ms_.Set(std::max<int64_t>(behind_ms, 0));
  if (behind_ms <= kClockBehindWarningMs) return;
  int64_t now_us = clock_.SteadyUs();
  if (clock_warned_at_us_ != 0 && now_us - clock_warned_at_us_ < kClockWarningEveryUs) return;
  clock_warned_at_us_ = now_us;
  Log(LogLevel::kWarn, "replication",
      "the clock is behind the last change; `_seq` runs ahead of it until it has caught up",
      {{"behind_ms", behind_ms}});
}

}  // namespace kalam::replication
