// Unpacking of runs and packed bits.
#include "segments/parquet_levels.h"

#include <algorithm>
#include <cstring>

#include "types/row_codec.h"

namespace kalam::segments {
namespace {

constexpr size_t kValuesPerPackedGroup = 8;

/// `width` bits (at most 32) from bit `at` on; the caller has checked that they are there.
uint32_t Bits(std::string_view bytes, size_t at, int width) {
  uint64_t word = 0;
  const size_t first = at / 8;
  std::memcpy(&word, bytes.data() + first, std::min(sizeof word, bytes.size() - first));
  word >>= at % 8;
  return static_cast<uint32_t>(word & ((uint64_t{1} << width) - 1));
}

}  // namespace

bool HybridReader::NextRun() {
  uint64_t header = 0;
  if (!GetVarint(&rest_, &header)) return false;
  const uint64_t count = header >> 1;
  if (count == 0 || count > UINT32_MAX) return false;
  if ((header & 1) == 0) {
    const size_t bytes = (static_cast<size_t>(bit_width_) + 7) / 8;
    if (rest_.size() < bytes) return false;
    repeated_ = 0;
    std::memcpy(&repeated_, rest_.data(), bytes);
    rest_.remove_prefix(bytes);
    repeated_left_ = count;
    return true;
  }
  const size_t bytes = count * static_cast<size_t>(bit_width_);
  // The last group of a page may be cut off behind its last value.
  packed_ = rest_.substr(0, std::min(bytes, rest_.size()));
  rest_.remove_prefix(packed_.size());
  packed_bit_ = 0;
  packed_left_ = count * kValuesPerPackedGroup;
  return true;
}

bool HybridReader::HasNext() {
  if (repeated_left_ == 0 && packed_left_ == 0 && !NextRun()) return false;
  return repeated_left_ > 0 || packed_bit_ + static_cast<size_t>(bit_width_) <= packed_.size() * 8;
}

uint32_t HybridReader::TakePacked() {
  const uint32_t value = bit_width_ == 0 ? 0 : Bits(packed_, packed_bit_, bit_width_);
  packed_bit_ += static_cast<size_t>(bit_width_);
  --packed_left_;
  return value;
}

bool HybridReader::Count(size_t count, uint32_t value, size_t* equal) {
  *equal = 0;
  while (count > 0) {
    if (!HasNext()) return false;
    if (repeated_left_ > 0) {
      const size_t taken = std::min(count, repeated_left_);
      if (repeated_ == value) *equal += taken;
      repeated_left_ -= taken;
      count -= taken;
    } else {
      if (TakePacked() == value) ++*equal;
      --count;
    }
  }
  return true;
}

bool HybridReader::Find(size_t count, uint32_t value, size_t limit, size_t* passed) {
  *passed = 0;
  while (count > 0) {
    if (*passed == limit || !HasNext()) return false;
    if (repeated_left_ > 0) {
      const size_t wanted = repeated_ == value ? count : repeated_left_;
      const size_t taken = std::min({wanted, repeated_left_, limit - *passed});
      if (repeated_ == value) count -= taken;
      repeated_left_ -= taken;
      *passed += taken;
    } else {
      if (TakePacked() == value) --count;
      ++*passed;
    }
  }
  return true;
}

bool HybridReader::Read(uint32_t* out, size_t count) {
  while (count > 0) {
    if (repeated_left_ > 0) {
      const size_t taken = std::min(count, repeated_left_);
      std::fill_n(out, taken, repeated_);
      out += taken;
      count -= taken;
      repeated_left_ -= taken;
      continue;
    }
    if (packed_left_ == 0) {
      if (!NextRun()) return false;
      continue;
    }
    const size_t taken = std::min(count, packed_left_);
    const auto width = static_cast<size_t>(bit_width_);
    if (packed_bit_ + taken * width > packed_.size() * 8) return false;
    for (size_t i = 0; i < taken; ++i, packed_bit_ += width) {
      out[i] = width == 0 ? 0 : Bits(packed_, packed_bit_, bit_width_);
    }
    out += taken;
    count -= taken;
    packed_left_ -= taken;
  }
  return true;
}

}  // namespace kalam::segments
