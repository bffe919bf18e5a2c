// Creating log files when they are first written to.
#include "storage/late_log.h"

#include <rocksdb/file_system.h>

#include <string>
#include <string_view>
#include <utility>

namespace kalam::storage {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// Empty until `base` can create the file. Like every file that is appended to, for one thread at a
/// time, except that Sync may come from another one: then there is a file.
class LateLogFile final : public rocksdb::FSWritableFile {
 public:
  LateLogFile(std::shared_ptr<rocksdb::FileSystem> base, std::string path,
              const rocksdb::FileOptions& options)
      : FSWritableFile(options),
        base_(std::move(base)),
        path_(std::move(path)),
        options_(options) {}

  IOStatus Append(const Slice& bytes, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status;
    if (file_ == nullptr) status = base_->NewWritableFile(path_, options_, &file_, debug);
    return status.ok() ? file_->Append(bytes, options, debug) : status;
  }
  IOStatus Append(const Slice& bytes, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(bytes, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->Truncate(size, options, debug) : IOStatus::OK();
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->Close(options, debug) : IOStatus::OK();
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->Flush(options, debug) : IOStatus::OK();
  }
  // Of a file that was never written to, everything is on the disk.
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->Sync(options, debug) : IOStatus::OK();
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->Fsync(options, debug) : IOStatus::OK();
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions& options, IODebugContext* debug) override {
    return file_ ? file_->GetFileSize(options, debug) : 0;
  }

 private:
  const std::shared_ptr<rocksdb::FileSystem> base_;
  const std::string path_;
  const rocksdb::FileOptions options_;
  std::unique_ptr<rocksdb::FSWritableFile> file_;
};

class LateLogFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit LateLogFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base)
      : FileSystemWrapper(base), base_(base) {}
  const char* Name() const override { return "kalam.late_log"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus status = base_->NewWritableFile(path, options, file, debug);
    if (status.ok() || !std::string_view(path).ends_with(".log")) return status;
    *file = std::make_unique<LateLogFile>(base_, path, options);
    return IOStatus::OK();
  }

 private:
  const std::shared_ptr<rocksdb::FileSystem> base_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> MakeLateLogFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base) {
  return std::make_shared<LateLogFileSystem>(base);
}

}  // namespace kalam::storage
