// The mapping between SQL types and what the engine writes of them into Parquet files.
#include "segments/cell_value.h"

#include <string_view>

namespace kalam::segments {
namespace {

constexpr int32_t kWideBytes = 16;

__int128 BigEndian(std::string_view bytes) {
  // The sign comes from the first byte.
  __int128 value = bytes.empty() || static_cast<int8_t>(bytes.front()) >= 0 ? 0 : -1;
  for (char byte : bytes) {
    value = static_cast<__int128>(static_cast<unsigned __int128>(value) << 8) |
            static_cast<uint8_t>(byte);
  }
  return value;
}

}  // namespace

bool IsWrittenAs(const DataType& type, const ParquetColumn& column) {
  if ((type.kind == TypeKind::kEmbedding) != (column.repetition_max > 0)) return false;
  switch (type.kind) {
    case TypeKind::kBoolean:
      return column.type == ParquetType::kBoolean;
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kDate:
      return column.type == ParquetType::kInt32;
    case TypeKind::kBigInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kTime:
      return column.type == ParquetType::kInt64;
    case TypeKind::kFloat:
    case TypeKind::kEmbedding:
      return column.type == ParquetType::kFloat;
    case TypeKind::kDouble:
      return column.type == ParquetType::kDouble;
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
    case TypeKind::kBytes:
      return column.type == ParquetType::kByteArray;
    case TypeKind::kUuid:
      return column.type == ParquetType::kFixed && column.width == kWideBytes;
    case TypeKind::kDecimal:
      return column.type == ParquetType::kInt32 || column.type == ParquetType::kInt64 ||
             (column.type == ParquetType::kFixed && column.width <= kWideBytes);
    default:
      return false;
  }
}

Datum CellValue(const StoredCell& cell, const DecodedColumn& column, size_t row) {
  const TypeKind kind = cell.type.kind;
  if (column.is_null(row)) return Datum::Null(kind);
  switch (kind) {
    case TypeKind::kBoolean:
      return Datum::OfInt(kind, column.number<uint8_t>(row));
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kDate:
      return Datum::OfInt(kind, column.number<int32_t>(row));
    case TypeKind::kFloat: {
      Datum value = Datum::Double(column.number<float>(row));
      value.kind = kind;
      return value;
    }
    case TypeKind::kDouble:
      return Datum::Double(column.number<double>(row));
    case TypeKind::kDecimal:
      if (cell.stored == ParquetType::kInt32) {
        return Datum::Decimal(column.number<int32_t>(row), cell.type.scale);
      }
      if (cell.stored == ParquetType::kInt64) {
        return Datum::Decimal(column.number<int64_t>(row), cell.type.scale);
      }
      return Datum::Decimal(BigEndian(column.bytes(row)), cell.type.scale);
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
    case TypeKind::kBytes:
    case TypeKind::kUuid:
    case TypeKind::kEmbedding:
      return Datum::Bytes(kind, column.bytes(row));
    default:
      return Datum::OfInt(kind, column.number<int64_t>(row));
  }
}

}  // namespace kalam::segments
