// Which kinds of keys are numbers, and their way there and back.
#include "segments/number_keys.h"

#include <vector>

#include "types/key_codec.h"

namespace kalam::segments {

bool HasNumberKeys(const SegmentFile& file) {
  const SegmentColumns& columns = file.columns;
  if (columns.user_column) return false;
  switch (columns.cells[columns.pk_cell].type.kind) {
    case TypeKind::kSmallInt:
    case TypeKind::kInt:
    case TypeKind::kBigInt:
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return true;
    default:
      return false;
  }
}

std::shared_ptr<const PackedNumbers> PackKeys(const SegmentFile& file, const DecodedColumn& keys) {
  const SegmentColumns::Cell& cell = file.columns.cells[file.columns.pk_cell];
  std::vector<int64_t> numbers(keys.row_count());
  for (size_t row = 0; row < numbers.size(); ++row) numbers[row] = CellValue(cell, keys, row).i;
  return PackedNumbers::Pack(numbers);
}

std::optional<size_t> FindKey(const PackedNumbers& keys, TypeKind kind, std::string_view encoded_pk,
                              size_t begin) {
  Arena arena;
  const Result<Datum> key = DecodeKey(DataType::Of(kind), &encoded_pk, &arena);
  if (!key.ok() || !encoded_pk.empty()) return std::nullopt;  // a key of another type
  const size_t place = keys.LowerBound(key->i, begin);
  if (place == keys.size() || keys.At(place) != key->i) return std::nullopt;
  return place;
}

}  // namespace kalam::segments
