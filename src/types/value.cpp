// Owning values and the arena that computed bytes live in.
#include "types/value.h"

#include <algorithm>

namespace kalam {
namespace {

constexpr size_t kFirstBlockBytes = 512;
constexpr size_t kBlockBytesMax = 64 << 10;

bool IsBytesLike(const Datum& datum) {
  return !datum.is_null && DataType::Of(datum.kind).is_bytes_like();
}

}  // namespace

Value::Value(const Datum& datum) : datum_(datum) {
  if (!IsBytesLike(datum)) return;
  bytes_.assign(datum.data, datum.size);
  datum_.data = nullptr;  // datum() points it at bytes_, wherever this Value has been moved to
}

Datum Value::datum() const {
  Datum datum = datum_;
  if (IsBytesLike(datum)) datum.data = bytes_.data();
  return datum;
}

bool Value::operator==(const Value& other) const {
  if (datum_.kind != other.datum_.kind || datum_.is_null != other.datum_.is_null) return false;
  if (datum_.is_null) return true;
  switch (datum_.kind) {
    case TypeKind::kDecimal:
      return datum_.scale == other.datum_.scale && datum_.decimal() == other.datum_.decimal();
    case TypeKind::kInterval:
      return datum_.interval.months == other.datum_.interval.months &&
             datum_.interval.days == other.datum_.interval.days &&
             datum_.interval.us == other.datum_.interval.us;
    default:
      break;
  }
  if (IsBytesLike(datum_)) return bytes_ == other.bytes_;
  return datum_.i == other.datum_.i;
}

char* Arena::Allocate(size_t size) {
  if (blocks_.empty() || block_size_ - used_ < size) {
    size_t doubled = blocks_.empty() ? kFirstBlockBytes : std::min(block_size_ * 2, kBlockBytesMax);
    block_size_ = std::max(doubled, size);
    blocks_.push_back(std::unique_ptr<char[]>(std::make_unique_for_overwrite<char[]>(block_size_)));
    if (blocks_.size() == 1) first_block_size_ = block_size_;
    reserved_bytes_ += block_size_;
    used_ = 0;
  }
  char* start = blocks_.back().get() + used_;
  used_ += size;
  return start;
}

std::string_view Arena::Copy(std::string_view bytes) {
  char* copy = Allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy);
  return {copy, bytes.size()};
}

void Arena::Reset() {
  if (blocks_.empty()) return;
  blocks_.resize(1);
  block_size_ = first_block_size_;
  reserved_bytes_ = first_block_size_;
  used_ = 0;
}

}  // namespace kalam
