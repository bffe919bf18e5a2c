// Which parts of a segment's file have been compared with their checksums, for readers that fetch
// its bytes themselves.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "segments/parquet_footer.h"
#include "segments/segment_record.h"

namespace kalam::segments {

/// The footer, the column chunks and the filters of one file. Each is compared once, when it is
/// first asked for. Thread-safety: all methods may be called from any thread.
class CheckedRanges {
 public:
  /// Of so many ranges; Open fills it.
  CheckedRanges(const SegmentRecord& record, size_t count)
      : file_bytes_(record.size_bytes), file_checksum_(record.checksum), ranges_(count) {}

  /// Exactly `size` bytes of the file. Errors: Corruption (it is shorter), StorageIo.
  using ReadBytes = std::function<Result<std::string>(int64_t offset, int64_t size)>;

  /// Reads the footer. Errors: Corruption (it does not match the record), those of `read`.
  static Result<std::shared_ptr<CheckedRanges>> Open(const SegmentRecord& record,
                                                     const std::vector<RowGroup>& groups,
                                                     const ReadBytes& read);

  /// Compares what of the range lies in chunks or filters that were not compared before, whole ones
  /// at a time. Errors: Corruption, naming the row group; those of `read`.
  Status Check(int64_t offset, int64_t size, const ReadBytes& read) const;
  size_t memory_bytes() const { return sizeof *this + ranges_.size() * sizeof(Range); }

 private:
  struct Range {
    int64_t begin = 0, end = 0;
    std::optional<uint64_t> checksum;  // none: that of the whole file speaks for it
    std::optional<uint32_t> group;     // none: the filters
    mutable std::atomic<bool> is_checked{false};
  };
  Status Compare(const Range& range, const ReadBytes& read) const;
  Status CompareFile(const ReadBytes& read) const;

  const int64_t file_bytes_;
  const std::string file_checksum_;
  std::vector<Range> ranges_;  // by begin; they do not overlap
};

}  // namespace kalam::segments
