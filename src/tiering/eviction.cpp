// Eviction: commands that forget what a segment holds, a few in flight.
#include "tiering/eviction.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "replication/records.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using replication::CommitResult;

// Rows of one command: few, because writers wait behind it.
constexpr size_t kBatchRows = 512;
constexpr size_t kBatchRowsMin = 16;
// Commands on their way: one is applied while the next ones are made; no more of them, because a
// writer's command joins their queue.
constexpr size_t kInFlightMax = 3;
// While others write: what an eviction adds to the log and to the memtables is what their commits
// wait for, so it takes one command at a time, rests between them, and lets commands have so many
// rows that most of their time is the sync which all share.
constexpr size_t kBatchRowsBesidesMin = 64;
constexpr int64_t kUsOfRow = 4;
// In times that the command took, at most so long.
constexpr int kRests = 3;
constexpr auto kRestMax = std::chrono::milliseconds(2);
// Looks in a row that find nobody writing before the eviction is alone again.
constexpr int kCalmLooks = 8;
// A range that always meets a writer is left hot.
constexpr int kRoundsMax = 12;

/// Whether the hot version of a key is to be forgotten. Asked with growing keys.
using Holds = std::function<Result<bool>(std::string_view segment_key, Seq seq)>;

/// Table keys: `begin` inside, `end` not inside.
struct KeyRange {
  std::string begin, end;
};

/// Tells whether others write.
class Company {
 public:
  explicit Company(const std::atomic<uint64_t>& writes) : writes_(writes), seen_(writes) {}

  /// To be asked before every command.
  bool Look() {
    const uint64_t writes = writes_.load(std::memory_order_relaxed);
    calm_looks_ = writes == seen_ ? calm_looks_ + 1 : 0;
    seen_ = writes;
    return calm_looks_ < kCalmLooks;
  }

 private:
  const std::atomic<uint64_t>& writes_;
  uint64_t seen_;
  int calm_looks_ = kCalmLooks;
};

class Eviction {
 public:
  Eviction(const EvictionServices& services, TableId table, std::function<bool()> cancelled)
      : services_(services),
        table_(table),
        cancelled_(std::move(cancelled)),
        company_(services.writes) {}

  /// One pass over `range`, in order.
  Result<EvictionOutcome> Run(KeyRange range, const Holds& holds) {
    std::deque<Flight> flights;
    bool more = true;
    while (more || !flights.empty()) {
      if (cancelled_ && cancelled_())
        return Settle(std::move(flights), Status(ErrorKind::Cancelled, "the job was stopped"));
      const bool has_company = company_.Look();
      if (more && flights.size() < (has_company ? 1 : kInFlightMax)) {
        Result<Batch> batch =
            NextBatch(range, has_company ? batch_rows_besides_ : kBatchRows, holds);
        if (!batch.ok()) return Settle(std::move(flights), batch.status());
        more = !batch->at_end;
        range.begin = batch->range.end;
        if (batch->command != nullptr) flights.push_back(Launch(*std::move(batch)));
        continue;
      }
      Flight flight = std::move(flights.front());
      flights.pop_front();
      const auto waits_since = std::chrono::steady_clock::now();
      const Status status = Land(std::move(flight));
      if (!status.ok()) return Settle(std::move(flights), status);
      if (has_company) Rest(std::chrono::steady_clock::now() - waits_since);
    }
    return outcome_;
  }

 private:
  struct Batch {
    KeyRange range;  // that was looked through
    bool at_end = false;
    std::vector<Seq> seqs;                          // of the rows in the command
    std::shared_ptr<replication::Command> command;  // null: nothing to forget
  };
  struct Flight {
    Batch batch;
    std::future<CommitResult> result;
  };

