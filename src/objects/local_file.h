// A local file that is read for an upload.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace kalam::objects {

/// Owns an open file. Moves, does not copy.
class LocalFile {
 public:
  /// Errors: StorageIo.
  static Result<LocalFile> Open(const std::string& path);
  LocalFile(LocalFile&& other) noexcept;
  LocalFile& operator=(LocalFile&&) = delete;
  ~LocalFile();
  int fd() const { return fd_; }
  int64_t size() const { return size_; }

 private:
  LocalFile(int fd, int64_t size) : fd_(fd), size_(size) {}
  int fd_;
  int64_t size_;
};

}  // namespace kalam::objects
