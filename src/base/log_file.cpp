// Appending and rotating with plain system calls.
#include "base/log_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace kalam {

RotatedFile& RotatedFile::operator=(RotatedFile&& other) noexcept {
  if (this != &other) {
    Close();
    path_ = std::move(other.path_);
    limits_ = other.limits_;
    descriptor_ = std::exchange(other.descriptor_, -1);
    size_bytes_ = other.size_bytes_;
  }
  return *this;
}

Status RotatedFile::Open(const std::string& directory, std::string_view name,
                         const RotationLimits& limits) {
  Close();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return Status(ErrorKind::StorageIo, fmt::format("cannot create the log directory '{}': {}",
                                                    directory, error.message()));
  }
  path_ = fmt::format("{}/{}", directory, name);
  limits_ = limits;
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (descriptor_ < 0) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("cannot open the log file '{}': {}", path_, std::strerror(errno)));
  }
  struct stat status {};
  size_bytes_ = fstat(descriptor_, &status) == 0 ? status.st_size : 0;
  return Status::Ok();
}

void RotatedFile::Write(std::string_view line) {
  if (limits_.size_max_bytes > 0 && size_bytes_ > 0 &&
      size_bytes_ + static_cast<int64_t>(line.size()) > limits_.size_max_bytes) {
    Rotate();
  }
  if (descriptor_ < 0) return;
  ssize_t written = write(descriptor_, line.data(), line.size());
  if (written > 0) size_bytes_ += written;
}

void RotatedFile::Close() {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

void RotatedFile::Rotate() {
  Close();
  for (int i = limits_.files_max - 1; i >= 1; --i) {
    std::string older = fmt::format("{}.{}", path_, i);
    std::string newer = i == 1 ? path_ : fmt::format("{}.{}", path_, i - 1);
    std::rename(newer.c_str(), older.c_str());
  }
  // With a single file there is no predecessor to keep: it starts empty.
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (limits_.files_max <= 1 ? O_TRUNC : 0);
  descriptor_ = open(path_.c_str(), flags, 0640);
  size_bytes_ = 0;
}

}  // namespace kalam
