// Directories told apart by device and inode.
#include "server/data_directory.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace kalam::server {

Result<DataDirectory> DataDirectory::Find(std::string path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("cannot look at {}: {}", path, std::strerror(errno)));
  }
  return DataDirectory(std::move(path), found.st_dev, found.st_ino);
}

Status DataDirectory::Check() const {
  struct stat found = {};
  if (stat(path_.c_str(), &found) == 0) {
    if (found.st_dev == device_ && found.st_ino == inode_) return {};
  } else if (errno != ENOENT && errno != ENOTDIR) {
    return {};
  }
  return Status(
      ErrorKind::StorageIo,
      fmt::format("the directory {} was removed or replaced while the server ran", path_));
}

}  // namespace kalam::server
