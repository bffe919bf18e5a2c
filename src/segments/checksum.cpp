// xxh3 behind names of ours.
#include "segments/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace kalam::segments {

struct FileChecksum::State {
  XXH3_state_t state;
};

uint64_t ChecksumOf(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

FileChecksum::FileChecksum() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(&state_->state);
}
FileChecksum::~FileChecksum() = default;

void FileChecksum::Add(std::string_view bytes) {
  XXH3_128bits_update(&state_->state, bytes.data(), bytes.size());
}

std::string FileChecksum::Finish() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->state));
  return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest);
}

std::string HexOf(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (char byte : bytes) {
    hex.push_back(kDigits[static_cast<uint8_t>(byte) >> 4]);
    hex.push_back(kDigits[static_cast<uint8_t>(byte) & 0x0F]);
  }
  return hex;
}

}  // namespace kalam::segments
