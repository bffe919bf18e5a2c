// The Statistics structures of a footer.
#include "segments/chunk_statistics.h"

#include <algorithm>
#include <cstring>

#include "segments/checksum.h"
#include "segments/parquet_footer.h"
#include "segments/thrift_reader.h"

namespace kalam::segments {
namespace {

// Fields of the format's structures.
constexpr int16_t kRowGroupsField = 4;
constexpr int16_t kChunksField = 1;
constexpr int16_t kMetadataField = 3;
constexpr int16_t kStatisticsField = 12;
constexpr int16_t kMaxField = 5;
constexpr int16_t kMinField = 6;

ChunkStatistics ReadBounds(ThriftReader& reader) {
  ChunkStatistics bounds;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (type != ThriftReader::kBinary || (id != kMaxField && id != kMinField)) return false;
    (id == kMaxField ? bounds.max : bounds.min) = std::string(reader.Binary());
    return true;
  });
  return bounds;
}

ChunkStatistics ReadChunk(ThriftReader& reader) {
  ChunkStatistics bounds;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id != kMetadataField || type != ThriftReader::kStruct) return false;
    reader.Struct([&](int16_t inner, ThriftReader::Type inner_type) {
      if (inner != kStatisticsField || inner_type != ThriftReader::kStruct) return false;
      bounds = ReadBounds(reader);
      return true;
    });
    return true;
  });
  return bounds;
}

std::vector<ChunkStatistics> ReadRowGroup(ThriftReader& reader) {
  std::vector<ChunkStatistics> chunks;
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id != kChunksField || type != ThriftReader::kList) return false;
    reader.List(ThriftReader::kStruct, [&] { chunks.push_back(ReadChunk(reader)); });
    return true;
  });
  return chunks;
}

template <typename T>
std::optional<T> NumberOf(const std::string& bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T number;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

/// A signed number of the width that its bytes have: columns may have been widened since.
std::optional<int64_t> WholeNumberOf(const std::string& bytes) {
  if (const auto narrow = NumberOf<int32_t>(bytes)) return *narrow;
  return NumberOf<int64_t>(bytes);
}

std::optional<Value> ValueOf(const std::optional<std::string>& bytes, const DataType& type) {
  if (!bytes) return std::nullopt;
  switch (type.kind) {
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
    case TypeKind::kDate:
    case TypeKind::kTime:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      if (const auto number = WholeNumberOf(*bytes)) return Value(Datum::OfInt(type.kind, *number));
      return std::nullopt;
    case TypeKind::kFloat:
      if (const auto number = NumberOf<float>(*bytes)) return Value::Double(*number);
      return std::nullopt;
    case TypeKind::kDouble:
      if (const auto number = NumberOf<double>(*bytes)) return Value::Double(*number);
      return std::nullopt;
    case TypeKind::kText:
      return Value::Text(*bytes);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Value> ChunkStatistics::MinOf(const DataType& type) const {
  return ValueOf(min, type);
}
std::optional<Value> ChunkStatistics::MaxOf(const DataType& type) const {
  return ValueOf(max, type);
}

const ChunkStatistics* FileStatistics::Find(size_t row_group, int32_t field_id) const {
  const auto found = std::find(field_ids.begin(), field_ids.end(), field_id);
  if (found == field_ids.end() || row_group >= row_groups.size()) return nullptr;
  const auto column = static_cast<size_t>(found - field_ids.begin());
  return column < row_groups[row_group].size() ? &row_groups[row_group][column] : nullptr;
}

Result<FileStatistics> ReadStatistics(
    const SegmentRecord& record,
    const std::function<Result<std::string>(int64_t offset, int64_t size)>& read) {
  const int64_t offset = record.size_bytes - kParquetTailBytes - record.footer_bytes;
  KALAM_ASSIGN_OR_RETURN(const std::string bytes, read(offset, record.footer_bytes));
  if (ChecksumOf(bytes) != record.footer_checksum)
    return Status(ErrorKind::Corruption,
                  "segment " + record.path + ": its footer does not match its checksum");
  KALAM_ASSIGN_OR_RETURN(const ParquetFooter footer, ParseParquetFooter(bytes, record.size_bytes));
  FileStatistics statistics;
  for (const ParquetColumn& column : footer.columns)
    statistics.field_ids.push_back(column.field_id);
  ThriftReader reader(bytes);
  reader.Struct([&](int16_t id, ThriftReader::Type type) {
    if (id != kRowGroupsField || type != ThriftReader::kList) return false;
    reader.List(ThriftReader::kStruct,
                [&] { statistics.row_groups.push_back(ReadRowGroup(reader)); });
    return true;
  });
  return statistics;
}

}  // namespace kalam::segments