  void Rest(std::chrono::nanoseconds command_took) {
    const int64_t took_us =
        std::chrono::duration_cast<std::chrono::microseconds>(command_took).count();
    batch_rows_besides_ = std::clamp(static_cast<size_t>(std::max<int64_t>(took_us, 0) / kUsOfRow),
                                     kBatchRowsBesidesMin, kBatchRows);
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(command_took * kRests, kRestMax));
  }

  /// Reads on a fresh view, so that hardly any row is in doubt when the command is appended.
  Result<Batch> NextBatch(const KeyRange& range, size_t row_count_max, const Holds& holds) {
    const replication::View view = services_.group.TakeView();
    Batch batch;
    batch.range = range;
    batch.command = std::make_shared<replication::Command>();
    batch.command->view_seq = view.seq;
    batch.command->rows.reserve(row_count_max);
    const uint32_t schema_version = services_.catalog.CurrentSchemaVersion(table_);
    const size_t table_prefix_size = storage::TablePrefix(table_).size();
    auto iterator = services_.store.NewIterator(storage::Family::kRows, {range.begin, range.end},
                                                view.snapshot);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      if (batch.command->rows.size() == row_count_max) {
        batch.range.end = iterator->key();
        return batch;
      }
      KALAM_ASSIGN_OR_RETURN(const replication::RowRecord record,
                             replication::DecodeRowRecord(iterator->value()));
      const std::string_view key = iterator->key();
      KALAM_ASSIGN_OR_RETURN(const bool held, holds(key.substr(table_prefix_size), record.seq));
      if (!held) continue;
      KALAM_RETURN_IF_ERROR(AddRow(key, record, schema_version, batch.command.get()));
      batch.seqs.push_back(record.seq);
    }
    KALAM_RETURN_IF_ERROR(iterator->status());
    batch.at_end = true;
    if (batch.command->rows.empty()) batch.command = nullptr;
    return batch;
  }

  Status AddRow(std::string_view key, const replication::RowRecord& record, uint32_t schema_version,
                replication::Command* command) {
    // Most rows are of the scope of the row before.
    if (scope_prefix_.empty() || !key.starts_with(scope_prefix_)) {
      storage::ParsedKey parsed;
      if (!storage::ParseKey(key, &parsed))
        return Status(ErrorKind::Corruption, "a key of a row cannot be read");
      scope_prefix_ = key.substr(0, key.size() - parsed.rest.size());
      scope_ = parsed.user_id.empty() ? storage::Scope::Shared()
                                      : storage::Scope::OfUser(parsed.user_id);
    }
    replication::RowMutation row;
    row.table = table_;
    row.scope = scope_;
    row.encoded_pk = key.substr(scope_prefix_.size());
    row.op = replication::ChangeOp::kDelete;
    row.schema_version = schema_version;
    row.read_seq = record.seq;
    row.read_was_tombstone = record.tombstone;
    row.forgets_version = true;
    command->rows.push_back(std::move(row));
    return Status::Ok();
  }

  Flight Launch(Batch batch) {
    auto promise = std::make_shared<std::promise<CommitResult>>();
    Flight flight{std::move(batch), promise->get_future()};
    replication::ProposeResult proposed = services_.group.Propose(
        flight.batch.command,
        [promise](const CommitResult& result) { promise->set_value(result); });
    if (proposed.outcome == replication::ProposeOutcome::kConflict) {
      promise->set_value({Status(ErrorKind::Conflict, "The row was changed meanwhile"), {}});
    } else if (proposed.outcome == replication::ProposeOutcome::kRejected) {
      promise->set_value({std::move(proposed.status), {}});
    }
    return flight;
  }

  static bool MayPass(const Status& status) {
    return status.Is(ErrorKind::Conflict) || status.Is(ErrorKind::StaleSchema);
  }

  Status Land(Flight flight) {
    const CommitResult result = flight.result.get();
    if (result.status.ok()) {
      outcome_.row_count += static_cast<int64_t>(flight.batch.seqs.size());
      return Status::Ok();
    }
    if (!MayPass(result.status)) return result.status;
    return Repeat(flight.batch);
  }

  /// Tries again what met a writer, in smaller pieces. A version is forgotten only if it is one of
  /// those that the first attempt read.
  Status Repeat(const Batch& failed) {
    std::vector<Seq> seqs = failed.seqs;
    std::sort(seqs.begin(), seqs.end());
    const Holds held_before = [&seqs](std::string_view, Seq seq) -> Result<bool> {
      return std::binary_search(seqs.begin(), seqs.end(), seq);
    };
    KeyRange range = failed.range;
    size_t row_count_max = kBatchRows / 4;
    int rounds = 0;
    for (;;) {
      if (cancelled_ && cancelled_()) return Status(ErrorKind::Cancelled, "the job was stopped");
      KALAM_ASSIGN_OR_RETURN(Batch batch, NextBatch(range, row_count_max, held_before));
      if (batch.command != nullptr) {
        const CommitResult result = replication::ProposeAndWait(services_.group, batch.command);
        if (MayPass(result.status) && ++rounds < kRoundsMax) {
          row_count_max = std::max(row_count_max / 2, kBatchRowsMin);
          continue;
        }
        if (MayPass(result.status)) {
          outcome_.complete = false;
        } else {
          KALAM_RETURN_IF_ERROR(result.status);
          outcome_.row_count += static_cast<int64_t>(batch.seqs.size());
        }
      }
      if (batch.at_end) return Status::Ok();
      range.begin = batch.range.end;
      rounds = 0;
    }
  }

  /// Waits for what is under way, then gives `status`.
  static Status Settle(std::deque<Flight> flights, Status status) {
    for (Flight& flight : flights) flight.result.wait();
    return status;
  }

  const EvictionServices services_;
  const TableId table_;
  const std::function<bool()> cancelled_;
  Company company_;
  size_t batch_rows_besides_ = kBatchRowsBesidesMin;
  EvictionOutcome outcome_;
  std::string scope_prefix_;
  storage::Scope scope_;
};

