// Growing log files ahead of their records.
#include "storage/prepared_log.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace kalam::storage {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr size_t kZerosBytes = 64 << 10;

class PreparedLogFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  explicit PreparedLogFile(std::unique_ptr<rocksdb::FSWritableFile>&& file)
      : FSWritableFileOwnerWrapper(std::move(file)) {}

  IOStatus Append(const Slice& bytes, const IOOptions& options, IODebugContext* debug) override {
    const uint64_t end = end_ + bytes.size();
    if (end > prepared_ && prepares_ && bytes.size() < kPreparedLogBytes) {
      Prepare(end, options, debug);
    }
    IOStatus status = target()->PositionedAppend(bytes, end_, options, debug);
    if (!status.ok()) return status;
    end_ = end;
    prepared_ = std::max(prepared_, end_);
    return status;
  }
  IOStatus Append(const Slice& bytes, const IOOptions& options, const DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(bytes, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = target()->Truncate(size, options, debug);
    if (status.ok()) end_ = prepared_ = size;
    return status;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    IOStatus trimmed;
    if (prepared_ > end_) trimmed = Truncate(end_, options, debug);
    IOStatus closed = target()->Close(options, debug);
    return closed.ok() ? trimmed : closed;
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return end_; }
  // Blocks that were allocated but never written would not help: writing them is a change of
  // metadata.
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  // Zeros from `begin` on, where the next record is going to end. What cannot be prepared is not
  // needed either: a full disk tells the record itself.
  void Prepare(uint64_t begin, const IOOptions& options, IODebugContext* debug) {
    const std::string zeros(kZerosBytes, '\0');
    const uint64_t end = begin + kPreparedLogBytes;
    for (uint64_t at = begin; at < end; at += kZerosBytes) {
      if (target()->PositionedAppend(zeros, at, options, debug).ok()) continue;
      prepares_ = false;
      target()->Truncate(std::max(end_, prepared_), options, debug).PermitUncheckedError();
      return;
    }
    prepared_ = end;
  }

  uint64_t end_ = 0;       // of what was appended
  uint64_t prepared_ = 0;  // of the file
  bool prepares_ = true;
};

class PreparedLogFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "kalam.prepared_log"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok() && std::string_view(path).ends_with(".log")) {
      *file = std::make_unique<PreparedLogFile>(std::move(*file));
    }
    return status;
  }
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> MakePreparedLogFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base) {
  return std::make_shared<PreparedLogFileSystem>(std::move(base));
}

}  // namespace kalam::storage
