// Look-ups in a table definition and the layout of its rows.
#include "catalog/schema.h"

#include <algorithm>

namespace kalam::catalog {
namespace {

bool IsStored(const ColumnDefinition& column) {
  return column.name != kSeqColumn && column.name != kDeletedColumn;
}

}  // namespace

std::string_view TableTypeName(TableType type) {
  switch (type) {
    case TableType::kUser:
      return "user";
    case TableType::kShared:
      return "shared";
    case TableType::kStream:
      return "stream";
    case TableType::kSystem:
      return "system";
    case TableType::kView:
      return "view";
  }
  return "system";
}

std::optional<size_t> TableDefinition::FindColumn(std::string_view lower_name) const {
  for (size_t i = 0; i < columns->size(); ++i) {
    if ((*columns)[i].name == lower_name) return i;
  }
  return std::nullopt;
}

std::optional<size_t> TableDefinition::PrimaryKey() const {
  for (size_t i = 0; i < columns->size(); ++i) {
    if ((*columns)[i].primary_key) return i;
  }
  return std::nullopt;
}

std::optional<size_t> TableDefinition::StoragePosition(size_t index) const {
  const ColumnDefinition& column = (*columns)[index];
  if (!IsStored(column)) return std::nullopt;
  const std::vector<RowLayout::Cell>& cells = layout().cells;
  auto found = std::lower_bound(
      cells.begin(), cells.end(), column.column_id,
      [](const RowLayout::Cell& cell, uint32_t column_id) { return cell.column_id < column_id; });
  if (found == cells.end() || found->column_id != column.column_id) return std::nullopt;
  return static_cast<size_t>(found - cells.begin());
}

RowLayout LayoutOf(const std::vector<ColumnDefinition>& columns) {
  RowLayout layout;
  for (const ColumnDefinition& column : columns) {
    if (IsStored(column)) layout.cells.push_back({column.column_id, column.type});
  }
  std::sort(
      layout.cells.begin(), layout.cells.end(),
      [](const RowLayout::Cell& a, const RowLayout::Cell& b) { return a.column_id < b.column_id; });
  return layout;
}

}  // namespace kalam::catalog
