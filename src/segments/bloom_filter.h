// A Bloom filter cut into blocks that are stored apart, so that asking for one key reads one block.
//
//   block := kBloomBlockBytes bytes. The high half of a key's hash picks its block, the rest its
//   kBloomProbes bits there.
//
// The hash is xxh3-64 of the segment key. Every count here is on disk: never change them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kalam::segments {

inline constexpr size_t kBloomBlockBytes = 4096;
inline constexpr int kBloomBitsPerKey = 10;
inline constexpr int kBloomProbes = 7;

uint64_t BloomHash(std::string_view segment_key);
/// How many blocks a segment of so many rows has; at least 1.
uint32_t BloomBlockCount(int64_t row_count);
uint32_t BloomBlockOf(uint64_t hash, uint32_t block_count);
/// True when `block` may hold the key. A block of the wrong size holds everything.
bool BloomBlockMayContain(std::string_view block, uint64_t hash);

std::vector<std::string> BuildBloomBlocks(const std::vector<uint64_t>& hashes);

}  // namespace kalam::segments
