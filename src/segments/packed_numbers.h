// Whole numbers in ascending order, in few bytes: the keys of a row group as they are kept for
// looking one up.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace kalam::segments {

/// Blocks of numbers, each as its distance from a straight line through its block. Keys that count
/// up take no more than their blocks. Immutable.
class PackedNumbers {
 public:
  /// Null when they take more than most of what they take unpacked. `numbers` ascend.
  static std::shared_ptr<const PackedNumbers> Pack(const std::vector<int64_t>& numbers);

  size_t size() const { return size_; }
  int64_t At(size_t index) const;
  /// The first place from `begin` on whose number is not less; size() when all are.
  size_t LowerBound(int64_t number, size_t begin = 0) const;
  size_t memory_bytes() const {
    return sizeof *this + blocks_.capacity() * sizeof(Block) + bits_.capacity();
  }

 private:
  struct Block {
    uint64_t first = 0;  // of the line
    uint64_t step = 0;
    uint32_t bit_begin = 0;  // of the distances, in bits_
    uint8_t bit_width = 0;
  };
  bool Add(const int64_t* numbers, size_t count);

  size_t size_ = 0;
  std::vector<Block> blocks_;
  std::vector<char> bits_;  // with room behind the last distance to load a word
};

}  // namespace kalam::segments
