// The scan by `_seq`: a window of positions, sorted, then batches of rows of it.
//
// Rows of one `_seq` range lie anywhere in a segment. Holding them all would need memory without
// bound, so two steps alternate: from the `_seq` columns alone the next positions are gathered (the
// smallest that were not given out yet, a bounded number of 16 bytes each), and the rows of the
// first of them are read group by group and encoded, up to a bounded number of bytes.
#include "segments/seq_scan.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "types/key_codec.h"

namespace kalam::segments {
namespace {

constexpr size_t kWindowFirst = 1024;
constexpr size_t kWindowMax = 65536;
constexpr size_t kBatchFirst = 64;
constexpr size_t kBatchMax = 16384;
constexpr size_t kBatchBytes = 4 << 20;

/// A row group that may have rows of the range.
struct GroupRef {
  SegmentFilePtr file;
  std::shared_ptr<const void> pin;
  size_t group;
  bool whole_in_scope;
};

struct Position {
  int64_t seq;
  uint32_t group_ref;
  uint32_t row;
};

struct BatchRow {
  Seq seq;
  bool deleted = false;
  bool newest = false;
  uint32_t schema_version = 0;
  std::string encoded_pk;
  std::string row;
};

class SeqScan : public ColdScan {
 public:
  SeqScan(SegmentReader& reader, catalog::TablePtr table, const storage::Scope& scope,
          ScopeSegments segments, const ColdSeqRange& range, storage::SnapshotPtr snapshot)
      : reader_(reader),
        table_(std::move(table)),
        segments_(std::move(segments)),
        prefix_(SegmentKeyPrefix(scope)),
        prefix_end_(PrefixEnd(prefix_)),
        descending_(range.descending),
        after_(range.after.value),
        up_to_(range.up_to.value == 0 ? std::numeric_limits<int64_t>::max() : range.up_to.value),
        snapshot_(std::move(snapshot)) {
    if (reader.scan_account() != nullptr) charge_ = MemoryCharge(*reader.scan_account(), 0);
  }

  Result<bool> Next() override;
  std::string_view encoded_pk() const override { return row_at().encoded_pk; }
  Seq seq() const override { return row_at().seq; }
  bool deleted() const override { return row_at().deleted; }
  uint32_t schema_version() const override { return row_at().schema_version; }
  std::string_view row() const override { return row_at().row; }

 private:
  const BatchRow& row_at() const { return batch_[batch_at_]; }
  Status Open();
  void AddGroups(const SegmentFilePtr& file);
  Status FillWindow();
  Status GatherGroup(uint32_t group_ref, size_t window_max);
  Status FillBatch();
  Status ReadBatchRows(size_t begin, std::vector<uint32_t> order);
  bool Before(const Position& a, const Position& b) const {
    return descending_ ? a.seq > b.seq : a.seq < b.seq;
  }
  /// No row of the group comes before this, in the direction of the scan.
  int64_t BestSeq(const GroupRef& ref) const {
    const RowGroup& group = ref.file->groups[ref.group];
    return descending_ ? group.max_seq.value : group.min_seq.value;
  }

  SegmentReader& reader_;
  const catalog::TablePtr table_;
  const ScopeSegments segments_;
  const std::string prefix_, prefix_end_;
  const bool descending_;
  int64_t after_, up_to_;  // what is left of the range
  const storage::SnapshotPtr snapshot_;
  MemoryCharge charge_;

