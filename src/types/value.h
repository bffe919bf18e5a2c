// Datum, a value that points at bytes somebody else owns, and Value, one that owns them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "types/data_type.h"

namespace kalam {

/// One SQL value, 24 bytes, trivially copyable. Text and bytes are a view: the row buffer, Arena or Value it came from
/// must outlive it. Representation by kind: kBoolean/integers/temporal in `i`; kFloat (widened) and kDouble in `d`;
/// kDecimal as a 128-bit unscaled value; byte-like kinds in `data`/`size`; kInterval in `interval`.
struct Datum {
  TypeKind kind = TypeKind::kNull;
  bool is_null = true;
  uint8_t scale = 0;   // kDecimal
  uint32_t size = 0;   // byte-like kinds
  struct Interval {
    int32_t months;
    int32_t days;
    int64_t us;
  };
  struct Wide {
    uint64_t low;
    int64_t high;
  };
  union {
    int64_t i;
    double d;
    const char* data;
    Wide wide;
    Interval interval;
  };

  Datum() : wide{0, 0} {}
  static Datum Null(TypeKind kind = TypeKind::kNull) {
    Datum datum;
    datum.kind = kind;
    return datum;
  }
  static Datum OfInt(TypeKind kind, int64_t value) {
    Datum datum = Null(kind);
    datum.is_null = false;
    datum.i = value;
    return datum;
  }
  static Datum BigInt(int64_t value) { return OfInt(TypeKind::kBigInt, value); }
  static Datum Boolean(bool value) { return OfInt(TypeKind::kBoolean, value ? 1 : 0); }
  static Datum Double(double value) {
    Datum datum = Null(TypeKind::kDouble);
    datum.is_null = false;
    datum.d = value;
    return datum;
  }
  static Datum Bytes(TypeKind kind, std::string_view bytes) {
    Datum datum = Null(kind);
    datum.is_null = false;
    datum.data = bytes.data();
    datum.size = static_cast<uint32_t>(bytes.size());
    return datum;
  }
  static Datum Text(std::string_view text) { return Bytes(TypeKind::kText, text); }
  static Datum Decimal(__int128 unscaled, uint8_t scale) {
    Datum datum = Null(TypeKind::kDecimal);
    datum.is_null = false;
    datum.scale = scale;
    datum.wide = {static_cast<uint64_t>(unscaled), static_cast<int64_t>(unscaled >> 64)};
    return datum;
  }
  static Datum OfInterval(int32_t months, int32_t days, int64_t us) {
    Datum datum = Null(TypeKind::kInterval);
    datum.is_null = false;
    datum.interval = {months, days, us};
    return datum;
  }

  bool boolean() const { return i != 0; }
  std::string_view text() const { return {data, size}; }
  __int128 decimal() const { return (static_cast<__int128>(wide.high) << 64) | wide.low; }
};
static_assert(sizeof(Datum) == 24);

/// An owning value: literals, parameters, defaults, constants of plans. Copyable.
class Value {
 public:
  Value() = default;
  explicit Value(const Datum& datum);

  static Value Null(TypeKind kind = TypeKind::kNull) { return Value(Datum::Null(kind)); }
  static Value BigInt(int64_t value) { return Value(Datum::BigInt(value)); }
  static Value Boolean(bool value) { return Value(Datum::Boolean(value)); }
  static Value Double(double value) { return Value(Datum::Double(value)); }
  static Value Text(std::string_view text) { return Value(Datum::Text(text)); }

  /// A view that is valid while this Value lives and is not assigned to.
  Datum datum() const;
  bool is_null() const { return datum_.is_null; }
  TypeKind kind() const { return datum_.kind; }
  /// Equal kind, nullness and bytes (not SQL equality).
  bool operator==(const Value& other) const;
  size_t heap_bytes() const { return bytes_.capacity() > 15 ? bytes_.capacity() + 1 : 0; }

 private:
  Datum datum_;
  std::string bytes_;  // the bytes of byte-like kinds
};

/// Owns bytes that Datums point at: for values computed while one row or statement is worked on.
/// Not thread-safe. `Reset` keeps the first block.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  char* Allocate(size_t size);
  std::string_view Copy(std::string_view bytes);
  void Reset();
  size_t reserved_bytes() const { return reserved_bytes_; }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t block_size_ = 0;        // of blocks_.back()
  size_t first_block_size_ = 0;  // of blocks_.front()
  size_t used_ = 0;              // within blocks_.back()
  size_t reserved_bytes_ = 0;
};

}  // namespace kalam
