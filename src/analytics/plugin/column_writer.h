// Fills one vector of the engine from cells of ours, row by row, without a virtual call per cell.
#pragma once

#include <cstdint>
#include <duckdb/common/types/vector.hpp>

#include "types/data_type.h"
#include "types/value.h"

namespace kalam::analytics {

/// Writes the cells of one column. Used by one thread; Begin once per vector.
class ColumnWriter {
 public:
  explicit ColumnWriter(const DataType& type) : type_(type) {}

  /// `vector` is flat, of EngineType(type) and has room for the rows that follow.
  void Begin(duckdb::Vector* vector);
  /// False when the cell is not of the column's type.
  [[nodiscard]] bool Write(duckdb::idx_t row, const Datum& cell);

 private:
  bool WriteBytes(duckdb::idx_t row, const Datum& cell);
  bool WriteDecimal(duckdb::idx_t row, const Datum& cell);
  template <typename T>
  void Put(duckdb::idx_t row, T value) {
    reinterpret_cast<T*>(bytes_)[row] = value;
  }

  const DataType type_;
  duckdb::Vector* vector_ = nullptr;
  duckdb::data_ptr_t bytes_ = nullptr;  // of vector_; of its elements for embeddings
};

}  // namespace kalam::analytics
