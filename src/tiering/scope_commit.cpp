// The rows that changed since the flush's view are those with an order entry behind it: every hot
// version has one. Most are looked for beforehand, the last ones in the gate, where nobody writes.
#include "tiering/forget_scope.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "replication/records.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

// Rows in the segments' ranges that changed since the view; each is another range to delete.
constexpr size_t kChangedRowsMax = 1024;
// Somebody who was let in before the gate was closed may be appended behind it.
constexpr int kAttempts = 3;

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
  /// Nothing lies between a key and itself followed by a zero byte.
  static std::string Behind(const std::string& key) { return key + '\0'; }

  storage::Store& store_;
  const TableId table_;
  const storage::Scope scope_;
  Seq since_;
  std::set<std::string, std::less<>> keys_;
};

}  // namespace

Result<bool> ForgetScope(const EvictionServices& services,
                         const std::vector<segments::SegmentRecord>& segments, Seq up_to,
                         const std::function<void()>& before_commit) {
  const TableId table = segments.front().table;
  const storage::Scope& scope = segments.front().place.scope;
  const std::string prefix = storage::TablePrefix(table);
  const std::string first = prefix + segments.front().min_key;
  const std::string last = prefix + segments.back().max_key;
  ChangedRows changed(services.store, table, scope, up_to);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    KALAM_RETURN_IF_ERROR(changed.ReadUpTo(services.group.TakeView(), first, last));
    if (changed.too_many()) return false;
    const auto gate = services.group.EnterGate();
    KALAM_RETURN_IF_ERROR(changed.ReadUpTo(services.group.TakeView(), first, last));
    if (changed.too_many()) return false;
    if (services.catalog.CurrentSchemaVersion(table) == 0)
      return Status(ErrorKind::NotFound, "the table was dropped");
    auto command = std::make_shared<replication::Command>();
    for (const segments::SegmentRecord& segment : segments) {
      changed.AddRangesBetween(prefix + segment.min_key, prefix + segment.max_key,
                               &command->forgotten_ranges);
      command->records.push_back(segments::ClearEvicting(segment));
    }
    command->forgotten_ranges.push_back({storage::Family::kOrder,
                                         storage::ScopePrefix(table, scope),
                                         storage::SeqKey(table, scope, {up_to.value + 1})});
    if (before_commit) before_commit();
    const Status status = replication::ProposeAndWait(services.group, std::move(command)).status;
    if (status.ok()) return true;
    if (!status.Is(ErrorKind::Conflict)) return status;
  }
  return false;
}

}  // namespace kalam::tiering
