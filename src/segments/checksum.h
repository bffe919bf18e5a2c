// Checksums of segment files and of their parts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kalam::segments {

/// xxh3-64.
uint64_t ChecksumOf(std::string_view bytes);

/// xxh3-128 of bytes that come piece by piece. Not thread-safe.
class FileChecksum {
 public:
  FileChecksum();
  ~FileChecksum();
  FileChecksum(const FileChecksum&) = delete;
  FileChecksum& operator=(const FileChecksum&) = delete;
  void Add(std::string_view bytes);
  /// 16 bytes, big-endian as `xxh128sum` shows them.
  std::string Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Lower-case hexadecimal.
std::string HexOf(std::string_view bytes);

}  // namespace kalam::segments
