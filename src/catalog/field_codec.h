// The fields that records of the catalog, of jobs and of the audit trail are made of.
//
//   record := version:1 (1) field*      field := varint | zigzag varint | length:varint bytes
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "types/row_codec.h"
#include "types/value.h"

namespace kalam::catalog {

inline constexpr char kRecordVersion = 1;

/// Appends fields to a record. Not thread-safe.
class FieldWriter {
 public:
  FieldWriter() { bytes_.push_back(kRecordVersion); }
  void Number(uint64_t value) { PutVarint(&bytes_, value); }
  void Signed(int64_t value) {
    Number((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  void Text(std::string_view text) {
    Number(text.size());
    bytes_.append(text);
  }
  void OptionalTime(const std::optional<int64_t>& time) {
    Number(time.has_value() ? 1 : 0);
    if (time) Signed(*time);
  }
  void Type(const DataType& type) {
    Number(static_cast<uint64_t>(type.kind));
    Number(type.precision);
    Number(type.scale);
    Number(type.dimension);
  }
  void Literal(const Value& value) {
    const Datum datum = value.datum();
    Number(static_cast<uint64_t>(datum.kind));
    Number(datum.is_null ? 1 : 0);
    if (datum.is_null) return;
    Number(datum.scale);
    if (DataType::Of(datum.kind).is_bytes_like()) {
      Text(datum.text());
    } else {
      // Every other kind is held in the 16 bytes of the union.
      Number(datum.wide.low);
      Signed(HasWideBytes(datum.kind) ? datum.wide.high : 0);
    }
  }
  std::string Take() { return std::move(bytes_); }

 private:
  static bool HasWideBytes(TypeKind kind) {
    return kind == TypeKind::kDecimal || kind == TypeKind::kInterval;
  }
  std::string bytes_;
};

/// Reads what FieldWriter wrote; after the first short read everything is empty and `ok` is false.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {
    if (rest_.empty() || rest_.front() != kRecordVersion) {
      ok_ = false;
    } else {
      rest_.remove_prefix(1);
    }
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return rest_.empty(); }

  uint64_t Number() {
    uint64_t value = 0;
    if (!ok_ || !GetVarint(&rest_, &value)) {
      ok_ = false;
      return 0;
    }
    return value;
  }
  template <typename T>
  T Enum(uint64_t last) {
    const uint64_t value = Number();
    if (value > last) ok_ = false;
    return static_cast<T>(ok_ ? value : 0);
  }
  int64_t Signed() {
    const uint64_t value = Number();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  /// How many elements follow; never more than there are bytes left, so that a bad count cannot
  /// allocate much.
  size_t Count() {
    const uint64_t count = Number();
    if (count > rest_.size()) ok_ = false;
    return ok_ ? static_cast<size_t>(count) : 0;
  }
  std::string Text() {
    const uint64_t size = Number();
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  std::optional<int64_t> OptionalTime() {
    if (Number() == 0) return std::nullopt;
    return Signed();
  }
  DataType Type() {
    DataType type;
    type.kind = Enum<TypeKind>(static_cast<uint64_t>(TypeKind::kInterval));
    type.precision = Enum<uint8_t>(UINT8_MAX);
    type.scale = Enum<uint8_t>(UINT8_MAX);
    type.dimension = Enum<uint16_t>(UINT16_MAX);
    return type;
  }
  Value Literal() {
    const TypeKind kind = Enum<TypeKind>(static_cast<uint64_t>(TypeKind::kInterval));
    if (Number() != 0) return Value::Null(kind);
    Datum datum = Datum::Null(kind);
    datum.is_null = false;
    datum.scale = Enum<uint8_t>(UINT8_MAX);
    if (DataType::Of(kind).is_bytes_like()) {
      const std::string bytes = Text();
      return Value(Datum::Bytes(kind, bytes));
    }
    datum.wide.low = Number();
    datum.wide.high = Signed();
    return ok_ ? Value(datum) : Value();
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace kalam::catalog
