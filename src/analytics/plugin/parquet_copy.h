// The engine's statement that writes a Parquet file from source 0 of the running statement.
#pragma once

#include <duckdb/parser/statement/copy_statement.hpp>
#include <string>

#include "analytics/engine.h"

namespace kalam::analytics {

/// Written as a tree, not as text: names and metadata are values in it. `target` is a name under
/// kPrivateScheme.
duckdb::unique_ptr<duckdb::SQLStatement> ParquetCopy(const ParquetFile& file,
                                                     const std::string& target);

}  // namespace kalam::analytics
