// Gives the chunks of the engine's result as rows of ours.
#include "analytics/plugin/result_rows.h"

#include "analytics/plugin/value_mapping.h"
#include "types/convert.h"

namespace kalam::analytics {

ResultRows::ResultRows(const duckdb::vector<duckdb::LogicalType>& engine_types, ResultSchema schema)
    : schema_(std::move(schema)) {
  readers_.reserve(engine_types.size());
  for (size_t i = 0; i < engine_types.size(); ++i) {
    readers_.emplace_back(engine_types[i]);
    same_form_.push_back(schema_[i].type == readers_[i].type() ||
                         EngineType(schema_[i].type) == engine_types[i]);
  }
}

void ResultRows::SetChunk(duckdb::unique_ptr<duckdb::DataChunk> chunk) {
  chunk_ = std::move(chunk);
  row_ = 0;
  if (chunk_ == nullptr) return;
  for (size_t i = 0; i < readers_.size(); ++i) readers_[i].Begin(&chunk_->data[i], chunk_->size());
}

Status ResultRows::WriteRow(RowSink* sink) {
  sink->BeginRow();
  for (size_t i = 0; i < schema_.size(); ++i) {
    KALAM_ASSIGN_OR_RETURN(Datum cell, readers_[i].Read(row_, &arena_));
    const DataType& promised = schema_[i].type;
    if (cell.is_null || same_form_[i]) {
      cell.kind = promised.kind;
    } else {
      KALAM_ASSIGN_OR_RETURN(cell, Cast(cell, promised, &arena_));
    }
    sink->Cell(cell, promised);
  }
  sink->EndRow();
  arena_.Reset();
  ++row_;
  return Status::Ok();
}

}  // namespace kalam::analytics
