// Hot rows in the order of segment keys.
#include "tiering/row_feed.h"

#include <utility>
#include <vector>

#include "base/optional_charge.h"
#include "replication/records.h"
#include "segments/segment_record.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using storage::Family;

Status Unreadable() { return Status(ErrorKind::Corruption, "a key of a row cannot be read"); }

/// Hot records of one key range whose `_seq` the view covers.
class HotCursor {
 public:
  HotCursor(storage::Store& store, const replication::View& view, const std::string& prefix)
      : store_(store), prefix_(prefix), up_to_(view.seq) {
    Open(view.snapshot);
  }

  /// Finds the next record; false at the end.
  Result<bool> Next() {
    if (!std::exchange(started_, true)) {
      iterator_->SeekToFirst();
    } else if (iterator_->Valid()) {
      iterator_->Next();
    }
    return Settle();
  }
  /// The first record at or behind `key`.
  Result<bool> Seek(std::string_view key) {
    started_ = true;
    iterator_->Seek(key);
    return Settle();
  }
  /// On the current record in a newer snapshot, or on the next one where that is gone.
  Result<bool> Renew(const storage::SnapshotPtr& snapshot) {
    if (started_ && !iterator_->Valid()) return false;
    const std::string key(started_ ? iterator_->key() : std::string_view());
    Open(snapshot);
    if (!started_) return true;
    return Seek(key);
  }
  std::string_view key() const { return iterator_->key(); }
  const replication::RowRecord& record() const { return record_; }
  /// Bytes of the current record, as stored.
  std::string_view value() const { return iterator_->value(); }

 private:
  Result<bool> Settle() {
    for (; iterator_->Valid(); iterator_->Next()) {
      KALAM_ASSIGN_OR_RETURN(record_, replication::DecodeRowRecord(iterator_->value()));
      if (record_.seq <= up_to_) return true;
    }
    KALAM_RETURN_IF_ERROR(iterator_->status());
    return false;
  }

  void Open(const storage::SnapshotPtr& snapshot) {
    iterator_ = store_.NewIterator(Family::kRows, {prefix_, PrefixEnd(prefix_)}, snapshot);
  }

  storage::Store& store_;
  const std::string prefix_;
  const Seq up_to_;
  std::unique_ptr<storage::Iterator> iterator_;
  replication::RowRecord record_;
  bool started_ = false;
};

class HotScopeFeed final : public RowFeed {
 public:
  HotScopeFeed(storage::Store& store, const replication::View& view, TableId table,
               const storage::Scope& scope)
      : scope_(scope), prefix_(storage::ScopePrefix(table, scope)), cursor_(store, view, prefix_) {}

  Result<bool> Next() override { return cursor_.Next(); }
  Result<bool> Renew(const storage::SnapshotPtr& snapshot) override {
    return cursor_.Renew(snapshot);
  }
  const storage::Scope& scope() const override { return scope_; }
  std::string_view encoded_pk() const override { return cursor_.key().substr(prefix_.size()); }
  Seq seq() const override { return cursor_.record().seq; }
  bool deleted() const override { return cursor_.record().tombstone; }
  uint32_t schema_version() const override { return cursor_.record().schema_version; }
  std::string_view row() const override { return cursor_.record().row; }

 private:
  const storage::Scope scope_;
  const std::string prefix_;
  HotCursor cursor_;
};

/// Reads a scope ahead, to know whether it is small before the first of its rows is given out.
class SmallScopesFeed final : public RowFeed {
 public:
  SmallScopesFeed(storage::Store& store, const replication::View& view, TableId table,
                  const LargeScope& bounds, ScopeSet* large_scopes, const ScopeSet* only,
                  MemoryAccount* memory)
      : table_prefix_(storage::TablePrefix(table)),
        bounds_(bounds),
        large_scopes_(*large_scopes),
        only_(only),
        cursor_(store, view, table_prefix_),
        charge_(ChargeIfAny(memory)) {}

  Result<bool> Next() override {
    if (!std::exchange(started_, true)) {
      KALAM_ASSIGN_OR_RETURN(more_, cursor_.Next());
    }
    if (!rows_.empty() && at_ + 1 < rows_.size()) {
      ++at_;
      return Decode();
    }
    rows_.clear();
    while (more_ && rows_.empty()) {
      KALAM_RETURN_IF_ERROR(PassOthers());
      if (more_) KALAM_RETURN_IF_ERROR(ReadScopeAhead());
    }
    charge_.Resize(static_cast<int64_t>(bytes_.capacity() + rows_.capacity() * sizeof(Row)));
    at_ = 0;
    if (rows_.empty()) return false;
    return Decode();
  }
  Result<bool> Renew(const storage::SnapshotPtr& snapshot) override {
    // The scope that is being given out stays as it was read: what has changed since hides it.
    if (started_ && more_) {
      KALAM_ASSIGN_OR_RETURN(more_, cursor_.Renew(snapshot));
    }
    return true;
  }
  const storage::Scope& scope() const override { return scope_; }
  std::string_view encoded_pk() const override {
    return std::string_view(bytes_).substr(rows_[at_].begin, rows_[at_].pk_size);
  }
  Seq seq() const override { return record_.seq; }
  bool deleted() const override { return record_.tombstone; }
  uint32_t schema_version() const override { return record_.schema_version; }
  std::string_view row() const override { return record_.row; }

