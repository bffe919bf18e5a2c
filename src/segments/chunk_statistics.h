// What a file's footer says of the values in its column chunks, for those who explain a plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "segments/segment_record.h"
#include "types/data_type.h"
#include "types/value.h"

namespace kalam::segments {

/// Bounds of the values in one column chunk, both inside; none that the file does not tell.
struct ChunkStatistics {
  std::optional<std::string> min, max;  // as the format stores values

  /// As values of a column of `type`; nullopt for what is not told, and for types whose order in
  /// the file is not that of values here.
  std::optional<Value> MinOf(const DataType& type) const;
  std::optional<Value> MaxOf(const DataType& type) const;
};

/// The statistics of one file.
struct FileStatistics {
  std::vector<int32_t> field_ids;  // of the file's columns
  /// By row group, then by column as in field_ids.
  std::vector<std::vector<ChunkStatistics>> row_groups;

  /// Those of a column in a row group; null when the file does not have it.
  const ChunkStatistics* Find(size_t row_group, int32_t field_id) const;
};

/// Reads the footer. `read` gives exactly so many bytes of the file. Errors: Corruption (it does
/// not match the record), those of `read`.
Result<FileStatistics> ReadStatistics(
    const SegmentRecord& record,
    const std::function<Result<std::string>(int64_t offset, int64_t size)>& read);

}  // namespace kalam::segments
