// Hashing of index keys: bytes and numbers mixed into 64 bits.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace kalam::live {

inline uint64_t HashBytes(std::string_view bytes) { return std::hash<std::string_view>()(bytes); }

/// Combines two numbers (the finaliser of splitmix64).
inline uint64_t MixHash(uint64_t a, uint64_t b) {
  uint64_t x = a + 0x9e3779b97f4a7c15 * (b + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace kalam::live