KeyRange RangeOf(const segments::SegmentRecord& segment) {
  const std::string prefix = storage::TablePrefix(segment.table);
  // Behind the last key: nothing lies between a key and itself followed by a zero byte.
  return {prefix + segment.min_key, prefix + segment.max_key + '\0'};
}

}  // namespace

Result<EvictionOutcome> EvictWritten(const EvictionServices& services,
                                     const segments::SegmentRecord& segment, Seq up_to,
                                     const EvictedScopes& scopes,
                                     const std::function<bool()>& cancelled) {
  const auto is_evicted = [&](std::string_view key) {
    return (scopes.listed.empty() || HasScopeOf(scopes.listed, key)) &&
           !HasScopeOf(scopes.left_out, key);
  };
  Eviction eviction(services, segment.table, cancelled);
  return eviction.Run(RangeOf(segment), [&](std::string_view key, Seq seq) -> Result<bool> {
    return seq <= up_to && is_evicted(key);
  });
}

Result<EvictionOutcome> EvictHeld(const EvictionServices& services,
                                  segments::SegmentStore& segments, const catalog::TablePtr& table,
                                  const segments::SegmentRecord& segment,
                                  const std::function<bool()>& cancelled) {
  KALAM_ASSIGN_OR_RETURN(auto rows,
                         segments.OpenMerge(table, {segment}, services.store.TakeSnapshot()));
  std::string current;
  bool more = true;
  const auto advance = [&]() -> Status {
    KALAM_ASSIGN_OR_RETURN(more, rows->Next());
    if (more) current = segments::SegmentKey(rows->scope(), rows->encoded_pk());
    return Status::Ok();
  };
  KALAM_RETURN_IF_ERROR(advance());
  Eviction eviction(services, segment.table, cancelled);
  return eviction.Run(RangeOf(segment), [&](std::string_view key, Seq seq) -> Result<bool> {
    while (more && current < key) KALAM_RETURN_IF_ERROR(advance());
    return more && current == key && rows->seq() == seq;
  });
}

}  // namespace kalam::tiering
