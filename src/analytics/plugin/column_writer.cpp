// Fills one vector of the engine from cells of ours.
#include "analytics/plugin/column_writer.h"

#include <cstring>
#include <duckdb/common/types/string_type.hpp>

#include "analytics/plugin/value_mapping.h"

namespace kalam::analytics {
namespace {

constexpr uint32_t kUuidBytes = 16;

}  // namespace

void ColumnWriter::Begin(duckdb::Vector* vector) {
  vector_ = vector;
  bytes_ = type_.kind == TypeKind::kEmbedding
               ? duckdb::FlatVector::GetData(duckdb::ArrayVector::GetEntry(*vector))
               : duckdb::FlatVector::GetData(*vector);
}

bool ColumnWriter::Write(duckdb::idx_t row, const Datum& cell) {
  if (cell.is_null) {
    duckdb::FlatVector::SetNull(*vector_, row, true);
    return true;
  }
  if (cell.kind != type_.kind) {
    const bool both_text =
        (type_.is_text() || type_.kind == TypeKind::kNull) && DataType::Of(cell.kind).is_text();
    if (!both_text) return false;
  }
  switch (type_.kind) {
    case TypeKind::kBoolean:
      Put<bool>(row, cell.i != 0);
      return true;
    case TypeKind::kSmallInt:
      Put<int16_t>(row, static_cast<int16_t>(cell.i));
      return true;
    case TypeKind::kInt:
    case TypeKind::kDate:
      Put<int32_t>(row, static_cast<int32_t>(cell.i));
      return true;
    case TypeKind::kBigInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kTime:
      Put<int64_t>(row, cell.i);
      return true;
    case TypeKind::kFloat:
      Put<float>(row, static_cast<float>(cell.d));
      return true;
    case TypeKind::kDouble:
      Put<double>(row, cell.d);
      return true;
    case TypeKind::kInterval:
      Put<duckdb::interval_t>(row, {cell.interval.months, cell.interval.days, cell.interval.us});
      return true;
    case TypeKind::kDecimal:
      return WriteDecimal(row, cell);
    default:
      return WriteBytes(row, cell);
  }
}

bool ColumnWriter::WriteBytes(duckdb::idx_t row, const Datum& cell) {
  if (type_.kind == TypeKind::kUuid) {
    if (cell.size != kUuidBytes) return false;
    Put<duckdb::hugeint_t>(row, UuidFromBytes(cell.data));
    return true;
  }
  if (type_.kind == TypeKind::kEmbedding) {
    const size_t row_bytes = size_t{type_.dimension} * sizeof(float);
    if (cell.size != row_bytes) return false;
    std::memcpy(bytes_ + row * row_bytes, cell.data, row_bytes);
    return true;
  }
  if (cell.size <= duckdb::string_t::INLINE_LENGTH) {
    Put<duckdb::string_t>(row, duckdb::string_t(cell.data, cell.size));
  } else {
    Put<duckdb::string_t>(row,
                          duckdb::StringVector::AddStringOrBlob(*vector_, cell.data, cell.size));
  }
  return true;
}

bool ColumnWriter::WriteDecimal(duckdb::idx_t row, const Datum& cell) {
  if (cell.scale != type_.scale) return false;
  const __int128 unscaled = cell.decimal();
  switch (vector_->GetType().InternalType()) {
    case duckdb::PhysicalType::INT16:
      Put<int16_t>(row, static_cast<int16_t>(unscaled));
      return true;
    case duckdb::PhysicalType::INT32:
      Put<int32_t>(row, static_cast<int32_t>(unscaled));
      return true;
    case duckdb::PhysicalType::INT64:
      Put<int64_t>(row, static_cast<int64_t>(unscaled));
      return true;
    default:
      Put<duckdb::hugeint_t>(row, ToHugeInt(unscaled));
      return true;
  }
}

}  // namespace kalam::analytics
