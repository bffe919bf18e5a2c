// Reads single cells out of the engine's vectors as values of ours.
#pragma once

#include <duckdb/common/types/vector.hpp>

#include "base/status.h"
#include "types/data_type.h"
#include "types/value.h"

namespace kalam::analytics {

/// Reads the cells of one column, vector by vector. Used by one thread.
class CellReader {
 public:
  explicit CellReader(duckdb::LogicalType engine_type);

  /// Takes the next vector of that type, with `count` rows; it must outlive the cells that are
  /// read.
  void Begin(duckdb::Vector* vector, duckdb::idx_t count);
  /// The cell of `row`. Text points into the vector or into `arena`.
  /// Errors: Execution (an integer beyond BIGINT).
  Result<Datum> Read(duckdb::idx_t row, Arena* arena) const;
  /// ResultType of the engine's type.
  const DataType& type() const { return type_; }

 private:
  Datum NestedCell(duckdb::idx_t row, Arena* arena) const;

  const duckdb::LogicalType engine_type_;
  const DataType type_;
  duckdb::Vector* vector_ = nullptr;
  duckdb::UnifiedVectorFormat format_;  // of vector_
};

}  // namespace kalam::analytics
