// Moving along the keys of a segment, group by group.
#include "segments/segment_cursor.h"

#include <utility>

namespace kalam::segments {

SegmentCursor::SegmentCursor(SegmentReader& reader, SegmentFilePtr file,
                             const SegmentKeyRange& range)
    : reader_(reader),
      file_(std::move(file)),
      range_(range),
      pin_(reader.Pin(file_->record.table, file_->record.segment_id)) {
  if (reader.scan_account() != nullptr) charge_ = MemoryCharge(*reader.scan_account(), 0);
}

Status SegmentCursor::Load(size_t group) {
  // Short scans of the same place find its group again; long ones do not wash the cache out.
  columns_ = {};
  KALAM_ASSIGN_OR_RETURN(columns_, reader_.Read(file_, group, ColumnChoice::kAll, first_group_));
  first_group_ = false;
  if (reader_.scan_account() != nullptr) {
    charge_.Resize(static_cast<int64_t>(columns_.memory_bytes()));
  }
  return Status::Ok();
}

/// Reads the key of the current row and tells whether it is within the range.
bool SegmentCursor::Arrived() {
  columns_.Key(row_, &key_);
  return range_.descending ? key_ >= range_.lower : range_.upper.empty() || key_ < range_.upper;
}

Result<bool> SegmentCursor::Start() {
  started_ = true;
  if (!range_.descending) {
    KALAM_RETURN_IF_ERROR(Load(file_->GroupOf(range_.lower)));
    row_ = columns_.LowerBound(range_.lower);
    if (row_ < columns_.row_count()) return Arrived();
    --row_;  // Advance goes to the next group
    return Advance();
  }
  if (range_.upper.empty()) {
    KALAM_RETURN_IF_ERROR(Load(file_->groups.size() - 1));
    row_ = columns_.row_count();
  } else {
    KALAM_RETURN_IF_ERROR(Load(file_->GroupOf(range_.upper)));
    row_ = columns_.LowerBound(range_.upper);
  }
  return Advance();
}

Result<bool> SegmentCursor::Advance() {
  if (range_.descending) {
    if (row_ == 0) {
      if (columns_.group == 0) return false;
      KALAM_RETURN_IF_ERROR(Load(columns_.group - 1));
      row_ = columns_.row_count();
    }
    --row_;
    return Arrived();
  }
  if (++row_ == columns_.row_count()) {
    if (columns_.group + 1 == file_->groups.size()) return false;
    // Nothing is read for a group that begins behind the range.
    const std::string& first_key = file_->groups[columns_.group + 1].first_key;
    if (!range_.upper.empty() && first_key >= range_.upper) return false;
    KALAM_RETURN_IF_ERROR(Load(columns_.group + 1));
    row_ = 0;
  }
  return Arrived();
}

Result<bool> SegmentCursor::Next() { return started_ ? Advance() : Start(); }

}  // namespace kalam::segments
