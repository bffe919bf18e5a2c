// Chunks and filters of a file and whether each was compared with its checksum.
#include "segments/checked_ranges.h"

#include <algorithm>

#include "segments/checksum.h"

namespace kalam::segments {
namespace {

constexpr int64_t kReadBytes = 1 << 20;

}  // namespace

Result<std::shared_ptr<CheckedRanges>> CheckedRanges::Open(const SegmentRecord& record,
                                                           const std::vector<RowGroup>& groups,
                                                           const ReadBytes& read) {
  const int64_t offset = record.size_bytes - kParquetTailBytes - record.footer_bytes;
  KALAM_ASSIGN_OR_RETURN(const std::string tail,
                         read(offset, record.footer_bytes + kParquetTailBytes));
  const std::string_view footer_bytes =
      std::string_view(tail).substr(0, static_cast<size_t>(record.footer_bytes));
  KALAM_ASSIGN_OR_RETURN(
      const int64_t footer_size,
      ParquetFooterSize(std::string_view(tail).substr(footer_bytes.size()), record.size_bytes));
  if (ChecksumOf(footer_bytes) != record.footer_checksum || footer_size != record.footer_bytes)
    return Status(ErrorKind::Corruption, "its footer does not match its checksum");
  KALAM_ASSIGN_OR_RETURN(const ParquetFooter footer,
                         ParseParquetFooter(footer_bytes, record.size_bytes));
  const Status other_groups(ErrorKind::Corruption,
                            "its footer has other row groups than its record");
  if (groups.size() != footer.row_groups.size()) return other_groups;
  const size_t column_count = footer.columns.size();
  const size_t chunk_count = groups.size() * column_count;
  const int64_t filters_offset = footer.filters_offset();
  const bool has_filters = filters_offset < offset;
  auto ranges = std::make_shared<CheckedRanges>(record, chunk_count + (has_filters ? 1 : 0));
  for (size_t group = 0; group < groups.size(); ++group) {
    if (groups[group].chunk_checksums.size() != column_count) return other_groups;
    for (size_t column = 0; column < column_count; ++column) {
      const ParquetChunk& chunk = footer.row_groups[group].chunks[column];
      Range& range = ranges->ranges_[group * column_count + column];
      range.begin = chunk.offset;
      range.end = chunk.offset + chunk.size;
      range.checksum = groups[group].chunk_checksums[column];
      range.group = static_cast<uint32_t>(group);
      // They are looked up by their place; our writer puts them down in this order.
      if (&range != &ranges->ranges_.front() && (&range)[-1].end > range.begin)
        return Status(ErrorKind::Corruption, "its column chunks are out of order");
    }
  }
  if (has_filters) {
    Range& filters = ranges->ranges_.back();
    filters.begin = filters_offset;
    filters.end = offset;
    filters.checksum = record.filters_checksum;
  }
  return ranges;
}

Status CheckedRanges::Compare(const Range& range, const ReadBytes& read) const {
  if (!range.checksum) return CompareFile(read);
  KALAM_ASSIGN_OR_RETURN(const std::string bytes, read(range.begin, range.end - range.begin));
  if (ChecksumOf(bytes) == *range.checksum) return Status::Ok();
  if (!range.group) return Status(ErrorKind::Corruption, "its filters do not match their checksum");
  return Status(ErrorKind::Corruption, "a column of its row group " + std::to_string(*range.group) +
                                           " does not match its checksum");
}

Status CheckedRanges::CompareFile(const ReadBytes& read) const {
  FileChecksum checksum;
  for (int64_t offset = 0; offset < file_bytes_; offset += kReadBytes) {
    KALAM_ASSIGN_OR_RETURN(const std::string bytes,
                           read(offset, std::min(kReadBytes, file_bytes_ - offset)));
    checksum.Add(bytes);
  }
  if (checksum.Finish() == file_checksum_) return Status::Ok();
  return Status(ErrorKind::Corruption, "the file does not match its checksum");
}

Status CheckedRanges::Check(int64_t offset, int64_t size, const ReadBytes& read) const {
  const int64_t end = offset + size;
  auto range = std::partition_point(ranges_.begin(), ranges_.end(),
                                    [&](const Range& each) { return each.end <= offset; });
  for (; range != ranges_.end() && range->begin < end; ++range) {
    if (range->is_checked.load(std::memory_order_acquire)) continue;
    KALAM_RETURN_IF_ERROR(Compare(*range, read));
    range->is_checked.store(true, std::memory_order_release);
  }
  return Status::Ok();
}

}  // namespace kalam::segments
