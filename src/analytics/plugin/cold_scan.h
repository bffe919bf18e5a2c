// The cold half of a scan: rows of Parquet files without those that hot rows or newer files hide.
#pragma once

#include <cstdint>
#include <duckdb/execution/execution_context.hpp>
#include <duckdb/function/table_function.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analytics/plugin/cell_reader.h"
#include "analytics/plugin/hidden_keys.h"
#include "analytics/plugin/parquet_scan.h"
#include "analytics/plugin/query_state.h"
#include "tables/scan_source.h"

namespace kalam::analytics {

/// Thread-safety: every thread reads with a Local of its own. Throws the engine's exceptions.
class ColdScan {
 public:
  /// Null when so many keys would have to be remembered that merging row by row is the better way.
  /// `columns`: of the source, each once.
  static std::unique_ptr<ColdScan> Open(duckdb::ClientContext& context, QueryState& query,
                                        const ResultSchema& schema,
                                        std::shared_ptr<tables::ColdFiles> cold,
                                        const std::vector<uint32_t>& columns,
                                        const std::vector<tables::ScanHint>& hints);
  /// For Open.
  ColdScan(duckdb::ClientContext& context, QueryState& query, ResultSchema schema,
           std::shared_ptr<tables::ColdFiles> cold);

  /// What one thread holds.
  struct Local {
    duckdb::unique_ptr<duckdb::LocalTableFunctionState> scan;
    duckdb::DataChunk chunk;
    std::optional<CellReader> keys;
    Arena arena;
    std::string key;
    // The run of rows that was met last, and which of them hot versions hide: a bit for each, empty
    // when none.
    uint64_t run_file = UINT64_MAX;
    int64_t run_begin = 0, run_end = 0;
    std::vector<bool> run_hidden;
  };
  std::unique_ptr<Local> OpenLocal(duckdb::ExecutionContext& context);

  /// Gives the next rows: column i of those asked for as `output.data[output_columns[i]]`. False at
  /// the end.
  bool Next(duckdb::ClientContext& context, Local& local, const std::vector<size_t>& output_columns,
            duckdb::DataChunk& output);

 private:
  bool HideOldVersions();
  bool ReadVersions(const std::vector<size_t>& files);
  bool Reserve();
  void OpenScan(const std::vector<uint32_t>& columns, const std::vector<tables::ScanHint>& hints);
  bool FindHotFiles();
  void MeetRun(Local& local, uint64_t file, int64_t row) const;
  duckdb::idx_t DropHot(Local& local, duckdb::SelectionVector* visible) const;
  duckdb::idx_t DropOld(Local& local, duckdb::idx_t count, duckdb::SelectionVector* visible) const;

  duckdb::ClientContext& context_;
  QueryState& query_;
  const ResultSchema schema_;
  const std::shared_ptr<tables::ColdFiles> cold_;
  HiddenKeys hidden_;
  std::vector<bool> hot_files_;  // that hot versions may hide rows of; empty when there is none
  int64_t reserved_bytes_ = 0;   // of the engine's memory, for hidden_
  size_t asked_columns_ = 0;
  // Places in the chunks of scan_: of keys and numbers when hidden_ is not empty, of rows when
  // hot_files_ is not, of files when either is not.
  size_t key_place_ = 0, seq_place_ = 0, file_place_ = 0, row_place_ = 0;
  std::unique_ptr<ParquetScan> scan_;
};

}  // namespace kalam::analytics
