// Our types and values in the engine's form, and back.
#pragma once

#include <duckdb/common/types.hpp>
#include <duckdb/common/types/value.hpp>
#include <string>

#include "types/data_type.h"
#include "types/value.h"

namespace kalam::analytics {

/// The engine's type for a column of ours; an untyped one is text.
duckdb::LogicalType EngineType(const DataType& type);

/// Our type for a result column of the engine's. Integers beyond 64 bits become BIGINT (cells that
/// do not fit are errors), lists and structures JSON text, whatever we have no type for text.
DataType ResultType(const duckdb::LogicalType& type);

/// A constant: parameters.
duckdb::Value EngineValue(const Datum& value);

/// The other way, for a constant that ResultType maps without loss. False when there is no such
/// value of ours.
bool ToOurValue(const duckdb::Value& value, Value* out);

/// A list, array, structure or map as JSON.
void AppendNestedJson(const duckdb::Value& value, std::string* out);

/// Two halves of the engine's 128-bit integer as ours, and back.
inline __int128 FromHugeInt(duckdb::hugeint_t value) {
  return (static_cast<__int128>(value.upper) << 64) | value.lower;
}
inline duckdb::hugeint_t ToHugeInt(__int128 value) {
  return duckdb::hugeint_t(static_cast<int64_t>(value >> 64), static_cast<uint64_t>(value));
}
/// 16 bytes in network order as the engine keeps a UUID, and back.
duckdb::hugeint_t UuidFromBytes(const char* bytes);
void UuidToBytes(duckdb::hugeint_t uuid, char* bytes);

}  // namespace kalam::analytics
