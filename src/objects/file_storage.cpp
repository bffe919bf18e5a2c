// Objects as files: whole or absent, and durable when a write returns.
//
// A write makes the missing folders (each made durable in its parent), gets the bytes to the disk
// under a name that no listing shows, renames it to its place and makes the folder durable. A crash
// leaves at most the temporary file; a listing removes those that are older than a day.
#include "objects/file_storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/file_descriptor.h"
#include "base/id_generators.h"
#include "objects/object_path.h"

namespace kalam::objects {
namespace {

constexpr size_t kCopyBytes = 256 << 10;
constexpr int64_t kStaleTemporarySeconds = 86'400;
// Folders vanish when a delete empties them; a write that meets this makes them again.
constexpr int kFolderAttempts = 8;

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos || slash == 0 ? "/" : path.substr(0, slash);
}

int64_t ModifiedUs(const struct stat& found) {
  return int64_t{found.st_mtim.tv_sec} * 1'000'000 + found.st_mtim.tv_nsec / 1'000;
}

class FileStorage : public ObjectStorage {
 public:
  FileStorage(std::string storage_id, std::string base)
      : storage_id_(std::move(storage_id)), base_(std::move(base)) {}

  Status PutFile(const std::string& local_file, const std::string& path) override;
  Status Put(const std::string& path, std::string_view bytes) override;
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override;
  std::optional<std::string> ReadAtOnce(const std::string& path, int64_t offset,
                                        int64_t length) override;
  Result<ObjectEntry> Stat(const std::string& path) override;
  Status List(const std::string& prefix,
              const std::function<bool(const ObjectEntry&)>& visit) override;
  Status Delete(const std::string& path) override;
  std::string LocalPath(const std::string& path) const override { return JoinPath(base_, path); }

 private:
  Status IoError(const char* action, const std::string& file, int error) const;
  Status NoSuchObject(const std::string& path) const;
  Status CheckBase() const;
  Status SyncFolder(const std::string& folder) const;
  Status MakeFolder(const std::string& folder) const;
  Status Place(const std::string& from, const std::string& target) const;
  Result<std::string> WriteTemporary(const std::string& target,
                                     const std::function<bool(int)>& fill) const;
  Status ListFolder(const std::string& folder, const std::string& prefix,
                    const std::function<bool(const ObjectEntry&)>& visit, bool* go_on) const;

  const std::string storage_id_;
  const std::string base_;
};

Status FileStorage::IoError(const char* action, const std::string& file, int error) const {
  const std::string_view advice = error == ENOSPC || error == EDQUOT ? "; make room on it" : "";
  return Status(ErrorKind::StorageIo, fmt::format("Storage '{}' cannot {} {}: {}{}", storage_id_,
                                                  action, file, std::strerror(error), advice));
}

Status FileStorage::NoSuchObject(const std::string& path) const {
  return Status(ErrorKind::NotFound,
                fmt::format("Storage '{}' has no object '{}'", storage_id_, path));
}

// A disk that is not mounted must not look like an empty storage, nor be filled from below.
Status FileStorage::CheckBase() const {
  struct stat found {};
  if (stat(base_.c_str(), &found) != 0) return IoError("reach its folder", base_, errno);
  if (!S_ISDIR(found.st_mode)) return IoError("use", base_, ENOTDIR);
  return {};
}

Status FileStorage::SyncFolder(const std::string& folder) const {
  const FileDescriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || fsync(fd.get()) != 0) return IoError("write", folder, errno);
  return {};
}

Status FileStorage::MakeFolder(const std::string& folder) const {
  if (mkdir(folder.c_str(), 0755) == 0) return SyncFolder(FolderOf(folder));
  if (errno == EEXIST) return {};
  if (errno != ENOENT || folder == base_) return IoError("create", folder, errno);
  KALAM_RETURN_IF_ERROR(MakeFolder(FolderOf(folder)));
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return IoError("create", folder, errno);
  return SyncFolder(FolderOf(folder));
}

// Renames a file whose bytes are durable to its place.
Status FileStorage::Place(const std::string& from, const std::string& target) const {
  for (int attempt = 1;; ++attempt) {
    KALAM_RETURN_IF_ERROR(MakeFolder(FolderOf(target)));
    if (rename(from.c_str(), target.c_str()) == 0) break;
    if (errno != ENOENT || attempt == kFolderAttempts) return IoError("write", target, errno);
  }
  return SyncFolder(FolderOf(target));
}

