// Drives the engine's own Parquet scan over cold files of a source.
#pragma once

#include <duckdb/execution/execution_context.hpp>
#include <duckdb/function/table_function.hpp>
#include <duckdb/planner/table_filter.hpp>
#include <memory>
#include <vector>

#include "analytics/plugin/query_state.h"
#include "tables/scan_source.h"

namespace kalam::analytics {

/// What is read of which files.
struct ParquetRequest {
  std::shared_ptr<tables::ColdFiles> cold;
  ResultSchema columns;                 // of the source
  std::vector<size_t> files;            // indexes into cold->files()
  std::vector<uint32_t> wanted;         // columns of the source, each once
  bool file_index = false;              // after these a column with the index into `files`
  bool row_number = false;              // and one with the row's number in its file, from 0
  bool live_only = true;                // no tombstones
  std::vector<tables::ScanHint> hints;  // rows that do not fulfil them may be left out
};

/// One scan. Thread-safety: every thread reads with a local state of its own. Throws the engine's
/// exceptions.
class ParquetScan {
 public:
  ParquetScan(duckdb::ClientContext& context, QueryState& query, ParquetRequest request);

  /// Null when there is nothing left to read.
  duckdb::unique_ptr<duckdb::LocalTableFunctionState> OpenLocal(duckdb::ExecutionContext& context);
  /// Fills `chunk`, of types(); no rows: the end.
  void Next(duckdb::ClientContext& context, duckdb::LocalTableFunctionState* local,
            duckdb::DataChunk& chunk);
  const duckdb::vector<duckdb::LogicalType>& types() const { return types_; }

 private:
  void Bind(duckdb::ClientContext& context, const std::vector<std::string>& names);
  duckdb::idx_t Position(duckdb::column_t column);
  void AddFilters(const ParquetRequest& request);

  duckdb::TableFunction function_;
  duckdb::unique_ptr<duckdb::FunctionData> bind_data_;
  duckdb::vector<duckdb::LogicalType> bound_types_;
  duckdb::vector<duckdb::column_t> column_ids_;
  duckdb::vector<duckdb::LogicalType> types_;  // of column_ids_
  duckdb::TableFilterSet filters_;
  duckdb::unique_ptr<duckdb::GlobalTableFunctionState> global_;
};

}  // namespace kalam::analytics
