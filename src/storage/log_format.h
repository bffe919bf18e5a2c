// How RocksDB lays out its log files and manifests: blocks of 32 KB that hold fragments of records.
//
//   fragment := masked crc32c of type and bytes:4  length:2  type:1  bytes
//
// All numbers are little-endian. A block ends with zeros when fewer than 7 bytes are left; a record
// that does not fit into its block goes on in the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kalam::storage {

inline constexpr size_t kLogBlockBytes = 32 << 10;
inline constexpr size_t kFragmentHeaderBytes = 7;

/// Which part of its record a fragment is. Files that are written here have no others.
enum class FragmentType : uint8_t { kZero = 0, kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

struct LogFragment {
  FragmentType type = FragmentType::kZero;
  std::string_view bytes;
  size_t size_bytes = 0;  // with its header
};

enum class FragmentState : uint8_t {
  kWhole,      // its checksum is right
  kUnwritten,  // zeros
  kDamaged,    // cut off or changed; where the next one begins is unknown
};

/// Reads the fragment at `position` of a block, in which at least kFragmentHeaderBytes follow.
/// `fragment` is set when it is whole and points into `block`.
FragmentState ReadFragment(std::string_view block, size_t position, LogFragment* fragment);

/// The checksum of `bytes` as these files hold it.
uint32_t MaskedCrc32c(std::string_view bytes);

template <typename T>
T ReadLittleEndian(const char* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<T>(static_cast<uint8_t>(bytes[i])) << (8 * i));
  }
  return value;
}

}  // namespace kalam::storage
