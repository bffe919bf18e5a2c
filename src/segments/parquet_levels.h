// The hybrid of runs and packed bits in which Parquet writes levels, dictionary indexes and
// booleans.
#pragma once

#include <cstdint>
#include <string_view>

namespace kalam::segments {

/// Gives out small numbers one run at a time; never reads outside of its bytes. Not thread-safe.
class HybridReader {
 public:
  /// `bit_width` at most 32.
  HybridReader(std::string_view bytes, int bit_width) : rest_(bytes), bit_width_(bit_width) {}

  /// Writes the next `count` values; false when the bytes end before.
  [[nodiscard]] bool Read(uint32_t* out, size_t count);
  /// Passes over `count` values and tells how many of them are `value`; false when the bytes end
  /// before.
  [[nodiscard]] bool Count(size_t count, uint32_t value, size_t* equal);
  /// Passes over the values up to and with the `count`th that is `value`, and tells how many that
  /// were; false when the bytes, or the next `limit` values, end before.
  [[nodiscard]] bool Find(size_t count, uint32_t value, size_t limit, size_t* passed);

 private:
  /// Makes sure that a run is there whose next value can be taken.
  bool HasNext();
  uint32_t TakePacked();

  bool NextRun();

  std::string_view rest_;
  int bit_width_;
  size_t repeated_left_ = 0;  // values left of a run of one value
  uint32_t repeated_ = 0;
  size_t packed_left_ = 0;  // values left of a run of packed bits
  std::string_view packed_;
  size_t packed_bit_ = 0;
};

}  // namespace kalam::segments
