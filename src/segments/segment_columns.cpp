// The mapping between SQL types and what the engine writes of them into Parquet files.
#include "segments/segment_columns.h"

#include <string>

#include "segments/segment_record.h"

namespace kalam::segments {
namespace {

constexpr int32_t kWideBytes = 16;

/// Whether values of `type` are written as columns of that form (src/analytics writes them).
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

Result<uint32_t> FindColumn(const ParquetFooter& footer, int32_t field_id, const DataType& type) {
  for (uint32_t i = 0; i < footer.columns.size(); ++i) {
    if (footer.columns[i].field_id != field_id) continue;
    if (!IsWrittenAs(type, footer.columns[i])) {
      return Status(ErrorKind::Corruption, "its column " + footer.columns[i].name +
                                               " is not written as a " + SqlName(type));
    }
    return i;
  }
  return Status(ErrorKind::Corruption,
                "it has no column with the field id " + std::to_string(field_id));
}

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

uint32_t SegmentColumns::ListLength(uint32_t column) const {
  for (const Cell& cell : cells) {
    if (cell.column == column) return cell.type.dimension;
  }
  return 0;
}

std::vector<uint32_t> SegmentColumns::KeyColumns() const {
  std::vector<uint32_t> columns{cells[pk_cell].column};
  if (user_column) columns.push_back(*user_column);
  return columns;
}

bool SegmentColumns::MayBeNull(uint32_t column) const {
  return column != seq_column && column != deleted_column && column != cells[pk_cell].column &&
         !(user_column && column == *user_column);
}

Result<SegmentColumns> MapColumns(const catalog::TableDefinition& table, uint32_t schema_version,
                                  bool of_many_scopes, const ParquetFooter& footer) {
  if (schema_version == 0 || schema_version > table.layouts->size()) {
    return Status(ErrorKind::Corruption, "it has schema version " + std::to_string(schema_version) +
                                             ", which the table does not have");
  }
  SegmentColumns columns;
  const std::optional<size_t> pk_index = table.PrimaryKey();
  const uint32_t pk_id = pk_index ? (*table.columns)[*pk_index].column_id : 0;
  bool has_pk = false;
  for (const RowLayout::Cell& cell : (*table.layouts)[schema_version - 1].cells) {
    KALAM_ASSIGN_OR_RETURN(uint32_t column,
                           FindColumn(footer, static_cast<int32_t>(cell.column_id), cell.type));
    if (cell.column_id == pk_id) {
      has_pk = true;
      columns.pk_cell = columns.cells.size();
    }
    columns.cells.push_back({column, cell.type, footer.columns[column].type});
  }
  if (!has_pk) return Status(ErrorKind::Corruption, "it has no column for the primary key");
  KALAM_ASSIGN_OR_RETURN(columns.seq_column,
                         FindColumn(footer, kSeqFieldId, DataType::Of(TypeKind::kBigInt)));
  KALAM_ASSIGN_OR_RETURN(columns.deleted_column,
                         FindColumn(footer, kDeletedFieldId, DataType::Of(TypeKind::kBoolean)));
  if (of_many_scopes) {
    KALAM_ASSIGN_OR_RETURN(columns.user_column,
                           FindColumn(footer, kUserFieldId, DataType::Of(TypeKind::kText)));
  }
  return columns;
}

Datum CellValue(const SegmentColumns::Cell& cell, const DecodedColumn& column, size_t row) {
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
