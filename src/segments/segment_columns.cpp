// Finding the cells of a row among the columns of a file.
#include "segments/segment_columns.h"

#include <string>

#include "segments/segment_record.h"

namespace kalam::segments {
namespace {

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

}  // namespace kalam::segments
