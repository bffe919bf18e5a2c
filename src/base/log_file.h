// A log file that starts anew when it is full and keeps a few predecessors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam {

struct RotationLimits {
  int64_t size_max_bytes = 0;
  int files_max = 1;  // the current file counts
};

/// `name` is the current file, `name.1` the one before it, and so on. Not thread-safe.
class RotatedFile {
 public:
  RotatedFile() = default;
  RotatedFile(RotatedFile&& other) noexcept { *this = static_cast<RotatedFile&&>(other); }
  RotatedFile& operator=(RotatedFile&& other) noexcept;
  ~RotatedFile() { Close(); }

  /// Creates `directory` if it is missing and opens the file for appending. Errors: StorageIo.
  Status Open(const std::string& directory, std::string_view name, const RotationLimits& limits);
  /// Appends with one write; rotates first if the file would pass its limit. Failures are ignored:
  /// a log that cannot be written must not stop the server.
  void Write(std::string_view line);
  void Close();
  bool is_open() const { return descriptor_ >= 0; }

 private:
  void Rotate();

  std::string path_;
  RotationLimits limits_;
  int descriptor_ = -1;
  int64_t size_bytes_ = 0;
};

}  // namespace kalam
