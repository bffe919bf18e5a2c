// Our types and values in the engine's form, and back.
#include "analytics/plugin/value_mapping.h"

#include <cstring>
#include <duckdb/common/optional_idx.hpp>
#include <duckdb/common/types/uuid.hpp>

#include "types/convert.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;

constexpr duckdb::idx_t kDimensionMax = 8192;

duckdb::Value EmbeddingValue(const Datum& value) {
  duckdb::vector<duckdb::Value> elements;
  for (uint32_t at = 0; at + sizeof(float) <= value.size; at += sizeof(float)) {
    float element;
    std::memcpy(&element, value.data + at, sizeof(element));
    elements.push_back(duckdb::Value::FLOAT(element));
  }
  if (elements.empty()) return duckdb::Value();
  return duckdb::Value::ARRAY(LogicalType::FLOAT, std::move(elements));
}

}  // namespace

LogicalType EngineType(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      return LogicalType::BOOLEAN;
    case TypeKind::kSmallInt:
      return LogicalType::SMALLINT;
    case TypeKind::kInt:
      return LogicalType::INTEGER;
    case TypeKind::kBigInt:
      return LogicalType::BIGINT;
    case TypeKind::kFloat:
      return LogicalType::FLOAT;
    case TypeKind::kDouble:
      return LogicalType::DOUBLE;
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return LogicalType::TIMESTAMP;
    case TypeKind::kDate:
      return LogicalType::DATE;
    case TypeKind::kTime:
      return LogicalType::TIME;
    case TypeKind::kBytes:
      return LogicalType::BLOB;
    case TypeKind::kEmbedding:
      return LogicalType::ARRAY(LogicalType::FLOAT, duckdb::optional_idx(type.dimension));
    case TypeKind::kUuid:
      return LogicalType::UUID;
    case TypeKind::kDecimal:
      return LogicalType::DECIMAL(type.precision, type.scale);
    case TypeKind::kInterval:
      return LogicalType::INTERVAL;
    case TypeKind::kNull:
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      break;
  }
  return LogicalType::VARCHAR;
}

DataType ResultType(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::BOOLEAN:
      return DataType::Of(TypeKind::kBoolean);
    case LogicalTypeId::TINYINT:
    case LogicalTypeId::UTINYINT:
    case LogicalTypeId::SMALLINT:
      return DataType::Of(TypeKind::kSmallInt);
    case LogicalTypeId::USMALLINT:
    case LogicalTypeId::INTEGER:
      return DataType::Of(TypeKind::kInt);
    case LogicalTypeId::UINTEGER:
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::UBIGINT:
    case LogicalTypeId::HUGEINT:
    case LogicalTypeId::UHUGEINT:
    case LogicalTypeId::INTEGER_LITERAL:
      return DataType::Of(TypeKind::kBigInt);
    case LogicalTypeId::FLOAT:
      return DataType::Of(TypeKind::kFloat);
    case LogicalTypeId::DOUBLE:
      return DataType::Of(TypeKind::kDouble);
    case LogicalTypeId::DECIMAL:
      return DataType::Decimal(duckdb::DecimalType::GetWidth(type),
                               duckdb::DecimalType::GetScale(type));
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_SEC:
    case LogicalTypeId::TIMESTAMP_MS:
    case LogicalTypeId::TIMESTAMP_NS:
    case LogicalTypeId::TIMESTAMP_TZ:
      return DataType::Of(TypeKind::kTimestamp);
    case LogicalTypeId::DATE:
      return DataType::Of(TypeKind::kDate);
    case LogicalTypeId::TIME:
      return DataType::Of(TypeKind::kTime);
    case LogicalTypeId::INTERVAL:
      return DataType::Of(TypeKind::kInterval);
    case LogicalTypeId::BLOB:
      return DataType::Of(TypeKind::kBytes);
    case LogicalTypeId::UUID:
      return DataType::Of(TypeKind::kUuid);
    case LogicalTypeId::ARRAY:
      if (duckdb::ArrayType::GetChildType(type).id() == LogicalTypeId::FLOAT &&
          duckdb::ArrayType::GetSize(type) <= kDimensionMax) {
        return DataType::Embedding(static_cast<uint16_t>(duckdb::ArrayType::GetSize(type)));
      }
      return DataType::Of(TypeKind::kJson);
    case LogicalTypeId::LIST:
    case LogicalTypeId::STRUCT:
    case LogicalTypeId::MAP:
    case LogicalTypeId::UNION:
      return DataType::Of(TypeKind::kJson);
    default:
      return DataType::Of(TypeKind::kText);
  }
}