  bool open_ = false;
  bool window_is_last_ = false;
  std::vector<GroupRef> groups_;
  size_t window_max_ = kWindowFirst;
  std::vector<Position> window_;  // a heap while it is gathered, then sorted
  size_t window_at_ = 0;
  size_t batch_rows_ = kBatchFirst;
  std::vector<BatchRow> batch_;
  size_t batch_at_ = 0;
};

Status SeqScan::Open() {
  open_ = true;
  std::vector<SegmentRecord> records;
  segments_.ForEachIn(prefix_, prefix_end_, [&](const SegmentRecord& record) {
    if (record.max_seq.value > after_ && record.min_seq.value <= up_to_) records.push_back(record);
  });
  for (const SegmentRecord& record : records) {
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, reader_.Open(table_, record, snapshot_));
    AddGroups(file);
  }
  std::sort(groups_.begin(), groups_.end(), [this](const GroupRef& a, const GroupRef& b) {
    return descending_ ? BestSeq(a) > BestSeq(b) : BestSeq(a) < BestSeq(b);
  });
  return Status::Ok();
}

void SeqScan::AddGroups(const SegmentFilePtr& file) {
  const std::shared_ptr<const void> pin = reader_.Pin(file->record.table, file->record.segment_id);
  for (size_t i = 0; i < file->groups.size(); ++i) {
    const RowGroup& group = file->groups[i];
    const bool is_last = i + 1 == file->groups.size();
    const std::string& next_key = is_last ? file->record.max_key : file->groups[i + 1].first_key;
    const bool in_range = group.max_seq.value > after_ && group.min_seq.value <= up_to_ &&
                          next_key >= prefix_ &&
                          (prefix_end_.empty() || group.first_key < prefix_end_);
    if (!in_range) continue;
    const bool whole = group.first_key >= prefix_ && next_key.starts_with(prefix_);
    groups_.push_back({file, pin, i, whole});
  }
}

Status SeqScan::GatherGroup(uint32_t group_ref, size_t window_max) {
  const GroupRef& ref = groups_[group_ref];
  const ColumnChoice choice = ref.whole_in_scope ? ColumnChoice::kSeq : ColumnChoice::kKeySeq;
  KALAM_ASSIGN_OR_RETURN(GroupColumns columns, reader_.Read(ref.file, ref.group, choice, false));
  size_t begin = 0, end = columns.row_count();
  if (!ref.whole_in_scope) {
    begin = columns.LowerBound(prefix_);
    if (!prefix_end_.empty()) end = columns.LowerBound(prefix_end_);
  }
  const auto before = [this](const Position& a, const Position& b) { return Before(a, b); };
  for (size_t row = begin; row < end; ++row) {
    const Position position{columns.seq(row).value, group_ref, static_cast<uint32_t>(row)};
    if (position.seq <= after_ || position.seq > up_to_) continue;
    if (window_.size() == window_max) {
      if (!Before(position, window_.front())) continue;
      std::pop_heap(window_.begin(), window_.end(), before);
      window_.back() = position;
    } else {
      window_.push_back(position);
    }
    std::push_heap(window_.begin(), window_.end(), before);
  }
  return Status::Ok();
}

/// Gathers the next positions: the heap's front is the one that would have to go first.
Status SeqScan::FillWindow() {
  window_.clear();
  window_at_ = 0;
  window_is_last_ = true;
  for (uint32_t i = 0; i < groups_.size(); ++i) {
    if (window_.size() == window_max_) {
      window_is_last_ = false;
      const Position best{BestSeq(groups_[i]), i, 0};
      if (!Before(best, window_.front())) break;  // and so do all groups after it
    }
    KALAM_RETURN_IF_ERROR(GatherGroup(i, window_max_));
  }
  if (window_.size() == window_max_) window_is_last_ = false;
  std::sort(window_.begin(), window_.end(),
            [this](const Position& a, const Position& b) { return Before(a, b); });
  if (!window_.empty()) {
    // What is left of the range begins behind the window.
    if (descending_) {
      up_to_ = window_.back().seq - 1;
    } else {
      after_ = window_.back().seq;
    }
  }
  window_max_ = std::min(window_max_ * 8, kWindowMax);
  return Status::Ok();
}

/// Encodes the rows of some positions, all of one row group; `order` are indexes into batch_.
Status SeqScan::ReadBatchRows(size_t begin, std::vector<uint32_t> order) {
  const GroupRef& ref = groups_[window_[begin + order.front()].group_ref];
  // A scan of few rows keeps what it read: the next one of its kind wants the same.
  const bool keep = batch_rows_ == kBatchFirst;
  KALAM_ASSIGN_OR_RETURN(GroupColumns columns,
                         reader_.Read(ref.file, ref.group, ColumnChoice::kAll, keep));
  std::vector<Datum> scratch;
  std::string key;
  for (uint32_t index : order) {
    const size_t row = window_[begin + index].row;
    BatchRow& out = batch_[index];
    columns.Key(row, &key);
    out.seq = columns.seq(row);
    KALAM_ASSIGN_OR_RETURN(const bool newer,
                           HasNewer(reader_, table_, segments_, key, out.seq, snapshot_));
    if (newer) continue;
    out.newest = true;
    out.deleted = columns.deleted(row);
    out.schema_version = ref.file->record.schema_version;
    out.encoded_pk = key.substr(prefix_.size());
    columns.EncodeRowAt(row, &scratch, &out.row);
  }
  return Status::Ok();
}

Status SeqScan::FillBatch() {
  batch_.clear();
  batch_at_ = 0;
  const size_t begin = window_at_;
  const size_t count = std::min(batch_rows_, window_.size() - begin);
  window_at_ += count;
  batch_.resize(count);
  std::vector<uint32_t> order(count);
  for (uint32_t i = 0; i < count; ++i) order[i] = i;
  // Group by group, and in each by key, so that a search for newer versions goes through the other
  // segments once.
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Position& left = window_[begin + a];
    const Position& right = window_[begin + b];
    return std::tie(left.group_ref, left.row) < std::tie(right.group_ref, right.row);
  });
  size_t bytes = 0;
  for (size_t i = 0; i < count;) {
    size_t end = i + 1;
    while (end < count &&
           window_[begin + order[end]].group_ref == window_[begin + order[i]].group_ref) {
      ++end;
    }
    KALAM_RETURN_IF_ERROR(ReadBatchRows(begin, {order.begin() + static_cast<int64_t>(i),
                                                order.begin() + static_cast<int64_t>(end)}));
    i = end;
  }
  for (const BatchRow& row : batch_) bytes += sizeof row + row.row.size() + row.encoded_pk.size();
  charge_.Resize(static_cast<int64_t>(bytes + window_.capacity() * sizeof(Position)));
  const size_t rows_that_fit = kBatchBytes / std::max<size_t>(1, bytes / count);
  batch_rows_ = std::clamp(std::min(batch_rows_ * 4, rows_that_fit), kBatchFirst, kBatchMax);
  return Status::Ok();
}

Result<bool> SeqScan::Next() {
  if (!open_) KALAM_RETURN_IF_ERROR(Open());
  if (!batch_.empty()) ++batch_at_;
  for (;;) {
    while (batch_at_ < batch_.size() && !batch_[batch_at_].newest) ++batch_at_;
    if (batch_at_ < batch_.size()) return true;
    if (window_at_ == window_.size()) {
      if (window_is_last_) return false;
      KALAM_RETURN_IF_ERROR(FillWindow());
      if (window_.empty()) return false;
    }
    KALAM_RETURN_IF_ERROR(FillBatch());
  }
}

}  // namespace

std::unique_ptr<ColdScan> MakeSeqScan(SegmentReader& reader, catalog::TablePtr table,
                                      const storage::Scope& scope, ScopeSegments segments,
                                      const ColdSeqRange& range, storage::SnapshotPtr snapshot) {
  return std::make_unique<SeqScan>(reader, std::move(table), scope, std::move(segments), range,
                                   std::move(snapshot));
}

}  // namespace kalam::segments
