// The data types of columns and results, their SQL names and their form on the wire.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam {

/// Values are the tags on disk: never renumber, never reuse (spec: sql.md 3.1).
enum class TypeKind : uint8_t {
  kNull = 0x00,  // an untyped NULL; no column has it
  kBoolean = 0x01,
  kInt = 0x02,
  kBigInt = 0x03,
  kDouble = 0x04,
  kFloat = 0x05,
  kText = 0x06,
  kTimestamp = 0x07,  // microseconds since the Unix epoch, UTC, without a zone
  kDate = 0x08,       // days since 1970-01-01
  kDateTime = 0x09,   // microseconds since the Unix epoch, UTC
  kTime = 0x0A,       // microseconds since midnight
  kJson = 0x0B,       // text, not validated
  kBytes = 0x0C,
  kEmbedding = 0x0D,  // `dimension` float32, little-endian
  kUuid = 0x0E,       // 16 bytes
  kDecimal = 0x0F,    // 128-bit unscaled value with `scale`
  kSmallInt = 0x10,
  kFile = 0x11,      // text: a FileRef as JSON
  kInterval = 0x20,  // computed only: months, days, microseconds
};

/// A type with its parameters. A value; compares by content.
struct DataType {
  TypeKind kind = TypeKind::kNull;
  uint8_t precision = 0;   // kDecimal: 1..38
  uint8_t scale = 0;       // kDecimal: 0..precision
  uint16_t dimension = 0;  // kEmbedding: 1..8192
  bool operator==(const DataType&) const = default;

  static DataType Of(TypeKind kind) { return {kind}; }
  static DataType Decimal(uint8_t precision, uint8_t scale) { return {TypeKind::kDecimal, precision, scale, 0}; }
  static DataType Embedding(uint16_t dimension) { return {TypeKind::kEmbedding, 0, 0, dimension}; }

  bool is_integer() const {
    return kind == TypeKind::kSmallInt || kind == TypeKind::kInt || kind == TypeKind::kBigInt;
  }
  bool is_numeric() const {
    return is_integer() || kind == TypeKind::kFloat || kind == TypeKind::kDouble || kind == TypeKind::kDecimal;
  }
  bool is_text() const {
    return kind == TypeKind::kText || kind == TypeKind::kJson || kind == TypeKind::kFile;
  }
  /// kText, kJson, kFile, kBytes, kEmbedding, kUuid: the value is a run of bytes.
  bool is_bytes_like() const {
    return is_text() || kind == TypeKind::kBytes || kind == TypeKind::kEmbedding || kind == TypeKind::kUuid;
  }
  bool is_temporal() const {
    return kind == TypeKind::kTimestamp || kind == TypeKind::kDateTime || kind == TypeKind::kDate ||
           kind == TypeKind::kTime;
  }
};

/// The canonical SQL name: `BIGINT`, `DECIMAL(10, 2)`, `EMBEDDING(384)`.
std::string SqlName(const DataType& type);
/// The wire form: `"BigInt"`, `{"Decimal":{"precision":10,"scale":2}}` (spec: wire.md 1.9), as JSON text.
std::string WireJson(const DataType& type);

/// A type as written in SQL: its name in any case, up to two modifiers (`-1` when absent), and whether `[]` followed.
struct TypeSpelling {
  std::string name;  // "double precision", "varchar", "timestamp with time zone", ...
  int64_t modifiers[2] = {-1, -1};
  bool is_array = false;
};
/// Maps every spelling of sql.md 3.1. Errors: InvalidSql with the spec's texts (dimension, precision, unsupported type).
Result<DataType> DataTypeFromSql(const TypeSpelling& spelling);
/// `SERIAL`, `SMALLSERIAL`, `BIGSERIAL` and their numbered forms: DEFAULT SNOWFLAKE_ID().
bool IsSerialTypeName(std::string_view name);

}  // namespace kalam
