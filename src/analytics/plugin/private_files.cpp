// seg://<name>: the only files that the engine can open.
#include "analytics/plugin/private_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <duckdb/common/exception.hpp>
#include <duckdb/common/file_opener.hpp>
#include <duckdb/main/client_context.hpp>

#include "analytics/plugin/query_state.h"

namespace kalam::analytics {
namespace {

Status CannotWrite(const std::string& path, int error) {
  return Status(ErrorKind::StorageIo,
                "the file " + path + " cannot be written: " + std::strerror(error));
}

/// A local file being written. Closing it makes it durable; destroying it does not.
class WrittenFile : public duckdb::FileHandle {
 public:
  WrittenFile(duckdb::FileSystem& file_system, const std::string& name,
              duckdb::FileOpenFlags open_flags, std::string local_path, QueryState* query)
      : duckdb::FileHandle(file_system, name, open_flags),
        local_path_(std::move(local_path)),
        query_(query) {
    descriptor_ = open(local_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (descriptor_ < 0) query_->Fail(CannotWrite(local_path_, errno));
  }
  ~WrittenFile() override {
    if (descriptor_ >= 0) close(descriptor_);
  }

  void Append(const char* bytes, size_t size) {
    while (size > 0) {
      const ssize_t written = write(descriptor_, bytes, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) query_->Fail(CannotWrite(local_path_, errno));
      bytes += written;
      size -= static_cast<size_t>(written);
    }
  }

  void Close() override {
    if (descriptor_ < 0) return;
    const bool synced = fsync(descriptor_) == 0;
    const int error = errno;
    close(descriptor_);
    descriptor_ = -1;
    if (!synced) query_->Fail(CannotWrite(local_path_, error));
  }

 private:
  const std::string local_path_;
  QueryState* const query_;
  int descriptor_ = -1;
};

/// A cold file being read: a local one by itself, others through the server.
class ColdFileHandle : public duckdb::FileHandle {
 public:
  ColdFileHandle(duckdb::FileSystem& file_system, const std::string& name,
                 duckdb::FileOpenFlags open_flags, std::shared_ptr<const tables::ColdFile> file,
                 duckdb::ClientContext* context)
      : duckdb::FileHandle(file_system, name, open_flags),
        file_(std::move(file)),
        context_(context) {
    // One that cannot be opened here is asked of the server, which knows why.
    if (file_->local_path.empty()) return;
    descriptor_ = open(file_->local_path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0 && !file_->read) Fail(std::strerror(errno));
  }
  ~ColdFileHandle() override { Close(); }

  /// Exactly `size` bytes.
  void ReadAt(char* to, size_t size, uint64_t offset) {
    // The engine's own loop over row groups does not ask.
    if (context_->interrupted) throw duckdb::InterruptException();
    if (file_->check) {
      const Status checked = file_->check(static_cast<int64_t>(offset), static_cast<int64_t>(size));
      if (!checked.ok()) QueryState::Of(*context_).Fail(checked);
    }
    if (descriptor_ < 0) return ReadThroughServer(to, size, offset);
    while (size > 0) {
      const ssize_t got = pread(descriptor_, to, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) Fail(std::strerror(errno));
      if (got == 0) Fail("it is shorter than it was");
      to += got;
      size -= static_cast<size_t>(got);
      offset += static_cast<uint64_t>(got);
    }
  }

  void Close() override {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
  }

  const tables::ColdFile& file() const { return *file_; }
  uint64_t position = 0;

 private:
  void ReadThroughServer(char* to, size_t size, uint64_t offset) {
    const Result<std::string> bytes =
        file_->read(static_cast<int64_t>(offset), static_cast<int64_t>(size));
    if (!bytes.ok()) QueryState::Of(*context_).Fail(bytes.status());
    if (bytes->size() < size) Fail("it is shorter than it was");
    std::memcpy(to, bytes->data(), size);
  }

  [[noreturn]] void Fail(const char* why) {
    QueryState::Of(*context_).Fail(
        Status(ErrorKind::StorageIo, "the file " + file_->name + " cannot be read: " + why));
  }

  const std::shared_ptr<const tables::ColdFile> file_;
  duckdb::ClientContext* const context_;
  int descriptor_ = -1;
};

}  // namespace

bool PrivateFileSystem::CanHandleFile(const duckdb::string& path) {
  return path.starts_with(kPrivateScheme);
}

duckdb::unique_ptr<duckdb::FileHandle> PrivateFileSystem::OpenFile(
    const duckdb::string& path, duckdb::FileOpenFlags flags,
    duckdb::optional_ptr<duckdb::FileOpener> opener) {
  auto context = duckdb::FileOpener::TryGetClientContext(opener);
  if (!context) throw duckdb::PermissionException("no files here");
  QueryState& query = QueryState::Of(*context);
  const auto file = query.Granted(path);
  const bool reads = flags.OpenForReading() && !flags.OpenForWriting();
  if (file == nullptr || (reads ? file->read == nullptr : file->write_path.empty())) {
    throw duckdb::PermissionException("no such file");
  }
  if (reads) {
    return duckdb::make_uniq<ColdFileHandle>(*this, path, flags, file->read, context.get());
  }
  return duckdb::make_uniq<WrittenFile>(*this, path, flags, file->write_path, &query);
}

int64_t PrivateFileSystem::Write(duckdb::FileHandle& handle, void* buffer, int64_t size) {
  handle.Cast<WrittenFile>().Append(static_cast<const char*>(buffer), static_cast<size_t>(size));
  return size;
}

void PrivateFileSystem::Read(duckdb::FileHandle& handle, void* buffer, int64_t size,
                             duckdb::idx_t location) {
  handle.Cast<ColdFileHandle>().ReadAt(static_cast<char*>(buffer), static_cast<size_t>(size),
                                       location);
}

int64_t PrivateFileSystem::Read(duckdb::FileHandle& handle, void* buffer, int64_t size) {
  auto& file = handle.Cast<ColdFileHandle>();
  const int64_t rest = GetFileSize(handle) - static_cast<int64_t>(file.position);
  size = std::clamp<int64_t>(rest, 0, size);
  file.ReadAt(static_cast<char*>(buffer), static_cast<size_t>(size), file.position);
  file.position += static_cast<uint64_t>(size);
  return size;
}

int64_t PrivateFileSystem::GetFileSize(duckdb::FileHandle& handle) {
  return handle.Cast<ColdFileHandle>().file().size_bytes;
}

void PrivateFileSystem::Seek(duckdb::FileHandle& handle, duckdb::idx_t location) {
  handle.Cast<ColdFileHandle>().position = location;
}

duckdb::idx_t PrivateFileSystem::SeekPosition(duckdb::FileHandle& handle) {
  return handle.Cast<ColdFileHandle>().position;
}

bool PrivateFileSystem::OnDiskFile(duckdb::FileHandle& handle) {
  return !handle.Cast<ColdFileHandle>().file().local_path.empty();
}

}  // namespace kalam::analytics
