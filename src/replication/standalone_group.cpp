// Checking, numbering and appending commands, and the gate.
#include "replication/standalone_group.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "replication/records.h"

namespace kalam::replication {
namespace {

/// The smallest `_seq` of a millisecond. A clock outside of 2024 to 2093 does not fit: numbers go
/// on without it.
int64_t FirstSeqOf(int64_t time_us) {
  int64_t ms = time_us / 1'000 - kSeqEpochMs;
  bool fits = ms >= 0 && ms <= (INT64_MAX >> kSeqCounterBits);
  return fits ? ms << kSeqCounterBits : 0;
}

Metrics& MetricsOf(const StandaloneOptions& options, Metrics& own) {
  return options.metrics != nullptr ? *options.metrics : own;
}

}  // namespace

/// In the gate for as long as it lives.
class StandaloneGroup::HeldGate final : public Gate {
 public:
  explicit HeldGate(StandaloneGroup& group) : group_(group) {}
  HeldGate(const HeldGate&) = delete;
  HeldGate& operator=(const HeldGate&) = delete;
  ~HeldGate() override { group_.LeaveGate(); }

 private:
  StandaloneGroup& group_;
};

bool StandaloneGroup::Proposal::touches_catalog() const {
  if (!command->dropped_tables.empty()) return true;
  return std::any_of(command->records.begin(), command->records.end(),
                     [](const auto& write) { return write.family == storage::Family::kCatalog; });
}

StandaloneGroup::StandaloneGroup(storage::Store& store, catalog::Catalog& catalog,
                                 const StandaloneOptions& options, const GroupRecord& recovered)
    : store_(store),
      catalog_(catalog),
      options_(options),
      clock_(options.clock != nullptr ? *options.clock : SystemClock()),
      batches_(MetricsOf(options, own_metrics_).counter("commit_batches")),
      commands_(MetricsOf(options, own_metrics_).counter("commit_commands")),
      rows_(MetricsOf(options, own_metrics_).counter("commit_rows")),
      conflicts_counted_(MetricsOf(options, own_metrics_).counter("commit_conflicts")),
      waits_(MetricsOf(options, own_metrics_).counter("commit_waits")),
      pending_gauge_(MetricsOf(options, own_metrics_).gauge("commit_pending_bytes")),
      write_us_(MetricsOf(options, own_metrics_).gauge("commit_write_us")),
      clock_behind_ms_(MetricsOf(options, own_metrics_).gauge("commit_clock_behind_ms")),
      account_(options.account != nullptr ? &options.account->Child("commit_pending") : nullptr),
      published_seq_(recovered.last_seq.value),
      sequence_clock_(clock_),
      last_seq_(recovered.last_seq),
      appended_position_(recovered.last_applied),
      writing_position_(recovered.last_applied),
      committed_position_(recovered.last_applied),
      conflicts_(recovered.last_seq) {
  committer_ = std::thread([this] { Run(); });
}

StandaloneGroup::~StandaloneGroup() { Close(); }

ProposeResult StandaloneGroup::Propose(std::shared_ptr<const Command> command,
                                       CommitCallback done) {
  Proposal proposal;
  size_t byte_size = command->byte_size();
  if (byte_size > kCommandBytesMax) {
    return {ProposeOutcome::kRejected,
            Status(ErrorKind::TooLarge, "The statement changes " + std::to_string(byte_size) +
                                            " bytes at once; at most " +
                                            std::to_string(kCommandBytesMax) + " are possible")};
  }
  proposal.byte_size = static_cast<int64_t>(byte_size);
  bool needs_check = std::any_of(command->rows.begin(), command->rows.end(),
                                 [](const RowMutation& row) { return !row.is_stream; });
  if (needs_check) {
    proposal.row_hashes.reserve(command->rows.size());
    HashSet distinct;
    for (const RowMutation& row : command->rows) {
      uint64_t hash = HashOfRow(row);
      proposal.row_hashes.push_back(hash);
      if (row.is_stream || command->rows.size() == 1) continue;
      // Two versions of a row in one command would leave an order entry behind that nothing
      // removes.
      if (!distinct.Insert(hash)) {
        return {ProposeOutcome::kRejected,
                Status(ErrorKind::Internal, "A command writes one row twice")};
      }
    }
  }
  proposal.command = std::move(command);
  proposal.done = std::move(done);
  return Admit(proposal, Reading::kAllowed, GatePass::kNeeded);
}

ProposeResult StandaloneGroup::Admit(Proposal& proposal, Reading reading, GatePass pass) {
  std::vector<size_t> doubts;
  while (true) {
    Seq published;
    {
      std::unique_lock lock(append_mutex_);
      Status refusal = CheckIntake(proposal);
      if (!refusal.ok()) return {ProposeOutcome::kRejected, std::move(refusal)};
      if (pass == GatePass::kNeeded && GateIsClosedTo(std::this_thread::get_id())) {
        ChargePending(&proposal);
        gate_waiters_.push_back(std::move(proposal));
        // The committer must know that there is somebody to let in should the gate stay closed too
        // long.
        if (committer_sleeps_) work_.notify_one();
        return {};
      }
      if (!proposal.command->forgotten_ranges.empty() && !IsFirstInGate()) break;
      if (!proposal.command->rows.empty() && catalog_position_ > committed_position_) {
        KeepWaiting(std::move(proposal), catalog_position_, /*conflicts=*/false);
        return {};
      }
      Status stale = CheckSchema(*proposal.command);
      if (!stale.ok()) return {ProposeOutcome::kRejected, std::move(stale)};
      if (uint64_t position = CheckRows(proposal, &doubts); position != 0) {
        KeepWaiting(std::move(proposal), position, /*conflicts=*/true);
        return {};
      }
      if (doubts.empty()) {
        Append(std::move(proposal));
        bool wake = committer_sleeps_;
        committer_sleeps_ = false;
        lock.unlock();
        if (wake) work_.notify_one();
        return {};
      }
      published = published_seq();
    }
    if (reading == Reading::kForbidden) break;
    Result<bool> unchanged = SettleDoubts(doubts, published, &proposal);
    if (!unchanged.ok()) return {ProposeOutcome::kRejected, std::move(unchanged).status()};
    if (!*unchanged) break;
  }
  conflicts_counted_.Add();
  return {ProposeOutcome::kConflict, {}};
}

void StandaloneGroup::Readmit(Proposal proposal, Reading reading) {
  ProposeResult result = Admit(proposal, reading, GatePass::kGiven);
  if (result.outcome == ProposeOutcome::kAppended) return;
  if (result.outcome == ProposeOutcome::kConflict) {
    result.status = Status(ErrorKind::Conflict, "The row was changed meanwhile");
  }
  CommitCallback done = std::move(proposal.done);
  std::vector<Proposal> answered;
  answered.push_back(std::move(proposal));
  ReleasePending(answered);
  done({std::move(result.status), {}});
}

Status StandaloneGroup::CheckIntake(const Proposal& proposal) const {
  if (closing_) return Status(ErrorKind::ShuttingDown, "The server is shutting down");
  if (health_ == Health::kDiskFull) {
    return Status(ErrorKind::ReadOnly,
                  "The disk is full; the server is read-only until there is room");
  }
  if (health_ == Health::kFailed) {
    return Status(ErrorKind::StorageIo, "An earlier write failed; the server must be restarted");
  }
  // A command that is larger than the bound is taken in when it is alone.
  if (!proposal.charged && pending_bytes_ > 0 &&
      pending_bytes_ + proposal.byte_size > options_.pending_bytes_max) {
    return Status(ErrorKind::Busy, "Too many writes wait for the disk; try again");
  }
  return Status::Ok();
}

Status StandaloneGroup::CheckSchema(const Command& command) const {
  TableId known;
  uint32_t current = 0;
  for (const RowMutation& row : command.rows) {
    if (row.table != known) {
      known = row.table;
      current = dropped_tables_.contains(known.value) ? 0 : catalog_.CurrentSchemaVersion(known);
    }
    if (row.schema_version != current) {
      return Status(ErrorKind::StaleSchema,
                    current == 0 ? "The table was dropped meanwhile"
                                 : "The table was altered meanwhile; run the statement again");
    }
  }
  return Status::Ok();
}

uint64_t StandaloneGroup::CheckRows(const Proposal& proposal, std::vector<size_t>* doubts) const {
  doubts->clear();
  uint64_t position = 0;
  const Command& command = *proposal.command;
  for (size_t i = 0; i < proposal.row_hashes.size(); ++i) {
    if (command.rows[i].is_stream) continue;
    Seq clear_up_to = proposal.clear_up_to.empty() ? command.view_seq : proposal.clear_up_to[i];
    switch (conflicts_.Check(proposal.row_hashes[i], clear_up_to)) {
      case ConflictTable::Verdict::kClear:
        break;
      case ConflictTable::Verdict::kDoubt:
        doubts->push_back(i);
        break;
      case ConflictTable::Verdict::kWriting:
        position = std::max(position, writing_position_);
        break;
      case ConflictTable::Verdict::kAppended:
        return appended_position_;
    }
  }
  return position;
}

Result<bool> StandaloneGroup::SettleDoubts(const std::vector<size_t>& doubts, Seq published,
                                           Proposal* proposal) {
  const Command& command = *proposal->command;
  if (proposal->clear_up_to.empty()) {
    proposal->clear_up_to.assign(command.rows.size(), command.view_seq);
  }
  std::string value;
  std::optional<std::pair<TableId, uint64_t>> segments;  // of the table that was asked for last
  for (size_t i : doubts) {
    const RowMutation& row = command.rows[i];
    KALAM_ASSIGN_OR_RETURN(
        bool found,
        store_.GetInto(storage::Family::kRows,
                       storage::RowKey(row.table, row.scope, row.encoded_pk), nullptr, &value));
    Seq current;
    if (found) {
      KALAM_ASSIGN_OR_RETURN(RowRecord record, DecodeRowRecord(value));
      current = record.seq;
    }
    if (current != (row.read_was_cold ? Seq{} : row.read_seq)) return false;
    if (!found && options_.segments_version) {
      // Written, moved to a segment and forgotten since the view, it would look the same.
      if (!segments || segments->first != row.table) {
        KALAM_ASSIGN_OR_RETURN(uint64_t version, options_.segments_version(row.table));
        segments.emplace(row.table, version);
      }
      if (segments->second != row.segments_version) return false;
    }
    proposal->clear_up_to[i] = published;
  }
  return true;
}

void StandaloneGroup::Append(Proposal&& proposal) {
  ChargePending(&proposal);
  proposal.position = ++appended_position_;
  proposal.time_us = sequence_clock_.NowUs();
  auto row_count = static_cast<int64_t>(proposal.command->rows.size());
  proposal.base = {std::max(last_seq_.value + 1, FirstSeqOf(proposal.time_us))};
  if (row_count > 0) {
    last_seq_ = {proposal.base.value + row_count - 1};
    conflicts_.Append(proposal.row_hashes);
  }
  if (proposal.touches_catalog()) catalog_position_ = proposal.position;
  pending_.push_back(std::move(proposal));
}

void StandaloneGroup::KeepWaiting(Proposal&& proposal, uint64_t position, bool conflicts) {
  waits_.Add();
  ChargePending(&proposal);
  waiters_.push_back({position, conflicts, std::move(proposal)});
}

void StandaloneGroup::ChargePending(Proposal* proposal) {
  if (proposal->charged) return;
  proposal->charged = true;
  pending_bytes_ += proposal->byte_size;
  pending_gauge_.Set(pending_bytes_);
  if (account_ != nullptr) account_->Charge(proposal->byte_size);
}

void StandaloneGroup::ReleasePending(const std::vector<Proposal>& proposals) {
  int64_t byte_size = 0;
  for (const Proposal& proposal : proposals) byte_size += proposal.charged ? proposal.byte_size : 0;
  if (account_ != nullptr) account_->Release(byte_size);
  std::lock_guard lock(append_mutex_);
  pending_bytes_ -= byte_size;
  pending_gauge_.Set(pending_bytes_);
}

View StandaloneGroup::TakeView() {
  // The other way round a change could be in neither: published after the snapshot, yet not later
  // than `seq`.
  Seq seq = published_seq();
  return {seq, store_.TakeSnapshot()};
}

bool StandaloneGroup::GateIsClosedTo(std::thread::id thread) const {
  return gate_holder_ != std::thread::id() && gate_holder_ != thread &&
         clock_.SteadyUs() < gate_open_at_us_;
}

bool StandaloneGroup::IsFirstInGate() const {
  return gate_holder_ == std::this_thread::get_id() && appended_position_ == gate_position_;
}

std::unique_ptr<ReplicationGroup::Gate> StandaloneGroup::EnterGate() {
  std::unique_lock lock(append_mutex_);
  gate_free_.wait(lock, [this] { return !gate_taken_; });
  gate_taken_ = true;
  gate_holder_ = std::this_thread::get_id();
  gate_open_at_us_ = clock_.SteadyUs() + kGateExclusiveMaxUs;
  // Once this is published nothing can come between the holder's view and its proposal.
  gate_quiet_.wait(lock, [this] { return committed_position_ == appended_position_; });
  gate_position_ = appended_position_;
  return std::make_unique<HeldGate>(*this);
}

void StandaloneGroup::LeaveGate() {
  {
    std::lock_guard lock(append_mutex_);
    gate_holder_ = std::thread::id();
  }
  // Before the next one may enter, or those who wait could wait for ever.
  AdmitGateWaiters(Reading::kAllowed);
  {
    std::lock_guard lock(append_mutex_);
    gate_taken_ = false;
  }
  gate_free_.notify_one();
}

void StandaloneGroup::AdmitGateWaiters(Reading reading) {
  std::vector<Proposal> waiters;
  {
    std::lock_guard lock(append_mutex_);
    waiters.swap(gate_waiters_);
  }
  for (Proposal& proposal : waiters) Readmit(std::move(proposal), reading);
}

int StandaloneGroup::AddObserver(CommitObserver observer) {
  std::lock_guard lock(observers_mutex_);
  observers_.emplace_back(next_observer_id_, std::make_shared<CommitObserver>(std::move(observer)));
  return next_observer_id_++;
}

void StandaloneGroup::RemoveObserver(int id) {
  std::lock_guard lock(observers_mutex_);
  std::erase_if(observers_, [id](const auto& entry) { return entry.first == id; });
}

void StandaloneGroup::Close() {
  std::lock_guard close_lock(close_mutex_);
  {
    std::lock_guard lock(append_mutex_);
    closing_ = true;
    committer_sleeps_ = false;
  }
  work_.notify_one();
  if (committer_.joinable()) committer_.join();
}

Result<std::unique_ptr<ReplicationGroup>> OpenStandaloneGroup(storage::Store& store,
                                                              catalog::Catalog& catalog,
                                                              const StandaloneOptions& options) {
  KALAM_ASSIGN_OR_RETURN(GroupRecord recovered, ReadGroupRecord(store));
  return std::unique_ptr<ReplicationGroup>(
      std::make_unique<StandaloneGroup>(store, catalog, options, recovered));
}

}  // namespace kalam::replication
