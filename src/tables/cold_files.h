// A table's scope as cold files and hot rows, for an engine that reads Parquet by itself.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "tables/scan_source.h"
#include "tables/table_reader.h"

namespace kalam::tables {

/// The rows with lower <= encoded key < upper; empty means no bound. `hints` are what else is known
/// of the rows that are wanted. Null when the scope has no
/// segment there, or when one was written under a schema version whose values the engine would not
/// cast as RowDecoder does. `reader` must outlive what is returned. Errors: Corruption (a fenced
/// segment), StorageIo.
Result<std::shared_ptr<ColdFiles>> OpenTableColdFiles(TableReader& reader, const ReadScope& scope,
                                                      const std::string& key_lower,
                                                      const std::string& key_upper,
                                                      std::span<const ScanHint> hints);

}  // namespace kalam::tables
