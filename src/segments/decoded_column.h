// The values of one column of one row group, as they are kept in memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kalam::segments {

/// Values by row. Either of one width, one behind the other, or runs of bytes: `heap` holds each
/// as Parquet does, behind its length in 4 bytes, and rows that repeat a dictionary's value share
/// one copy. Immutable once made.
class DecodedColumn {
 public:
  /// `width` 0: runs of bytes.
  DecodedColumn(uint32_t width, std::vector<char> heap, std::vector<uint32_t> offsets,
                std::vector<bool> nulls, size_t row_count)
      : width_(width),
        row_count_(row_count),
        heap_(std::move(heap)),
        offsets_(std::move(offsets)),
        nulls_(std::move(nulls)) {}

  size_t row_count() const { return row_count_; }
  bool has_nulls() const { return !nulls_.empty(); }
  bool is_null(size_t row) const { return !nulls_.empty() && nulls_[row]; }
  /// The bytes of a value that is not NULL; for numbers little-endian as in the file.
  std::string_view bytes(size_t row) const {
    if (width_ != 0) return {heap_.data() + row * width_, width_};
    const char* at = heap_.data() + offsets_[row];
    uint32_t size;
    std::memcpy(&size, at, sizeof size);
    return {at + sizeof size, size};
  }
  template <typename T>
  T number(size_t row) const {
    T value;
    std::memcpy(&value, heap_.data() + row * sizeof value, sizeof value);
    return value;
  }
  uint32_t width() const { return width_; }
  size_t memory_bytes() const {
    return sizeof *this + heap_.capacity() + offsets_.capacity() * sizeof(uint32_t) +
           nulls_.capacity() / 8;
  }

 private:
  uint32_t width_;
  size_t row_count_;
  std::vector<char> heap_;
  std::vector<uint32_t> offsets_;  // into heap_, of the lengths; only without a width
  std::vector<bool> nulls_;        // empty: no value is NULL
};

using DecodedColumnPtr = std::shared_ptr<const DecodedColumn>;

}  // namespace kalam::segments
