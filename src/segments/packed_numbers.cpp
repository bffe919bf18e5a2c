// Lines and distances.
#include "segments/packed_numbers.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kalam::segments {
namespace {

constexpr size_t kBlockNumbers = 128;
// What one unaligned word holds behind up to seven bits of the number before.
constexpr int kBitWidthMax = 56;
constexpr size_t kWordBytes = sizeof(uint64_t);

}  // namespace

bool PackedNumbers::Add(const int64_t* numbers, size_t count) {
  const auto number = [&](size_t i) { return static_cast<uint64_t>(numbers[i]); };
  Block block;
  block.step = count > 1 ? (number(count - 1) - number(0)) / (count - 1) : 0;
  // Distances may be of both signs; those of a number's size wrap around and turn out too wide.
  int64_t lowest = 0;
  for (size_t i = 0; i < count; ++i) {
    lowest = std::min(lowest, static_cast<int64_t>(number(i) - number(0) - i * block.step));
  }
  block.first = number(0) + static_cast<uint64_t>(lowest);
  uint64_t widest = 0;
  for (size_t i = 0; i < count; ++i) {
    widest |= number(i) - block.first - i * block.step;
  }
  const int width = std::bit_width(widest);
  if (width > kBitWidthMax) return false;
  block.bit_width = static_cast<uint8_t>(width);
  size_t bit = blocks_.empty() ? 0
                               : blocks_.back().bit_begin +
                                     static_cast<size_t>(blocks_.back().bit_width) * kBlockNumbers;
  block.bit_begin = static_cast<uint32_t>(bit);
  bits_.resize((bit + count * static_cast<size_t>(width)) / 8 + kWordBytes);
  for (size_t i = 0; i < count; ++i, bit += static_cast<size_t>(width)) {
    uint64_t word;
    char* const at = bits_.data() + bit / 8;
    std::memcpy(&word, at, kWordBytes);
    word |= (number(i) - block.first - i * block.step) << (bit % 8);
    std::memcpy(at, &word, kWordBytes);
  }
  blocks_.push_back(block);
  return true;
}

std::shared_ptr<const PackedNumbers> PackedNumbers::Pack(const std::vector<int64_t>& numbers) {
  if (numbers.size() * 64 > UINT32_MAX) return nullptr;
  auto packed = std::make_shared<PackedNumbers>();
  packed->size_ = numbers.size();
  packed->blocks_.reserve((numbers.size() + kBlockNumbers - 1) / kBlockNumbers);
  for (size_t begin = 0; begin < numbers.size(); begin += kBlockNumbers) {
    const size_t count = std::min(kBlockNumbers, numbers.size() - begin);
    if (!packed->Add(numbers.data() + begin, count)) return nullptr;
  }
  packed->bits_.shrink_to_fit();
  const size_t unpacked_bytes = numbers.size() * sizeof(int64_t);
  if (packed->memory_bytes() > unpacked_bytes - unpacked_bytes / 4 &&
      packed->memory_bytes() > kBlockNumbers * sizeof(int64_t)) {
    return nullptr;
  }
  return packed;
}

int64_t PackedNumbers::At(size_t index) const {
  const Block& block = blocks_[index / kBlockNumbers];
  const size_t place = index % kBlockNumbers;
  const size_t bit = block.bit_begin + place * block.bit_width;
  uint64_t word;
  std::memcpy(&word, bits_.data() + bit / 8, kWordBytes);
  const uint64_t distance = (word >> (bit % 8)) & ((uint64_t{1} << block.bit_width) - 1);
  return static_cast<int64_t>(block.first + place * block.step + distance);
}

size_t PackedNumbers::LowerBound(int64_t number, size_t begin) const {
  size_t end = size_;
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    if (At(middle) < number) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

}  // namespace kalam::segments
