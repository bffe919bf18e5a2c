// Whether the data directory is still the one that was opened.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/status.h"

namespace kalam::server {

/// The storage engine names its files by path. When somebody removes or moves the directory of a
/// running server and another server begins a new one in its place, the first one would take the
/// files of the second for its own leftovers and delete them: the lock went with the old directory.
/// Thread-safety: any thread.
class DataDirectory {
 public:
  /// Remembers which directory is at the path now. Errors: StorageIo.
  static Result<DataDirectory> Find(std::string path);
  /// Ok also when nobody can tell. Errors: StorageIo (removed, or another one is there; names it).
  Status Check() const;

 private:
  DataDirectory(std::string path, dev_t device, ino_t inode)
      : path_(std::move(path)), device_(device), inode_(inode) {}

  std::string path_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace kalam::server
