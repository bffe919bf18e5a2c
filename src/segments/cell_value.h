// How a value lies in a Parquet column of ours, and how it becomes a value again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "segments/decoded_column.h"
#include "segments/parquet_footer.h"
#include "types/data_type.h"
#include "types/value.h"

namespace kalam::segments {

/// A cell of a row and the column of a file that holds it.
struct StoredCell {
  uint32_t column = 0;  // index into the footer's columns
  DataType type;
  ParquetType stored = ParquetType::kInt32;
};

/// Whether values of `type` are written as columns of that form (src/analytics writes them).
bool IsWrittenAs(const DataType& type, const ParquetColumn& column);

/// The value of a row; byte-like ones point into `column`.
Datum CellValue(const StoredCell& cell, const DecodedColumn& column, size_t row);

}  // namespace kalam::segments
