// Reads single cells out of the engine's vectors as values of ours.
#include "analytics/plugin/cell_reader.h"

#include <limits>

#include "analytics/plugin/value_mapping.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalTypeId;
using duckdb::PhysicalType;

Status OutOfRange() { return Status(ErrorKind::Execution, "bigint out of range"); }

template <typename T>
T ValueAt(const duckdb::UnifiedVectorFormat& format, duckdb::idx_t index) {
  return duckdb::UnifiedVectorFormat::GetData<T>(format)[index];
}

Result<Datum> WholeNumber(TypeKind kind, __int128 value) {
  if (value > std::numeric_limits<int64_t>::max() || value < std::numeric_limits<int64_t>::min()) {
    return OutOfRange();
  }
  return Datum::OfInt(kind, static_cast<int64_t>(value));
}

Result<Datum> IntegerCell(TypeKind kind, PhysicalType physical,
                          const duckdb::UnifiedVectorFormat& format, duckdb::idx_t index) {
  switch (physical) {
    case PhysicalType::BOOL:
      return Datum::OfInt(kind, ValueAt<bool>(format, index) ? 1 : 0);
    case PhysicalType::INT8:
      return Datum::OfInt(kind, ValueAt<int8_t>(format, index));
    case PhysicalType::UINT8:
      return Datum::OfInt(kind, ValueAt<uint8_t>(format, index));
    case PhysicalType::INT16:
      return Datum::OfInt(kind, ValueAt<int16_t>(format, index));
    case PhysicalType::UINT16:
      return Datum::OfInt(kind, ValueAt<uint16_t>(format, index));
    case PhysicalType::INT32:
      return Datum::OfInt(kind, ValueAt<int32_t>(format, index));
    case PhysicalType::UINT32:
      return Datum::OfInt(kind, ValueAt<uint32_t>(format, index));
    case PhysicalType::INT64:
      return Datum::OfInt(kind, ValueAt<int64_t>(format, index));
    case PhysicalType::UINT64:
      return WholeNumber(kind, ValueAt<uint64_t>(format, index));
    case PhysicalType::INT128:
      return WholeNumber(kind, FromHugeInt(ValueAt<duckdb::hugeint_t>(format, index)));
    case PhysicalType::UINT128: {
      const auto value = ValueAt<duckdb::uhugeint_t>(format, index);
      if (value.upper != 0) return OutOfRange();
      return WholeNumber(kind, value.lower);
    }
    default:
      return Status(ErrorKind::Internal, "an integer in an unknown form");
  }
}

Datum DecimalCell(uint8_t scale, PhysicalType physical, const duckdb::UnifiedVectorFormat& format,
                  duckdb::idx_t index) {
  switch (physical) {
    case PhysicalType::INT16:
      return Datum::Decimal(ValueAt<int16_t>(format, index), scale);
    case PhysicalType::INT32:
      return Datum::Decimal(ValueAt<int32_t>(format, index), scale);
    case PhysicalType::INT64:
      return Datum::Decimal(ValueAt<int64_t>(format, index), scale);
    default:
      return Datum::Decimal(FromHugeInt(ValueAt<duckdb::hugeint_t>(format, index)), scale);
  }
}

int64_t TimestampUs(LogicalTypeId type, int64_t raw) {
  switch (type) {
    case LogicalTypeId::TIMESTAMP_SEC:
      return raw * 1'000'000;
    case LogicalTypeId::TIMESTAMP_MS:
      return raw * 1'000;
    case LogicalTypeId::TIMESTAMP_NS:
      return raw / 1'000;
    default:
      return raw;
  }
}

}  // namespace

CellReader::CellReader(duckdb::LogicalType engine_type)
    : engine_type_(std::move(engine_type)), type_(ResultType(engine_type_)) {}

void CellReader::Begin(duckdb::Vector* vector, duckdb::idx_t count) {
  vector_ = vector;
  format_ = duckdb::UnifiedVectorFormat();
  vector->ToUnifiedFormat(count, format_);
}

Result<Datum> CellReader::Read(duckdb::idx_t row, Arena* arena) const {
  const duckdb::UnifiedVectorFormat& format = format_;
  const duckdb::idx_t index = format.sel->get_index(row);
  const DataType& type = type_;
  if (!format.validity.RowIsValid(index)) return Datum::Null(type.kind);
  const PhysicalType physical = engine_type_.InternalType();
  switch (type.kind) {
    case TypeKind::kBoolean:
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
    case TypeKind::kDate:
    case TypeKind::kTime:
      return IntegerCell(type.kind, physical, format, index);
    case TypeKind::kTimestamp:
      return Datum::OfInt(type.kind,
                          TimestampUs(engine_type_.id(), ValueAt<int64_t>(format, index)));
    case TypeKind::kFloat: {
      Datum cell = Datum::Double(ValueAt<float>(format, index));
      cell.kind = TypeKind::kFloat;
      return cell;
    }
    case TypeKind::kDouble:
      return Datum::Double(ValueAt<double>(format, index));
    case TypeKind::kDecimal:
      return DecimalCell(type.scale, physical, format, index);
    case TypeKind::kInterval: {
      const auto interval = ValueAt<duckdb::interval_t>(format, index);
      return Datum::OfInterval(interval.months, interval.days, interval.micros);
    }
    case TypeKind::kUuid: {
      char bytes[16];
      UuidToBytes(ValueAt<duckdb::hugeint_t>(format, index), bytes);
      return Datum::Bytes(TypeKind::kUuid, arena->Copy({bytes, sizeof(bytes)}));
    }
    default:
      break;
  }
  const LogicalTypeId id = engine_type_.id();
  if (id == LogicalTypeId::VARCHAR || id == LogicalTypeId::BLOB) {
    const auto& text = duckdb::UnifiedVectorFormat::GetData<duckdb::string_t>(format)[index];
    return Datum::Bytes(type.kind, {text.GetData(), text.GetSize()});
  }
  return NestedCell(row, arena);
}

Datum CellReader::NestedCell(duckdb::idx_t row, Arena* arena) const {
  const duckdb::Value value = vector_->GetValue(row);
  std::string text;
  const TypeKind kind = type_.kind;
  if (kind == TypeKind::kEmbedding) {
    for (const duckdb::Value& element : duckdb::ArrayValue::GetChildren(value)) {
      const float number = element.IsNull() ? 0.0F : duckdb::FloatValue::Get(element);
      text.append(reinterpret_cast<const char*>(&number), sizeof(number));
    }
  } else if (kind == TypeKind::kJson) {
    AppendNestedJson(value, &text);
  } else {
    text = value.ToString();
  }
  return Datum::Bytes(kind, arena->Copy(text));
}

}  // namespace kalam::analytics
