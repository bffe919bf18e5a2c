// The row codec: the cells of one row as bytes, and back.
//
//   row   := count:varint  nulls:ceil(count/8) bytes  cell*        (bit i of `nulls` set: cell i is NULL and takes no bytes)
//   cell  := fixed little-endian bytes of the type | length:varint bytes
//
// Fixed widths: BOOLEAN 1, SMALLINT 2, INT 4, DATE 4, FLOAT 4, BIGINT/DOUBLE/TIMESTAMP/DATETIME/TIME 8, UUID 16,
// DECIMAL 16 (unscaled), EMBEDDING 4 x dimension; TEXT, JSON, FILE, BYTES carry a length.
// Cells stand in the order of the RowLayout, which belongs to one schema version and never changes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "types/value.h"

namespace kalam {

/// The stored cells of one schema version, in storage order.
struct RowLayout {
  struct Cell {
    uint32_t column_id;
    DataType type;
    bool operator==(const Cell&) const = default;
  };
  std::vector<Cell> cells;
  bool operator==(const RowLayout&) const = default;
};

/// Appends the encoded row. `cells.size() == layout.cells.size()`; kinds match the layout or are NULL.
void EncodeRow(const RowLayout& layout, std::span<const Datum> cells, std::string* out);

/// Decodes `row` into `cells` (resized to the layout); byte-like cells point into `row`.
/// Errors: Corruption (never reads outside `row`, whatever the bytes).
Status DecodeRow(const RowLayout& layout, std::string_view row, std::vector<Datum>* cells);

/// Decodes only the cells `0..cell_count-1`; the rest of `cells` is untouched.
Status DecodeRowPrefix(const RowLayout& layout, std::string_view row, size_t cell_count, std::vector<Datum>* cells);

/// A few cells of a row with their positions, for old values in change records:
///   sparse := count:varint (position:varint null:byte cell?)*
void EncodeSparseRow(const RowLayout& layout, std::span<const uint32_t> positions, std::span<const Datum> cells,
                     std::string* out);
struct SparseCell {
  uint32_t position;
  Datum value;
};
Result<std::vector<SparseCell>> DecodeSparseRow(const RowLayout& layout, std::string_view bytes);

/// LEB128, for the records built on top.
void PutVarint(std::string* out, uint64_t value);
/// Reads one varint from the front of `in` and drops it; false when `in` ends early or the number is over 64 bits.
[[nodiscard]] bool GetVarint(std::string_view* in, uint64_t* value);

}  // namespace kalam