 private:
  struct Row {
    size_t begin;  // in bytes_: the key, then the record
    size_t pk_size;
    size_t value_size;
  };

  /// Moves to the first row of a scope that is to be fed.
  Status PassOthers() {
    while (only_ != nullptr && more_) {
      const std::string_view key = cursor_.key().substr(table_prefix_.size());
      if (HasScopeOf(*only_, key)) break;
      const auto next = only_->upper_bound(key);
      if (next == only_->end()) {
        more_ = false;
      } else {
        KALAM_ASSIGN_OR_RETURN(more_, cursor_.Seek(table_prefix_ + *next));
      }
    }
    return Status::Ok();
  }

  /// Fills `rows_` with the scope under the cursor and moves behind it; leaves it empty when the
  /// scope is large.
  Status ReadScopeAhead() {
    storage::ParsedKey parsed;
    if (!storage::ParseKey(cursor_.key(), &parsed)) return Unreadable();
    const std::string prefix(cursor_.key().substr(0, cursor_.key().size() - parsed.rest.size()));
    scope_ =
        parsed.user_id.empty() ? storage::Scope::Shared() : storage::Scope::OfUser(parsed.user_id);
    bytes_.clear();
    while (more_ && cursor_.key().starts_with(prefix)) {
      const std::string_view pk = cursor_.key().substr(prefix.size());
      rows_.push_back({bytes_.size(), pk.size(), cursor_.value().size()});
      bytes_.append(pk).append(cursor_.value());
      if (rows_.size() >= bounds_.row_count || bytes_.size() >= bounds_.bytes) {
        large_scopes_.insert(prefix.substr(table_prefix_.size()));
        rows_.clear();
        KALAM_ASSIGN_OR_RETURN(more_, cursor_.Seek(PrefixEnd(prefix)));
        return Status::Ok();
      }
      KALAM_ASSIGN_OR_RETURN(more_, cursor_.Next());
    }
    return Status::Ok();
  }

  Result<bool> Decode() {
    const Row& row = rows_[at_];
    KALAM_ASSIGN_OR_RETURN(record_, replication::DecodeRowRecord(std::string_view(bytes_).substr(
                                        row.begin + row.pk_size, row.value_size)));
    return true;
  }

  const std::string table_prefix_;
  const LargeScope bounds_;
  ScopeSet& large_scopes_;
  const ScopeSet* const only_;  // null: all
  HotCursor cursor_;
  bool started_ = false;
  bool more_ = false;  // the cursor is on a record
  storage::Scope scope_;
  std::string bytes_;
  std::vector<Row> rows_;
  size_t at_ = 0;
  replication::RowRecord record_;
  MemoryCharge charge_;  // of bytes_ and rows_
};

}  // namespace

std::unique_ptr<RowFeed> FeedHotScope(storage::Store& store, const replication::View& view,
                                      TableId table, const storage::Scope& scope) {
  return std::make_unique<HotScopeFeed>(store, view, table, scope);
}

std::unique_ptr<RowFeed> FeedSmallHotScopes(storage::Store& store, const replication::View& view,
                                            TableId table, const LargeScope& bounds,
                                            ScopeSet* large_scopes, const ScopeSet* only,
                                            MemoryAccount* memory) {
  return std::make_unique<SmallScopesFeed>(store, view, table, bounds, large_scopes, only, memory);
}

Result<ScopeSet> ListHotScopes(storage::Store& store, const storage::SnapshotPtr& snapshot,
                               TableId table, size_t count_max) {
  ScopeSet scopes;
  const std::string prefix = storage::TablePrefix(table);
  auto iterator = store.NewIterator(Family::kRows, {prefix, PrefixEnd(prefix)}, snapshot);
  iterator->SeekToFirst();
  while (iterator->Valid() && scopes.size() < count_max) {
    storage::ParsedKey parsed;
    if (!storage::ParseKey(iterator->key(), &parsed)) return Unreadable();
    const std::string scope(iterator->key().substr(0, iterator->key().size() - parsed.rest.size()));
    scopes.insert(scope.substr(prefix.size()));
    iterator->Seek(PrefixEnd(scope));
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return scopes;
}

bool HasScopeOf(const ScopeSet& scopes, std::string_view segment_key) {
  // The one member that could begin the key stands right before it: no scope begins another.
  const auto next = scopes.upper_bound(segment_key);
  return next != scopes.begin() && segment_key.starts_with(*std::prev(next));
}

int64_t MemoryOf(const ScopeSet& scopes) {
  // A node of the set beside the text, which is longer than a string holds in itself.
  constexpr size_t kNodeBytes = 4 * sizeof(void*) + sizeof(std::string) + 2 * sizeof(size_t);
  size_t bytes = 0;
  for (const std::string& scope : scopes) bytes += kNodeBytes + scope.size();
  return static_cast<int64_t>(bytes);
}

bool ParseScope(std::string_view prefix, storage::Scope* scope) {
  std::string_view rest;
  return segments::ParseSegmentKey(prefix, scope, &rest) && rest.empty();
}

}  // namespace kalam::tiering
