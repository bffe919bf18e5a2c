// Gives the chunks of the engine's result as rows of ours.
#pragma once

#include <duckdb/common/types/data_chunk.hpp>
#include <vector>

#include "analytics/plugin/cell_reader.h"
#include "base/status.h"
#include "types/row_stream.h"
#include "types/value.h"

namespace kalam::analytics {

/// The rows of one chunk at a time. Not thread-safe.
class ResultRows {
 public:
  /// `engine_types` as the engine gives them, `schema` as the reader gets them.
  ResultRows(const duckdb::vector<duckdb::LogicalType>& engine_types, ResultSchema schema);

  /// Takes the next chunk; null: there is none.
  void SetChunk(duckdb::unique_ptr<duckdb::DataChunk> chunk);
  bool at_end() const { return chunk_ == nullptr || row_ >= chunk_->size(); }
  /// Writes the current row and moves on. Errors: Execution (a value that the column's type cannot
  /// hold).
  Status WriteRow(RowSink* sink);

 private:
  const ResultSchema schema_;
  std::vector<CellReader> readers_;
  std::vector<bool> same_form_;  // the cell only changes its name on the way to the schema's type
  duckdb::unique_ptr<duckdb::DataChunk> chunk_;
  duckdb::idx_t row_ = 0;
  Arena arena_;  // behind the cells of the row being written
};

}  // namespace kalam::analytics
