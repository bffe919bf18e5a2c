// seg://<name>: the only files that the engine can open.
#include "analytics/plugin/private_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <duckdb/common/exception.hpp>
#include <duckdb/common/file_opener.hpp>

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
  if (file == nullptr || flags.OpenForReading() || !flags.OpenForWriting() ||
      file->write_path.empty()) {
    throw duckdb::PermissionException("no such file");
  }
  return duckdb::make_uniq<WrittenFile>(*this, path, flags, file->write_path, &query);
}

int64_t PrivateFileSystem::Write(duckdb::FileHandle& handle, void* buffer, int64_t size) {
  handle.Cast<WrittenFile>().Append(static_cast<const char*>(buffer), static_cast<size_t>(size));
  return size;
}

}  // namespace kalam::analytics
