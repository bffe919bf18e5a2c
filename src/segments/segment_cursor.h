// A position in one segment that moves along its keys.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "segments/segment_file.h"

namespace kalam::segments {

/// Bounds by segment key: `lower` inside, `upper` not inside; empty means none.
struct SegmentKeyRange {
  std::string lower, upper;
  bool descending = false;
};

/// Walks the rows of one segment within a range. Holds the columns of one row group, and the file
/// from being deleted. Not thread-safe.
class SegmentCursor {
 public:
  SegmentCursor(SegmentReader& reader, SegmentFilePtr file, const SegmentKeyRange& range);

  /// Moves to the next row in the range's direction (the first time: to the first one); false at
  /// the end. Errors: Corruption, StorageIo.
  Result<bool> Next();

  // The current row; valid until Next.
  const std::string& key() const { return key_; }
  Seq seq() const { return columns_.seq(row_); }
  bool deleted() const { return columns_.deleted(row_); }
  uint32_t schema_version() const { return file_->record.schema_version; }
  void EncodeRowTo(std::vector<Datum>* scratch, std::string* out) const {
    columns_.EncodeRowAt(row_, scratch, out);
  }

 private:
  Result<bool> Start();
  Result<bool> Advance();
  Status Load(size_t group);
  bool Arrived();

  SegmentReader& reader_;
  const SegmentFilePtr file_;
  const SegmentKeyRange range_;
  const std::shared_ptr<const void> pin_;
  MemoryCharge charge_;
  GroupColumns columns_;
  bool started_ = false;
  bool first_group_ = true;
  size_t row_ = 0;
  std::string key_;
};

}  // namespace kalam::segments
