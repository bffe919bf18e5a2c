// Bits of the blocked Bloom filter.
#include "segments/bloom_filter.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace kalam::segments {
namespace {

constexpr uint32_t kBitsPerBlock = kBloomBlockBytes * 8;

/// Visits the bit positions of a key within its block; stops when `visit` returns false.
template <typename Visit>
void VisitBits(uint64_t hash, Visit visit) {
  auto bit = static_cast<uint32_t>(hash);
  const uint32_t step = static_cast<uint32_t>(hash >> 15) | 1;
  for (int i = 0; i < kBloomProbes; ++i, bit += step) {
    // The low bits of an arithmetic series repeat soonest; take higher ones.
    if (!visit((bit >> 8) % kBitsPerBlock)) return;
  }
}

}  // namespace

uint64_t BloomHash(std::string_view segment_key) {
  return XXH3_64bits(segment_key.data(), segment_key.size());
}

uint32_t BloomBlockCount(int64_t row_count) {
  const int64_t bits = row_count * kBloomBitsPerKey;
  return static_cast<uint32_t>(std::max<int64_t>(1, (bits + kBitsPerBlock - 1) / kBitsPerBlock));
}

uint32_t BloomBlockOf(uint64_t hash, uint32_t block_count) {
  return static_cast<uint32_t>(((hash >> 32) * block_count) >> 32);
}

bool BloomBlockMayContain(std::string_view block, uint64_t hash) {
  if (block.size() != kBloomBlockBytes) return true;
  bool all_set = true;
  VisitBits(hash, [&](uint32_t bit) {
    all_set = (static_cast<uint8_t>(block[bit / 8]) >> (bit % 8)) & 1;
    return all_set;
  });
  return all_set;
}

std::vector<std::string> BuildBloomBlocks(const std::vector<uint64_t>& hashes) {
  const uint32_t count = BloomBlockCount(static_cast<int64_t>(hashes.size()));
  std::vector<std::string> blocks(count, std::string(kBloomBlockBytes, '\0'));
  for (uint64_t hash : hashes) {
    std::string& block = blocks[BloomBlockOf(hash, count)];
    VisitBits(hash, [&block](uint32_t bit) {
      block[bit / 8] = static_cast<char>(static_cast<uint8_t>(block[bit / 8]) | (1u << (bit % 8)));
      return true;
    });
  }
  return blocks;
}

}  // namespace kalam::segments
