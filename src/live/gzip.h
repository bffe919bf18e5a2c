// Compression of WebSocket payloads: whole messages, and one deflated body under many subscription
// ids.
//
//   shared message := gzip header (10 bytes), deflate blocks of the body (ended by an empty stored
//   block, not final)
//                   | final stored block with the subscriber's bytes, CRC-32 and size of both parts
//                   together
//
// It is one gzip member, because clients read only one. The left part is made once, the right part
// costs microseconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kalam::live {

/// Payloads below this many bytes are never compressed.
inline constexpr size_t kGzipThresholdBytes = 512;

/// `bytes` as one gzip member, or empty when that would not be smaller.
std::string Gzip(std::string_view bytes);

/// The part of a shared message that all subscribers have in common.
struct SharedDeflate {
  std::string bytes;  // header and blocks
  uint32_t crc = 0;   // of the uncompressed bytes
  size_t raw_size = 0;
};
SharedDeflate DeflateShared(std::string_view raw);

/// The bytes that complete `shared` so that the member inflates to its body followed by `raw_tail`
/// (at most 65,535 bytes).
std::string GzipTail(const SharedDeflate& shared, std::string_view raw_tail);

}  // namespace kalam::live
