// Encoding and decoding of rows; the decoder trusts no byte it has not measured.
#include "types/row_codec.h"

#include <cstring>

#include "base/check.h"

namespace kalam {
namespace {

constexpr uint32_t kLengthPrefixed = UINT32_MAX;

/// Bytes of a fixed-width cell, or kLengthPrefixed.
inline uint32_t CellWidth(const DataType& type) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      return 1;
    case TypeKind::kSmallInt:
      return 2;
    case TypeKind::kInt:
    case TypeKind::kDate:
    case TypeKind::kFloat:
      return 4;
    case TypeKind::kBigInt:
    case TypeKind::kDouble:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
    case TypeKind::kTime:
      return 8;
    case TypeKind::kUuid:
    case TypeKind::kDecimal:
      return 16;
    case TypeKind::kEmbedding:
      return uint32_t{4} * type.dimension;
    default:
      return kLengthPrefixed;
  }
}

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);  // the machine is little-endian, as the format is
  return value;
}

template <typename T>
void Append(T value, std::string* out) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out->append(bytes, sizeof value);
}

const char* ReadVarint(const char* at, const char* end, uint64_t* value) {
  if (at < end && !(*at & 0x80)) {
    *value = static_cast<uint8_t>(*at);
    return at + 1;
  }
  uint64_t result = 0;
  for (int shift = 0; shift < 64 && at < end; shift += 7) {
    uint64_t byte = static_cast<uint8_t>(*at++);
    if (shift == 63 && byte > 1) return nullptr;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return at;
    }
  }
  return nullptr;
}

/// Reads one cell at `at` into `cell`; null when it does not fit before `end`.
inline const char* ReadCell(const DataType& type, const char* at, const char* end, Datum* cell) {
  uint32_t width = CellWidth(type);
  if (width == kLengthPrefixed) {
    uint64_t size = 0;
    at = ReadVarint(at, end, &size);
    if (at == nullptr || size > static_cast<uint64_t>(end - at)) return nullptr;
    width = static_cast<uint32_t>(size);
    *cell = Datum::Bytes(type.kind, {at, width});
    return at + width;
  }
  if (width > static_cast<uint64_t>(end - at)) return nullptr;
  cell->kind = type.kind;
  cell->is_null = false;
  switch (type.kind) {
    case TypeKind::kBoolean:
      cell->i = *at != 0;
      break;
    case TypeKind::kSmallInt:
      cell->i = Load<int16_t>(at);
      break;
    case TypeKind::kInt:
    case TypeKind::kDate:
      cell->i = Load<int32_t>(at);
      break;
    case TypeKind::kFloat:
      cell->d = Load<float>(at);
      break;
    case TypeKind::kDecimal:
      cell->scale = type.scale;
      cell->wide = {Load<uint64_t>(at), Load<int64_t>(at + 8)};
      break;
    case TypeKind::kUuid:
    case TypeKind::kEmbedding:
      cell->data = at;
      cell->size = width;
      break;
    default:
      cell->i = Load<int64_t>(at);
      break;
  }
  return at + width;
}

void AppendCell(const DataType& type, const Datum& cell, std::string* out) {
  switch (type.kind) {
    case TypeKind::kBoolean:
      out->push_back(cell.boolean() ? 1 : 0);
      return;
    case TypeKind::kSmallInt:
      Append(static_cast<int16_t>(cell.i), out);
      return;
    case TypeKind::kInt:
    case TypeKind::kDate:
      Append(static_cast<int32_t>(cell.i), out);
      return;
    case TypeKind::kFloat:
      Append(static_cast<float>(cell.d), out);
      return;
    case TypeKind::kDecimal:
      Append(cell.wide.low, out);
      Append(cell.wide.high, out);
      return;
    case TypeKind::kUuid:
    case TypeKind::kEmbedding:
      KALAM_CHECK(cell.size == CellWidth(type));
      out->append(cell.text());
      return;
    default:
      break;
  }
  if (CellWidth(type) == kLengthPrefixed) {
    PutVarint(out, cell.size);
    out->append(cell.text());
  } else {
    Append(cell.i, out);
  }
}

