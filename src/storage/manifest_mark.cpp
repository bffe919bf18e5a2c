// Notes of what was synced of a manifest: one line of 12 bytes for each sync.
//
//   note := size of the manifest:8  masked crc32c of these:4
//
// Little-endian. A power failure may leave the last one torn; its sync had not returned then.
#include "storage/manifest_mark.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "storage/log_format.h"
#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr std::string_view kManifestPrefix = "MANIFEST-";
// RocksDB leaves files alone whose names it does not know.
constexpr std::string_view kMarkSuffix = ".synced";
constexpr size_t kSizeBytes = 8;
constexpr size_t kNoteBytes = kSizeBytes + 4;

std::string MarkPath(const std::string& manifest) { return manifest + std::string(kMarkSuffix); }

bool IsManifestName(std::string_view name) {
  if (!name.starts_with(kManifestPrefix)) return false;
  const std::string_view number = name.substr(kManifestPrefix.size());
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

bool IsManifest(std::string_view path) {
  return IsManifestName(path.substr(path.find_last_of('/') + 1));
}

void AppendLittleEndian(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

std::string EncodeNote(uint64_t size) {
  std::string note;
  AppendLittleEndian(size, kSizeBytes, &note);
  AppendLittleEndian(MaskedCrc32c(note), kNoteBytes - kSizeBytes, &note);
  return note;
}

class MarkedManifest final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  MarkedManifest(std::unique_ptr<rocksdb::FSWritableFile>&& manifest,
                 std::unique_ptr<rocksdb::FSWritableFile> mark)
      : FSWritableFileOwnerWrapper(std::move(manifest)), mark_(std::move(mark)) {}

  IOStatus Append(const Slice& bytes, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = target()->Append(bytes, options, debug);
    if (status.ok()) size_ += bytes.size();
    return status;
  }
  IOStatus Append(const Slice& bytes, const IOOptions& options,
                  const DataVerificationInfo& verification, IODebugContext* debug) override {
    IOStatus status = target()->Append(bytes, options, verification, debug);
    if (status.ok()) size_ += bytes.size();
    return status;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = target()->Sync(options, debug);
    return status.ok() ? Note(options, debug) : status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = target()->Fsync(options, debug);
    return status.ok() ? Note(options, debug) : status;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    IOStatus closed = mark_->Close(options, debug);
    IOStatus status = target()->Close(options, debug);
    return status.ok() ? closed : status;
  }

 private:
  IOStatus Note(const IOOptions& options, IODebugContext* debug) {
    if (size_ == noted_) return IOStatus::OK();
    IOStatus status = mark_->Append(EncodeNote(size_), options, debug);
    if (status.ok()) status = mark_->Sync(options, debug);
    if (status.ok()) noted_ = size_;
    return status;
  }

  const std::unique_ptr<rocksdb::FSWritableFile> mark_;
  uint64_t size_ = 0;
  uint64_t noted_ = 0;
};

class ManifestMarkFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "kalam.manifest_mark"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    if (!IsManifest(path)) return target()->NewWritableFile(path, options, file, debug);
    // The mark comes first and goes first: no manifest ever has the one of another.
    std::unique_ptr<rocksdb::FSWritableFile> mark;
    IOStatus status = target()->NewWritableFile(MarkPath(path), options, &mark, debug);
    if (status.ok()) status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok()) *file = std::make_unique<MarkedManifest>(std::move(*file), std::move(mark));
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    if (IsManifest(path)) {
      target()->DeleteFile(MarkPath(path), options, debug).PermitUncheckedError();
    }
    return target()->DeleteFile(path, options, debug);
  }
};

/// How much of the manifest was surely on the disk; nullopt when nobody noted it.
std::optional<uint64_t> SyncedBytes(rocksdb::Env& env, const std::string& manifest) {
  std::string notes;
  if (!rocksdb::ReadFileToString(&env, MarkPath(manifest), &notes).ok()) return std::nullopt;
  std::optional<uint64_t> synced;
  for (size_t at = 0; at + kNoteBytes <= notes.size(); at += kNoteBytes) {
    const auto size = ReadLittleEndian<uint64_t>(notes.data() + at);
    if (std::string_view(notes).substr(at, kNoteBytes) != EncodeNote(size)) break;
    synced = size;
  }
  return synced;
}

