// The rows of a Parquet file that a server wrote.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "types/value.h"

namespace kalam::cli {

struct NamedType {
  std::string name;
  DataType type;
};

/// Calls `visit` with the cells of every row, in the order of `columns`; NULL for columns that the
/// file does not have. They live until it returns. Holds one row group. Errors: InvalidInput (the
/// file is damaged, or a column has another type), those of `visit`.
Status ForEachParquetRow(const std::string& path, const std::vector<NamedType>& columns,
                         const std::function<Status(std::span<const Datum>)>& visit);

}  // namespace kalam::cli