Status Malformed() { return Status(ErrorKind::Corruption, "a stored row is malformed"); }

}  // namespace

void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

bool GetVarint(std::string_view* in, uint64_t* value) {
  const char* end = in->data() + in->size();
  const char* rest = ReadVarint(in->data(), end, value);
  if (rest == nullptr) return false;
  *in = {rest, static_cast<size_t>(end - rest)};
  return true;
}

void EncodeRow(const RowLayout& layout, std::span<const Datum> cells, std::string* out) {
  KALAM_CHECK(cells.size() == layout.cells.size());
  PutVarint(out, cells.size());
  size_t nulls_at = out->size();
  out->append((cells.size() + 7) / 8, '\0');
  for (size_t i = 0; i < cells.size(); ++i) {
    const Datum& cell = cells[i];
    if (cell.is_null) {
      char& byte = (*out)[nulls_at + i / 8];
      byte = static_cast<char>(byte | 1 << i % 8);
      continue;
    }
    KALAM_CHECK(cell.kind == layout.cells[i].type.kind);
    AppendCell(layout.cells[i].type, cell, out);
  }
}

Status DecodeRow(const RowLayout& layout, std::string_view row, std::vector<Datum>* cells) {
  return DecodeRowPrefix(layout, row, layout.cells.size(), cells);
}

Status DecodeRowPrefix(const RowLayout& layout, std::string_view row, size_t cell_count,
                       std::vector<Datum>* cells) {
  const char* at = row.data();
  const char* end = at + row.size();
  uint64_t count = 0;
  at = ReadVarint(at, end, &count);
  if (at == nullptr || count != layout.cells.size() || cell_count > count) return Malformed();
  size_t nulls_size = (count + 7) / 8;
  if (nulls_size > static_cast<size_t>(end - at)) return Malformed();
  const char* nulls = at;
  at += nulls_size;
  cells->resize(count);
  Datum* cell = cells->data();
  for (size_t i = 0; i < cell_count; ++i, ++cell) {
    const DataType& type = layout.cells[i].type;
    if (nulls[i / 8] >> i % 8 & 1) {
      *cell = Datum::Null(type.kind);
      continue;
    }
    at = ReadCell(type, at, end, cell);
    if (at == nullptr) return Malformed();
  }
  return Status::Ok();
}

void EncodeSparseRow(const RowLayout& layout, std::span<const uint32_t> positions,
                     std::span<const Datum> cells, std::string* out) {
  KALAM_CHECK(positions.size() == cells.size());
  PutVarint(out, positions.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    KALAM_CHECK(positions[i] < layout.cells.size());
    PutVarint(out, positions[i]);
    out->push_back(cells[i].is_null ? 1 : 0);
    if (!cells[i].is_null) AppendCell(layout.cells[positions[i]].type, cells[i], out);
  }
}

Result<std::vector<SparseCell>> DecodeSparseRow(const RowLayout& layout, std::string_view bytes) {
  std::vector<SparseCell> sparse;
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  uint64_t count = 0;
  if (bytes.empty()) return sparse;  // an insert has no old cells
  at = ReadVarint(at, end, &count);
  if (at == nullptr || count > layout.cells.size()) return Malformed();
  sparse.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t position = 0;
    at = ReadVarint(at, end, &position);
    if (at == nullptr || position >= layout.cells.size() || at == end) return Malformed();
    const DataType& type = layout.cells[position].type;
    SparseCell& cell = sparse.emplace_back();
    cell.position = static_cast<uint32_t>(position);
    if (*at++ != 0) {
      cell.value = Datum::Null(type.kind);
      continue;
    }
    at = ReadCell(type, at, end, &cell.value);
    if (at == nullptr) return Malformed();
  }
  return sparse;
}

}  // namespace kalam
