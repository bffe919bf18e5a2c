// What uploads may be, from the configuration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kalam::files {

struct FileLimits {
  int64_t file_bytes_max = 25 << 20;
  size_t files_per_request_max = 20;
  int64_t files_per_folder_max = 5000;
  /// Exact types or `type/*`; empty: all.
  std::vector<std::string> allowed_mime_types;
  /// Where uploads lie until their statement runs; best on the file system of the storage, so that
  /// they are moved and not copied.
  std::string staging_path;
  /// How long a file stays after its last reference went: statements that began before may still
  /// copy the reference.
  int64_t deletion_delay_seconds = 5;
};

/// Longest name of a file that is kept; the rest is cut off.
inline constexpr size_t kFileNameBytesMax = 255;
/// Bytes at the front of a file that its type is told from.
inline constexpr size_t kMagicBytes = 16;

}  // namespace kalam::files