/// Follows the records of a manifest up to the first that is not whole.
class RecordWalk {
 public:
  /// False when the rest of the file says nothing any more.
  bool AddBlock(std::string_view block) {
    size_t position = 0;
    while (position + kFragmentHeaderBytes <= block.size()) {
      LogFragment fragment;
      if (ReadFragment(block, position, &fragment) != FragmentState::kWhole) return false;
      position += fragment.size_bytes;
      const FragmentType type = fragment.type;
      const bool begins = type == FragmentType::kWhole || type == FragmentType::kFirst;
      const bool known = begins || type == FragmentType::kMiddle || type == FragmentType::kLast;
      if (!known || begins == in_record_) return false;
      in_record_ = type == FragmentType::kFirst || type == FragmentType::kMiddle;
      if (!in_record_) whole_bytes_ = block_offset_ + position;
    }
    block_offset_ += block.size();
    return true;
  }
  uint64_t whole_bytes() const { return whole_bytes_; }

 private:
  uint64_t block_offset_ = 0;
  uint64_t whole_bytes_ = 0;
  bool in_record_ = false;
};

/// The bytes of the whole records that the manifest begins with.
Result<uint64_t> WholeBytes(rocksdb::Env& env, const std::string& manifest) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  rocksdb::Status status = env.NewSequentialFile(manifest, &file, rocksdb::EnvOptions());
  RecordWalk walk;
  std::string buffer(kLogBlockBytes, '\0');
  Slice block;
  do {
    if (status.ok()) status = file->Read(kLogBlockBytes, &block, buffer.data());
    if (!status.ok()) return ToStatus(status, "cannot read the manifest '" + manifest + "'");
  } while (!block.empty() && walk.AddBlock({block.data(), block.size()}));
  return walk.whole_bytes();
}

/// The manifest that RocksDB is going to read; empty when it is going to complain itself.
std::string CurrentManifest(rocksdb::Env& env, const std::string& path) {
  std::string name;
  if (!rocksdb::ReadFileToString(&env, path + "/CURRENT", &name).ok()) return {};
  if (!name.ends_with('\n')) return {};
  name.pop_back();
  return IsManifestName(name) ? path + "/" + name : std::string();
}

rocksdb::Status Truncate(rocksdb::Env& env, const std::string& path, uint64_t size) {
  std::unique_ptr<rocksdb::WritableFile> file;
  rocksdb::Status status = env.ReopenWritableFile(path, &file, rocksdb::EnvOptions());
  if (status.ok()) status = file->Truncate(size);
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = file->Close();
  return status;
}

Status CutTail(rocksdb::Env& env, const std::string& manifest) {
  const std::optional<uint64_t> synced = SyncedBytes(env, manifest);
  uint64_t size = 0;
  // RocksDB names a manifest that is missing.
  if (!synced || !env.GetFileSize(manifest, &size).ok()) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const uint64_t whole, WholeBytes(env, manifest));
  if (whole < *synced) {
    return Status(
        ErrorKind::Corruption,
        fmt::format("the file '{}', which lists the files of the database, is damaged at byte {}; "
                    "its first {} bytes had been on the disk, so this is not what a power failure "
                    "leaves. Nothing was changed. Check the disk, and restore the data directory "
                    "from a backup; or, to try with what is left, of which acknowledged writes may "
                    "be missing, copy the directory and run: truncate -s {} '{}' && rm '{}'",
                    manifest, whole, *synced, whole, manifest, MarkPath(manifest)));
  }
  if (whole == size) return Status::Ok();
  const rocksdb::Status cut = Truncate(env, manifest, whole);
  if (!cut.ok()) return ToStatus(cut, "cannot cut off the end of the manifest '" + manifest + "'");
  Log(LogLevel::kWarn, "storage",
      "cut off the end of the manifest, which a power failure left behind; nothing that was "
      "acknowledged depends on it",
      {{"file", manifest}, {"kept_bytes", whole}, {"cut_bytes", size - whole}});
  return Status::Ok();
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> MakeManifestMarkFileSystem(
    std::shared_ptr<rocksdb::FileSystem> base) {
  return std::make_shared<ManifestMarkFileSystem>(std::move(base));
}

Status CheckManifest(rocksdb::Env& env, const std::string& path) {
  // Who has the lock may be writing the manifest right now. DB::Open says that somebody has it.
  rocksdb::FileLock* lock = nullptr;
  if (!env.LockFile(path + "/LOCK", &lock).ok()) return Status::Ok();
  Status status = Status::Ok();
  const std::string manifest = CurrentManifest(env, path);
  if (!manifest.empty()) status = CutTail(env, manifest);
  env.UnlockFile(lock).PermitUncheckedError();
  return status;
}

}  // namespace kalam::storage
