// What a Parquet file of ours says of itself at its end: columns, row groups, where their bytes
// lie.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kalam::segments {

inline constexpr std::string_view kParquetMagic = "PAR1";
/// After the footer: its length (4 bytes LE) and the magic.
inline constexpr int64_t kParquetTailBytes = 8;

/// The numbers of the format.
enum class ParquetType : uint8_t {
  kBoolean = 0,
  kInt32 = 1,
  kInt64 = 2,
  kFloat = 4,
  kDouble = 5,
  kByteArray = 6,
  kFixed = 7,
};
enum class ParquetCodec : uint8_t { kUncompressed = 0, kZstd = 6 };

/// A leaf column. The only nesting there is, is a list of plain elements.
struct ParquetColumn {
  std::string name;  // of the top level
  int32_t field_id = 0;
  ParquetType type = ParquetType::kInt32;
  int32_t width = 0;  // kFixed: bytes of a value
  uint8_t definition_max = 0;
  uint8_t repetition_max = 0;  // 1: a list
};

struct ParquetChunk {
  int64_t offset = 0;  // its first page, of the dictionary if there is one
  int64_t size = 0;
  int64_t value_count = 0;  // nulls among them
  ParquetCodec codec = ParquetCodec::kUncompressed;
};

struct ParquetRowGroup {
  int64_t row_count = 0;
  std::vector<ParquetChunk> chunks;  // one a column
};

struct ParquetFooter {
  std::vector<ParquetColumn> columns;
  std::vector<ParquetRowGroup> row_groups;
  std::map<std::string, std::string> metadata;
  int64_t row_count = 0;

  /// Bytes that it takes in memory, about.
  size_t memory_bytes() const;
  /// Where the last column chunk ends and the filters begin, which reach to the footer.
  int64_t filters_offset() const;
};

/// Length of the footer from the last kParquetTailBytes of a file of `file_size` bytes. Errors:
/// Corruption.
Result<int64_t> ParquetFooterSize(std::string_view tail, int64_t file_size);

/// `bytes` are the Thrift part alone. Everything in the answer lies within the file: offsets and
/// sizes within `file_size`, one chunk for every column in every row group, counts that agree.
/// Errors: Corruption (also for what the format allows and our writer never does).
Result<ParquetFooter> ParseParquetFooter(std::string_view bytes, int64_t file_size);

}  // namespace kalam::segments
