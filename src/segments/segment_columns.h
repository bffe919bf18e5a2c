// Which columns of a file are which cells of a row, and how their bytes become values.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "catalog/schema.h"
#include "segments/cell_value.h"
#include "segments/decoded_column.h"
#include "segments/parquet_footer.h"
#include "types/row_codec.h"

namespace kalam::segments {

/// The columns of one file over the layout of its schema version. Immutable.
struct SegmentColumns {
  using Cell = StoredCell;
  std::vector<Cell> cells;  // as in the layout
  size_t pk_cell = 0;       // index into cells
  uint32_t seq_column = 0;
  uint32_t deleted_column = 0;
  std::optional<uint32_t> user_column;  // in files of many scopes

  /// The elements of a list in `column`; 0 when it is no list.
  uint32_t ListLength(uint32_t column) const;
  /// What a segment key is made of.
  std::vector<uint32_t> KeyColumns() const;
  /// False for columns that every row must have a value in.
  bool MayBeNull(uint32_t column) const;
};

/// Finds the columns by their field ids. Errors: Corruption (a column is missing or has a type that
/// its SQL type is not written as).
Result<SegmentColumns> MapColumns(const catalog::TableDefinition& table, uint32_t schema_version,
                                  bool of_many_scopes, const ParquetFooter& footer);

}  // namespace kalam::segments
