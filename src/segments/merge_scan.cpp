// The merge: a heap of segments by their next key, the newest version of each key given out.
#include "segments/merge_scan.h"

#include <algorithm>
#include <utility>

namespace kalam::segments {
namespace {

/// One segment of the merge. Before it is opened its key is a bound: no row of it comes before.
struct Source {
  SegmentRecord record;
  std::unique_ptr<SegmentCursor> cursor;
  std::string bound;

  const std::string& key() const { return cursor == nullptr ? bound : cursor->key(); }
};

/// Orders a heap whose front comes first; segments that are not open yet go before rows of the same
/// key, because they may hold it too.
struct ComesAfter {
  bool descending;
  bool operator()(const std::unique_ptr<Source>& a, const std::unique_ptr<Source>& b) const {
    const int order = a->key().compare(b->key());
    if (order != 0) return descending ? order < 0 : order > 0;
    return a->cursor != nullptr && b->cursor == nullptr;
  }
};

class MergeScan : public SegmentMerge {
 public:
  MergeScan(SegmentReader& reader, catalog::TablePtr table, std::vector<SegmentRecord> records,
            SegmentKeyRange range, storage::SnapshotPtr snapshot)
      : reader_(reader),
        table_(std::move(table)),
        range_(std::move(range)),
        snapshot_(std::move(snapshot)) {
    for (SegmentRecord& record : records) {
      const bool outside = (!range_.upper.empty() && record.min_key >= range_.upper) ||
                           record.max_key < range_.lower;
      if (outside) continue;
      auto source = std::make_unique<Source>();
      if (!range_.descending) {
        source->bound = std::max(record.min_key, range_.lower);
      } else {
        source->bound =
            range_.upper.empty() ? record.max_key : std::min(record.max_key, range_.upper);
      }
      source->record = std::move(record);
      heap_.push_back(std::move(source));
    }
    std::make_heap(heap_.begin(), heap_.end(), ComesAfter{range_.descending});
  }

  Result<bool> Next() override;
  std::string_view encoded_pk() const override { return encoded_pk_; }
  const storage::Scope& scope() const override { return scope_; }
  Seq seq() const override { return current_->cursor->seq(); }
  bool deleted() const override { return current_->cursor->deleted(); }
  uint32_t schema_version() const override { return current_->cursor->schema_version(); }
  std::string_view row() const override {
    if (row_.empty()) current_->cursor->EncodeRowTo(&scratch_, &row_);
    return row_;
  }

 private:
  using SourcePtr = std::unique_ptr<Source>;

  void Push(SourcePtr source) {
    heap_.push_back(std::move(source));
    std::push_heap(heap_.begin(), heap_.end(), ComesAfter{range_.descending});
  }
  SourcePtr Pop() {
    std::pop_heap(heap_.begin(), heap_.end(), ComesAfter{range_.descending});
    SourcePtr source = std::move(heap_.back());
    heap_.pop_back();
    return source;
  }
  /// Moves a source on and puts it back, unless it is at its end.
  Status Advance(SourcePtr source) {
    KALAM_ASSIGN_OR_RETURN(bool more, source->cursor->Next());
    if (more) Push(std::move(source));
    return Status::Ok();
  }
  Status OpenSource(SourcePtr source) {
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, reader_.Open(table_, source->record, snapshot_));
    source->cursor = std::make_unique<SegmentCursor>(reader_, std::move(file), range_);
    return Advance(std::move(source));
  }

  SegmentReader& reader_;
  const catalog::TablePtr table_;
  const SegmentKeyRange range_;
  const storage::SnapshotPtr snapshot_;
  std::vector<SourcePtr> heap_;
  SourcePtr current_;  // not in the heap; advanced by the Next after it
  storage::Scope scope_;
  std::string scope_prefix_;  // of scope_
  std::string encoded_pk_;
  mutable std::vector<Datum> scratch_;
  mutable std::string row_;
};

Result<bool> MergeScan::Next() {
  row_.clear();
  if (current_ != nullptr) KALAM_RETURN_IF_ERROR(Advance(std::move(current_)));
  while (!heap_.empty() && heap_.front()->cursor == nullptr) {
    KALAM_RETURN_IF_ERROR(OpenSource(Pop()));
  }
  if (heap_.empty()) return false;
  current_ = Pop();
  while (!heap_.empty() && heap_.front()->key() == current_->key()) {
    SourcePtr other = Pop();
    // No bound can be equal here: it would have been in front and opened.
    if (other->cursor->seq() > current_->cursor->seq()) std::swap(other, current_);
    KALAM_RETURN_IF_ERROR(Advance(std::move(other)));
  }
  const std::string& key = current_->key();
  if (scope_prefix_.empty() || !key.starts_with(scope_prefix_)) {
    std::string_view rest;
    if (!ParseSegmentKey(key, &scope_, &rest)) {
      return Status(ErrorKind::Corruption, "a segment key cannot be decoded");
    }
    scope_prefix_ = key.substr(0, key.size() - rest.size());
  }
  encoded_pk_.assign(key, scope_prefix_.size());
  return true;
}

}  // namespace

std::unique_ptr<SegmentMerge> MakeMergeScan(SegmentReader& reader, catalog::TablePtr table,
                                            std::vector<SegmentRecord> records,
                                            SegmentKeyRange range, storage::SnapshotPtr snapshot) {
  return std::make_unique<MergeScan>(reader, std::move(table), std::move(records), std::move(range),
                                     std::move(snapshot));
}

}  // namespace kalam::segments