Result<std::string> FileStorage::WriteTemporary(const std::string& target,
                                                const std::function<bool(int)>& fill) const {
  const std::string folder = FolderOf(target);
  std::string temporary;
  int opened = -1;
  for (int attempt = 1; opened < 0; ++attempt) {
    KALAM_RETURN_IF_ERROR(MakeFolder(folder));
    temporary = fmt::format("{}/{}{}", folder, kTemporaryPrefix, RandomHex(12));
    opened = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (opened < 0 && (errno != ENOENT || attempt == kFolderAttempts)) {
      return IoError("write", target, errno);
    }
  }
  const FileDescriptor file(opened);
  if (!fill(file.get()) || fsync(file.get()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return IoError("write", target, error);
  }
  return temporary;
}

Status FileStorage::PutFile(const std::string& local_file, const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  KALAM_RETURN_IF_ERROR(CheckBase());
  const std::string target = LocalPath(path);
  const FileDescriptor source(open(local_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (source.get() < 0) return IoError("read", local_file, errno);
  struct stat from {
  }, to{};
  if (fstat(source.get(), &from) != 0) return IoError("read", local_file, errno);
  if (stat(base_.c_str(), &to) == 0 && from.st_dev == to.st_dev) {
    if (fsync(source.get()) != 0) return IoError("write", local_file, errno);
    return Place(local_file, target);
  }
  const auto copy = [&source](int fd) {
    std::string buffer(kCopyBytes, '\0');
    while (true) {
      const ssize_t count = read(source.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count == 0;
      if (!WriteAll(fd, std::string_view(buffer).substr(0, static_cast<size_t>(count)))) {
        return false;
      }
    }
  };
  KALAM_ASSIGN_OR_RETURN(const std::string temporary, WriteTemporary(target, copy));
  Status placed = Place(temporary, target);
  if (!placed.ok()) unlink(temporary.c_str());
  return placed;
}

Status FileStorage::Put(const std::string& path, std::string_view bytes) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  KALAM_RETURN_IF_ERROR(CheckBase());
  const std::string target = LocalPath(path);
  KALAM_ASSIGN_OR_RETURN(const std::string temporary,
                         WriteTemporary(target, [bytes](int fd) { return WriteAll(fd, bytes); }));
  Status placed = Place(temporary, target);
  if (!placed.ok()) unlink(temporary.c_str());
  return placed;
}

Result<std::string> FileStorage::Read(const std::string& path, int64_t offset, int64_t length) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  if (offset < 0 || length < -1) {
    return Status(ErrorKind::InvalidOperation, "A range of an object must not be negative");
  }
  const std::string file = LocalPath(path);
  const FileDescriptor fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno != ENOENT && errno != ENOTDIR) return IoError("read", file, errno);
    KALAM_RETURN_IF_ERROR(CheckBase());
    return NoSuchObject(path);
  }
  struct stat found {};
  if (fstat(fd.get(), &found) != 0) return IoError("read", file, errno);
  if (!S_ISREG(found.st_mode)) return NoSuchObject(path);
  const int64_t rest = std::max<int64_t>(0, found.st_size - offset);
  std::string bytes(static_cast<size_t>(length < 0 ? rest : std::min(length, rest)), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = pread(fd.get(), bytes.data() + filled, bytes.size() - filled,
                                offset + static_cast<int64_t>(filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return IoError("read", file, errno);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

std::optional<std::string> FileStorage::ReadAtOnce(const std::string& path, int64_t offset,
                                                   int64_t length) {
  if (!CheckObjectPath(path).ok() || offset < 0 || length < 0) return std::nullopt;
  // Neither the folders on the way nor the bytes are read from a disk: a kernel or a file system
  // that cannot promise that refuses.
  struct open_how how {};
  how.flags = O_RDONLY | O_CLOEXEC;
  how.resolve = RESOLVE_CACHED;
  const FileDescriptor fd(
      static_cast<int>(syscall(SYS_openat2, AT_FDCWD, LocalPath(path).c_str(), &how, sizeof how)));
  if (fd.get() < 0) return std::nullopt;
  std::string bytes(static_cast<size_t>(length), '\0');
  struct iovec vector {
    bytes.data(), bytes.size()
  };
  // What is not in memory ends the read early.
  if (preadv2(fd.get(), &vector, 1, offset, RWF_NOWAIT) != length) return std::nullopt;
  return bytes;
}

Result<ObjectEntry> FileStorage::Stat(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string file = LocalPath(path);
  struct stat found {};
  if (stat(file.c_str(), &found) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return IoError("read", file, errno);
    KALAM_RETURN_IF_ERROR(CheckBase());
    return NoSuchObject(path);
  }
  if (!S_ISREG(found.st_mode)) return NoSuchObject(path);
  return ObjectEntry{
      .path = path, .size_bytes = found.st_size, .modified_at_us = ModifiedUs(found)};
}

Status FileStorage::List(const std::string& prefix,
                         const std::function<bool(const ObjectEntry&)>& visit) {
  KALAM_RETURN_IF_ERROR(CheckObjectPrefix(prefix));
  KALAM_RETURN_IF_ERROR(CheckBase());
  const size_t slash = prefix.rfind('/');
  bool go_on = true;
  return ListFolder(slash == prefix.npos ? "" : prefix.substr(0, slash), prefix, visit, &go_on);
}

// `folder` is relative to the base; what vanishes meanwhile is not listed.
Status FileStorage::ListFolder(const std::string& folder, const std::string& prefix,
                               const std::function<bool(const ObjectEntry&)>& visit,
                               bool* go_on) const {
  const std::string full = folder.empty() ? base_ : LocalPath(folder);
  const std::unique_ptr<DIR, int (*)(DIR*)> open_folder(opendir(full.c_str()), closedir);
  if (open_folder == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    return IoError("list", full, errno);
  }
  errno = 0;
  while (const dirent* entry = readdir(open_folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = JoinPath(folder, name);
    const std::string file = LocalPath(path);
    struct stat found {};
    if (stat(file.c_str(), &found) != 0) continue;
    if (name.starts_with(kTemporaryPrefix)) {
      if (time(nullptr) - found.st_mtim.tv_sec > kStaleTemporarySeconds) unlink(file.c_str());
      continue;
    }
    if (S_ISDIR(found.st_mode)) {
      const std::string below = path + "/";
      if (below.starts_with(prefix) || prefix.starts_with(below)) {
        KALAM_RETURN_IF_ERROR(ListFolder(path, prefix, visit, go_on));
      }
    } else if (S_ISREG(found.st_mode) && path.starts_with(prefix)) {
      *go_on = visit(ObjectEntry{
          .path = path, .size_bytes = found.st_size, .modified_at_us = ModifiedUs(found)});
    }
    if (!*go_on) return {};
    errno = 0;
  }
  if (errno != 0) return IoError("list", full, errno);
  return {};
}

Status FileStorage::Delete(const std::string& path) {
  KALAM_RETURN_IF_ERROR(CheckObjectPath(path));
  const std::string file = LocalPath(path);
  struct stat found {};
  if (lstat(file.c_str(), &found) == 0 && S_ISDIR(found.st_mode)) return {};
  if (unlink(file.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return CheckBase();
    return IoError("delete", file, errno);
  }
  std::string folder = FolderOf(file);
  while (folder.size() > base_.size() && rmdir(folder.c_str()) == 0) folder = FolderOf(folder);
  return {};
}

}  // namespace

Result<std::unique_ptr<ObjectStorage>> OpenFileStorage(const StorageSettings& settings,
                                                       BaseFolder base_folder) {
  if (settings.base_directory.empty()) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Storage '{}' has no folder", settings.storage_id));
  }
  std::error_code error;
  std::string base = std::filesystem::absolute(settings.base_directory, error).lexically_normal();
  while (base.size() > 1 && base.ends_with('/')) base.pop_back();
  if (!error && base_folder == BaseFolder::kCreate) {
    std::filesystem::create_directories(base, error);
  }
  if (error) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("Storage '{}' cannot create its folder {}: {}", settings.storage_id,
                              settings.base_directory, error.message()));
  }
  return std::unique_ptr<ObjectStorage>(
      std::make_unique<FileStorage>(settings.storage_id, std::move(base)));
}

}  // namespace kalam::objects
