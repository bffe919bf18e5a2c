// Checksums and fragments of RocksDB's log files and manifests.
#include "storage/log_format.h"

#include <array>

namespace kalam::storage {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

}  // namespace

uint32_t MaskedCrc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

FragmentState ReadFragment(std::string_view block, size_t position, LogFragment* fragment) {
  const char* header = block.data() + position;
  const size_t length = ReadLittleEndian<uint16_t>(header + 4);
  const auto type = static_cast<FragmentType>(header[6]);
  if (type == FragmentType::kZero && length == 0) return FragmentState::kUnwritten;
  const bool whole = position + kFragmentHeaderBytes + length <= block.size() &&
                     ReadLittleEndian<uint32_t>(header) == MaskedCrc32c({header + 6, length + 1});
  if (!whole) return FragmentState::kDamaged;
  *fragment = {type, {header + kFragmentHeaderBytes, length}, kFragmentHeaderBytes + length};
  return FragmentState::kWhole;
}

}  // namespace kalam::storage
