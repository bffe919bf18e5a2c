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

 private:
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