duckdb::Value EngineValue(const Datum& value) {
  if (value.is_null)
    return duckdb::Value(value.kind == TypeKind::kEmbedding || value.kind == TypeKind::kNull
                             ? LogicalType(LogicalTypeId::SQLNULL)
                             : EngineType(DataType{value.kind, 38, value.scale, 0}));
  switch (value.kind) {
    case TypeKind::kBoolean:
      return duckdb::Value::BOOLEAN(value.boolean());
    case TypeKind::kSmallInt:
      return duckdb::Value::SMALLINT(static_cast<int16_t>(value.i));
    case TypeKind::kInt:
      return duckdb::Value::INTEGER(static_cast<int32_t>(value.i));
    case TypeKind::kBigInt:
      return duckdb::Value::BIGINT(value.i);
    case TypeKind::kFloat:
      return duckdb::Value::FLOAT(static_cast<float>(value.d));
    case TypeKind::kDouble:
      return duckdb::Value::DOUBLE(value.d);
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return duckdb::Value::TIMESTAMP(duckdb::timestamp_t(value.i));
    case TypeKind::kDate:
      return duckdb::Value::DATE(duckdb::date_t(static_cast<int32_t>(value.i)));
    case TypeKind::kTime:
      return duckdb::Value::TIME(duckdb::dtime_t(value.i));
    case TypeKind::kBytes:
      return duckdb::Value::BLOB(reinterpret_cast<duckdb::const_data_ptr_t>(value.data),
                                 value.size);
    case TypeKind::kEmbedding:
      return EmbeddingValue(value);
    case TypeKind::kUuid:
      return duckdb::Value::UUID(UuidFromBytes(value.data));
    case TypeKind::kDecimal:
      return duckdb::Value::DECIMAL(ToHugeInt(value.decimal()), 38, value.scale);
    case TypeKind::kInterval:
      return duckdb::Value::INTERVAL(value.interval.months, value.interval.days, value.interval.us);
    case TypeKind::kNull:
    case TypeKind::kText:
    case TypeKind::kJson:
    case TypeKind::kFile:
      break;
  }
  return duckdb::Value(std::string(value.text()));
}

bool ToOurValue(const duckdb::Value& value, Value* out) {
  if (value.IsNull()) return false;
  switch (value.type().id()) {
    case LogicalTypeId::BOOLEAN:
      *out = Value::Boolean(value.GetValueUnsafe<bool>());
      return true;
    case LogicalTypeId::SMALLINT:
      *out = Value(Datum::OfInt(TypeKind::kSmallInt, value.GetValueUnsafe<int16_t>()));
      return true;
    case LogicalTypeId::INTEGER:
      *out = Value(Datum::OfInt(TypeKind::kInt, value.GetValueUnsafe<int32_t>()));
      return true;
    case LogicalTypeId::BIGINT:
      *out = Value::BigInt(value.GetValueUnsafe<int64_t>());
      return true;
    case LogicalTypeId::DOUBLE:
      *out = Value::Double(value.GetValueUnsafe<double>());
      return true;
    case LogicalTypeId::TIMESTAMP:
      *out = Value(
          Datum::OfInt(TypeKind::kTimestamp, value.GetValueUnsafe<duckdb::timestamp_t>().value));
      return true;
    case LogicalTypeId::DATE:
      *out = Value(Datum::OfInt(TypeKind::kDate, value.GetValueUnsafe<duckdb::date_t>().days));
      return true;
    case LogicalTypeId::VARCHAR:
      *out = Value::Text(duckdb::StringValue::Get(value));
      return true;
    case LogicalTypeId::UUID: {
      char bytes[16];
      UuidToBytes(value.GetValueUnsafe<duckdb::hugeint_t>(), bytes);
      *out = Value(Datum::Bytes(TypeKind::kUuid, {bytes, sizeof(bytes)}));
      return true;
    }
    default:
      return false;
  }
}

void AppendNestedJson(const duckdb::Value& value, std::string* out) {
  if (value.IsNull()) {
    *out += "null";
    return;
  }
  const LogicalType& type = value.type();
  switch (type.id()) {
    case LogicalTypeId::LIST:
    case LogicalTypeId::ARRAY: {
      const auto& elements = type.id() == LogicalTypeId::LIST
                                 ? duckdb::ListValue::GetChildren(value)
                                 : duckdb::ArrayValue::GetChildren(value);
      *out += '[';
      for (size_t i = 0; i < elements.size(); ++i) {
        if (i > 0) *out += ',';
        AppendNestedJson(elements[i], out);
      }
      *out += ']';
      return;
    }
    case LogicalTypeId::STRUCT: {
      const auto& members = duckdb::StructValue::GetChildren(value);
      *out += '{';
      for (size_t i = 0; i < members.size(); ++i) {
        if (i > 0) *out += ',';
        AppendJsonString(duckdb::StructType::GetChildName(type, i), out);
        *out += ':';
        AppendNestedJson(members[i], out);
      }
      *out += '}';
      return;
    }
    case LogicalTypeId::MAP: {
      const auto& entries = duckdb::MapValue::GetChildren(value);
      *out += '{';
      for (size_t i = 0; i < entries.size(); ++i) {
        const auto& entry = duckdb::StructValue::GetChildren(entries[i]);
        if (i > 0) *out += ',';
        AppendJsonString(entry[0].ToString(), out);
        *out += ':';
        AppendNestedJson(entry[1], out);
      }
      *out += '}';
      return;
    }
    default:
      break;
  }
  if (type.id() == LogicalTypeId::BOOLEAN || type.IsNumeric()) {
    const std::string text = value.ToString();
    const bool finite = text.find_first_of("in") == std::string::npos;  // "inf", "-inf", "nan"
    *out += type.id() == LogicalTypeId::BOOLEAN || finite ? text : "null";
  } else {
    AppendJsonString(value.ToString(), out);
  }
}

duckdb::hugeint_t UuidFromBytes(const char* bytes) {
  return duckdb::BaseUUID::FromBlob(reinterpret_cast<duckdb::const_data_ptr_t>(bytes));
}

void UuidToBytes(duckdb::hugeint_t uuid, char* bytes) {
  duckdb::BaseUUID::ToBlob(uuid, reinterpret_cast<duckdb::data_ptr_t>(bytes));
}

}  // namespace kalam::analytics
