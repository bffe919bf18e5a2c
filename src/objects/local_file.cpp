// Opening a file for an upload.
#include "objects/local_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace kalam::objects {

Result<LocalFile> LocalFile::Open(const std::string& path) {
  LocalFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC), 0);
  struct stat found {};
  if (file.fd_ < 0 || fstat(file.fd_, &found) != 0) {
    return Status(ErrorKind::StorageIo, "Cannot read " + path + ": " + std::strerror(errno));
  }
  file.size_ = found.st_size;
  return file;
}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

LocalFile::~LocalFile() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace kalam::objects
