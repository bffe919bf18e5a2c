// The rows that changed since the flush's view are those with an order entry behind it: every hot
// version has one. Most are looked for beforehand, the last ones in the gate, where nobody writes.
#include "tiering/scope_commit.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "replication/records.h"
#include "tiering/table_commit.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

// Somebody who was let in before the gate was closed may be appended behind it.
constexpr int kAttempts = 3;

/// Nothing lies between a key and itself followed by a zero byte.
std::string Behind(const std::string& key) { return key + '\0'; }

/// Collects keys of rows that have changed since a `_seq`.
class ChangedRows {
 public:
  ChangedRows(storage::Store& store, TableId table, const storage::Scope& scope, Seq since)
      : store_(store), table_(table), scope_(scope), since_(since) {}

  /// Adds those of keys from `first` to `last` that changed up to `view`; at most so many that
  /// there are too many.
  Status ReadUpTo(const replication::View& view, std::string_view first, std::string_view last) {
    const std::string prefix = storage::ScopePrefix(table_, scope_);
    auto iterator = store_.NewIterator(
        storage::Family::kOrder,
        {storage::SeqKey(table_, scope_, {since_.value + 1}), PrefixEnd(prefix)}, view.snapshot);
    for (iterator->SeekToFirst(); iterator->Valid() && !too_many(); iterator->Next()) {
      KALAM_ASSIGN_OR_RETURN(const replication::OrderRecord record,
                             replication::DecodeOrderRecord(iterator->value()));
      std::string key = prefix + std::string(record.encoded_pk);
      if (key >= first && key <= last) keys_.insert(std::move(key));
    }
    KALAM_RETURN_IF_ERROR(iterator->status());
    since_ = view.seq;
    return Status::Ok();
  }

  bool too_many() const { return keys_.size() > kChangedRowsMax; }

  /// What lies between them, from `first` to `last`, both inside.
  void AddRangesBetween(std::string first, const std::string& last,
                        std::vector<replication::ForgottenRange>* ranges) const {
    for (auto key = keys_.lower_bound(first); key != keys_.end() && *key <= last; ++key) {
      if (*key > first) ranges->push_back({storage::Family::kRows, std::move(first), *key});
      first = Behind(*key);
    }
    if (first <= last) ranges->push_back({storage::Family::kRows, std::move(first), Behind(last)});
  }

 private:
  storage::Store& store_;
  const TableId table_;
  const storage::Scope scope_;
  Seq since_;
  std::set<std::string, std::less<>> keys_;
};

class ScopeCommitter {
 public:
  ScopeCommitter(const EvictionServices& services, const segments::SegmentChange& change, Seq up_to)
      : services_(services),
        change_(change),
        segments_(change.added()),
        up_to_(up_to),
        table_(segments_.front().table),
        scope_(segments_.front().place.scope),
        table_prefix_(storage::TablePrefix(table_)),
        changed_(services.store, table_, scope_, up_to) {}

  Result<ScopeCommit> Run(const std::function<void()>& before_commit) {
    const bool by_ranges = RowCount() >= kForgottenByRangesMin;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      if (by_ranges) {
        KALAM_RETURN_IF_ERROR(LookForChanges());
        if (changed_.too_many()) break;
      }
      // Rows that are named are checked one by one; the gate is for when others are always faster.
      std::unique_ptr<replication::ReplicationGroup::Gate> gate;
      if (by_ranges || attempt == kAttempts) gate = services_.group.EnterGate();
      if (by_ranges) {
        KALAM_RETURN_IF_ERROR(LookForChanges());
        if (changed_.too_many()) break;
      }
      KALAM_ASSIGN_OR_RETURN(auto command, by_ranges ? WithRanges() : WithRows());
      if (before_commit) before_commit();
      const Status status =
          CommitForTable(services_.catalog, services_.group, table_, std::move(command));
      if (status.ok()) return by_ranges ? ScopeCommit::kByRanges : ScopeCommit::kByRows;
      if (!status.Is(ErrorKind::Conflict) && !status.Is(ErrorKind::StaleSchema)) return status;
    }
    return ScopeCommit::kTooManyChanges;
  }

 private:
  using CommandPtr = std::shared_ptr<replication::Command>;

  int64_t RowCount() const {
    int64_t count = 0;
    for (const segments::SegmentRecord& segment : segments_) count += segment.row_count;
    return count;
  }
  std::string FirstKey(const segments::SegmentRecord& segment) const {
    return table_prefix_ + segment.min_key;
  }
  std::string LastKey(const segments::SegmentRecord& segment) const {
    return table_prefix_ + segment.max_key;
  }
  Status LookForChanges() {
    return changed_.ReadUpTo(services_.group.TakeView(), FirstKey(segments_.front()),
                             LastKey(segments_.back()));
  }

  /// Errors: NotFound.
  Result<uint32_t> SchemaVersion() const {
    const uint32_t version = services_.catalog.CurrentSchemaVersion(table_);
    if (version == 0) return Status(ErrorKind::NotFound, "the table was dropped");
    return version;
  }

  Result<CommandPtr> WithRanges() const {
    KALAM_RETURN_IF_ERROR(SchemaVersion().status());
    auto command = std::make_shared<replication::Command>();
    command->records = change_.Writes();
    for (const segments::SegmentRecord& segment : segments_) {
      changed_.AddRangesBetween(FirstKey(segment), LastKey(segment), &command->forgotten_ranges);
    }
    command->forgotten_ranges.push_back({storage::Family::kOrder,
                                         storage::ScopePrefix(table_, scope_),
                                         storage::SeqKey(table_, scope_, {up_to_.value + 1})});
    return command;
  }

  Result<CommandPtr> WithRows() const {
    const replication::View view = services_.group.TakeView();
    KALAM_ASSIGN_OR_RETURN(const uint32_t schema_version, SchemaVersion());
    auto command = std::make_shared<replication::Command>();
    command->view_seq = view.seq;
    command->records = change_.Writes();
    for (const segments::SegmentRecord& segment : segments_) {
      auto iterator = services_.store.NewIterator(
          storage::Family::kRows, {FirstKey(segment), Behind(LastKey(segment))}, view.snapshot);
      for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
        KALAM_ASSIGN_OR_RETURN(const replication::RowRecord record,
                               replication::DecodeRowRecord(iterator->value()));
        if (record.seq > up_to_) continue;
        command->rows.push_back(ForgetVersion(iterator->key(), record, schema_version));
      }
      KALAM_RETURN_IF_ERROR(iterator->status());
    }
    return command;
  }

  replication::RowMutation ForgetVersion(std::string_view key, const replication::RowRecord& record,
                                         uint32_t schema_version) const {
    replication::RowMutation row;
    row.table = table_;
    row.scope = scope_;
    row.encoded_pk = key.substr(storage::ScopePrefix(table_, scope_).size());
    row.op = replication::ChangeOp::kDelete;
    row.schema_version = schema_version;
    row.read_seq = record.seq;
    row.read_was_tombstone = record.tombstone;
    row.forgets_version = true;
    return row;
  }

  const EvictionServices& services_;
  const segments::SegmentChange& change_;
  const std::vector<segments::SegmentRecord>& segments_;  // in the order of their keys
  const Seq up_to_;
  const TableId table_;
  const storage::Scope scope_;
  const std::string table_prefix_;
  ChangedRows changed_;
};

}  // namespace

Result<ScopeCommit> CommitScope(const EvictionServices& services,
                                const segments::SegmentChange& change, Seq up_to,
                                const std::function<void()>& before_commit) {
  return ScopeCommitter(services, change, up_to).Run(before_commit);
}

}  // namespace kalam::tiering
