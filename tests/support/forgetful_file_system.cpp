// Bookkeeping of what is durable, and forgetting the rest.
#include "forgetful_file_system.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

namespace kalam::testing_support {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// RocksDB joins paths with one or two slashes.
std::string Normal(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().string();
}

std::string DirectoryOf(const std::string& path) {
  return std::filesystem::path(Normal(path)).parent_path().string();
}

IOStatus NoPower() { return IOStatus::IOError("the power is off"); }

}  // namespace

class ForgetfulFileSystem::TrackedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  TrackedFile(ForgetfulFileSystem& owner, std::string path,
              std::unique_ptr<rocksdb::FSWritableFile>&& file)
      : FSWritableFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}

  IOStatus Append(const Slice& bytes, const IOOptions& options, IODebugContext* debug) override {
    uint64_t fits = 0;
    IOStatus status = owner_.BeginAppend(path_, bytes.size(), &fits);
    if (fits > 0) {
      IOStatus written = target()->Append(Slice(bytes.data(), fits), options, debug);
      if (!written.ok()) return written;
      owner_.EndAppend(path_, fits);
    }
    return status;
  }
  IOStatus Append(const Slice& bytes, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(bytes, options, debug);
  }
  IOStatus PositionedAppend(const Slice& bytes, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    uint64_t fits = 0;
    IOStatus status = owner_.BeginAppend(path_, bytes.size(), &fits);
    if (fits > 0) {
      owner_.BeginOverwrite(path_, offset, fits);
      IOStatus written =
          target()->PositionedAppend(Slice(bytes.data(), fits), offset, options, debug);
      if (!written.ok()) return written;
    }
    return status;
  }
  IOStatus PositionedAppend(const Slice& bytes, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return PositionedAppend(bytes, offset, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    FileState written;
    IOStatus status = owner_.BeginSync(path_, &written);
    if (status.ok()) status = target()->Flush(options, debug);
    if (status.ok()) owner_.EndSync(path_, written);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();  // promises nothing
  }

 private:
  ForgetfulFileSystem& owner_;
  const std::string path_;
};

class ForgetfulFileSystem::TrackedDirectory final : public rocksdb::FSDirectoryWrapper {
 public:
  TrackedDirectory(ForgetfulFileSystem& owner, std::string path,
                   std::unique_ptr<rocksdb::FSDirectory>&& directory)
      : FSDirectoryWrapper(std::move(directory)), owner_(owner), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    std::lock_guard lock(owner_.mutex_);
    IOStatus status = owner_.Operate();
    if (status.ok()) owner_.changes_.erase(path_);
    return status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  ForgetfulFileSystem& owner_;
  const std::string path_;
};

ForgetfulFileSystem::ForgetfulFileSystem(std::string attic, uint64_t seed)
    : FileSystemWrapper(FileSystem::Default()), attic_(std::move(attic)), random_(seed) {
  std::filesystem::create_directories(attic_);
}

void ForgetfulFileSystem::CutPowerAfter(uint64_t operations) {
  std::lock_guard lock(mutex_);
  power_limited_ = true;
  operations_left_ = operations;
}

bool ForgetfulFileSystem::has_power() const {
  std::lock_guard lock(mutex_);
  return power_;
}

void ForgetfulFileSystem::SetFreeBytes(int64_t bytes, bool told) {
  std::lock_guard lock(mutex_);
  free_bytes_ = bytes;
  free_bytes_told_ = told;
}

void ForgetfulFileSystem::FailSyncs(bool fail) {
  std::lock_guard lock(mutex_);
  syncs_fail_ = fail;
}

void ForgetfulFileSystem::FailCreations(std::string suffix, int times) {
  std::lock_guard lock(mutex_);
  failing_suffix_ = std::move(suffix);
  failing_creations_ = times;
}

void ForgetfulFileSystem::SetBeforeSync(std::function<void(const std::string&)> hook) {
  std::lock_guard lock(mutex_);
  before_sync_ = std::move(hook);
}

uint64_t ForgetfulFileSystem::sync_count() const {
  std::lock_guard lock(mutex_);
  return sync_count_;
}

void ForgetfulFileSystem::LosePower() {
  std::lock_guard lock(mutex_);
  // A journal keeps the order of changes to a directory: some first ones are there, the others
  // never happened.
  for (auto& [directory, changes] : changes_) {
    size_t kept = random_() % (changes.size() + 1);
    for (size_t i = changes.size(); i-- > kept;) Undo(changes[i]);
  }
  for (const auto& [path, state] : files_) {
    ForgetOverwrites(path, state);
    ForgetTail(path, state);
  }
  changes_.clear();
  files_.clear();
  std::filesystem::remove_all(attic_);
  std::filesystem::create_directories(attic_);
  power_ = true;
  power_limited_ = false;
  free_bytes_ = -1;
  syncs_fail_ = false;
  failing_creations_ = 0;
}

void ForgetfulFileSystem::ForgetOverwrites(const std::string& path, const FileState& state) {
  if (!std::filesystem::exists(path) || state.overwrites.empty()) return;
  const size_t kept = random_() % (state.overwrites.size() + 1);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  for (size_t i = state.overwrites.size(); i-- > kept;) {
    const Overwrite& overwrite = state.overwrites[i];
    // The first bytes of the oldest one that is forgotten may have reached the disk.
    const bool torn = i == kept && !overwrite.before.empty() && random_() % 2 == 0;
    const size_t skipped = torn ? random_() % overwrite.before.size() : 0;
    file.seekp(static_cast<std::streamoff>(overwrite.offset + skipped));
    file.write(overwrite.before.data() + skipped,
               static_cast<std::streamsize>(overwrite.before.size() - skipped));
  }
}

void ForgetfulFileSystem::ForgetTail(const std::string& path, const FileState& state) {
  if (!std::filesystem::exists(path) || state.written_bytes <= state.synced_bytes) return;
  uint64_t tail = state.written_bytes - state.synced_bytes;
  // The whole size is as likely as any part of it: then a record is as long as it says.
  uint64_t kept = random_() % 2 == 0 ? 0 : random_() % 2 == 0 ? tail : random_() % (tail + 1);
  std::filesystem::resize_file(path, state.synced_bytes + kept);
  if (kept == 0 || random_() % 4 != 0) return;
  // The size was written but not the bytes.
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(state.synced_bytes + random_() % kept));
  uint64_t position = static_cast<uint64_t>(file.tellp());
  char filler = random_() % 2 == 0 ? '\0' : static_cast<char>(random_());
  for (; position < state.synced_bytes + kept; ++position) file.put(filler);
}

void ForgetfulFileSystem::Undo(const EntryChange& change) {
  switch (change.kind) {
    case EntryChange::kMade:
      std::filesystem::remove(change.path);
      files_.erase(change.path);
      break;
    case EntryChange::kRenamed:
      MoveFile(change.new_path, change.path);
      if (!change.saved.empty()) MoveFile(change.saved, change.new_path);
      break;
    case EntryChange::kDeleted:
      MoveFile(change.saved, change.path);
      break;
  }
}

IOStatus ForgetfulFileSystem::Operate() {
  if (power_limited_ && power_) {
    if (operations_left_ == 0) power_ = false;
    if (operations_left_ > 0) --operations_left_;
  }
  return power_ ? IOStatus::OK() : NoPower();
}

void ForgetfulFileSystem::MoveFile(const std::string& from, const std::string& to) {
  std::filesystem::rename(from, to);
  auto node = files_.extract(from);
  files_.erase(to);
  if (node.empty()) return;
  node.key() = to;
  files_.insert(std::move(node));
}

IOStatus ForgetfulFileSystem::MoveToAttic(const std::string& path, std::string* saved) {
  *saved = attic_ + "/" + std::to_string(++saved_count_);
  MoveFile(path, *saved);
  return IOStatus::OK();
}

std::vector<ForgetfulFileSystem::EntryChange>& ForgetfulFileSystem::ChangesOf(
    const std::string& path) {
  return changes_[DirectoryOf(path)];
}

IOStatus ForgetfulFileSystem::BeginAppend(const std::string&, uint64_t size, uint64_t* fits) {
  std::lock_guard lock(mutex_);
  IOStatus status = Operate();
  if (!status.ok()) return status;
  *fits = size;
  if (free_bytes_ < 0) return status;
  *fits = std::min(size, static_cast<uint64_t>(free_bytes_));
  free_bytes_ -= static_cast<int64_t>(*fits);
  if (*fits == size) return status;
  IOStatus full = IOStatus::NoSpace("No space left on device");
  full.SetRetryable(true);  // as RocksDB's own file system marks it
  return full;
}

void ForgetfulFileSystem::EndAppend(const std::string& path, uint64_t size) {
  std::lock_guard lock(mutex_);
  files_[path].written_bytes += size;
}

void ForgetfulFileSystem::BeginOverwrite(const std::string& path, uint64_t offset, uint64_t size) {
  std::lock_guard lock(mutex_);
  FileState& state = files_[path];
  Overwrite overwrite{offset, std::string(size, '\0')};
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(overwrite.before.data(), static_cast<std::streamsize>(size));
  // What lies behind the end of the file is forgotten with its size.
  overwrite.before.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  state.overwrites.push_back(std::move(overwrite));
  state.written_bytes = std::max(state.written_bytes, offset + size);
}

IOStatus ForgetfulFileSystem::BeginSync(const std::string& path, FileState* written) {
  std::function<void(const std::string&)> hook;
  {
    std::lock_guard lock(mutex_);
    hook = before_sync_;
  }
  if (hook) hook(path);
  std::lock_guard lock(mutex_);
  *written = files_[path];
  if (syncs_fail_) return IOStatus::IOError("Input/output error", path);
  return Operate();
}

void ForgetfulFileSystem::EndSync(const std::string& path, const FileState& written) {
  std::lock_guard lock(mutex_);
  ++sync_count_;
  FileState& state = files_[path];
  state.synced_bytes = std::max(state.synced_bytes, written.written_bytes);
  state.overwrites.erase(
      state.overwrites.begin(),
      state.overwrites.begin() + static_cast<std::ptrdiff_t>(written.overwrites.size()));
}

IOStatus ForgetfulFileSystem::NewWritableFile(const std::string& raw_path,
                                              const rocksdb::FileOptions& options,
                                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                                              IODebugContext* debug) {
  std::string path = Normal(raw_path);
  std::lock_guard lock(mutex_);
  IOStatus status = Operate();
  if (!status.ok()) return status;
  if (failing_creations_ > 0 && path.ends_with(failing_suffix_)) {
    --failing_creations_;
    return IOStatus::IOError("Too many open files", path);
  }
  if (std::filesystem::exists(path)) {
    EntryChange replaced{EntryChange::kDeleted, path, {}, {}};
    status = MoveToAttic(path, &replaced.saved);
    ChangesOf(path).push_back(std::move(replaced));
  }
  std::unique_ptr<rocksdb::FSWritableFile> opened;
  if (status.ok()) status = target()->NewWritableFile(path, options, &opened, debug);
  if (!status.ok()) return status;
  files_[path] = {};
  ChangesOf(path).push_back({EntryChange::kMade, path, {}, {}});
  *file = std::make_unique<TrackedFile>(*this, path, std::move(opened));
  return status;
}

IOStatus ForgetfulFileSystem::ReopenWritableFile(const std::string& raw_path,
                                                 const rocksdb::FileOptions& options,
                                                 std::unique_ptr<rocksdb::FSWritableFile>* file,
                                                 IODebugContext* debug) {
  std::string path = Normal(raw_path);
  std::lock_guard lock(mutex_);
  IOStatus status = Operate();
  std::unique_ptr<rocksdb::FSWritableFile> opened;
  if (status.ok()) status = target()->ReopenWritableFile(path, options, &opened, debug);
  if (!status.ok()) return status;
  if (!files_.contains(path)) {
    uint64_t size = std::filesystem::file_size(path);
    files_[path] = {size, size, {}};
  }
  *file = std::make_unique<TrackedFile>(*this, path, std::move(opened));
  return status;
}

IOStatus ForgetfulFileSystem::ReuseWritableFile(const std::string&, const std::string&,
                                                const rocksdb::FileOptions&,
                                                std::unique_ptr<rocksdb::FSWritableFile>*,
                                                IODebugContext*) {
  return IOStatus::NotSupported("recycled files");
}

IOStatus ForgetfulFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                           std::unique_ptr<rocksdb::FSDirectory>* directory,
                                           IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSDirectory> opened;
  IOStatus status = target()->NewDirectory(path, options, &opened, debug);
  if (!status.ok()) return status;
  std::string normal = Normal(path);
  if (normal.ends_with('/')) normal.pop_back();
  *directory = std::make_unique<TrackedDirectory>(*this, normal, std::move(opened));
  return status;
}

IOStatus ForgetfulFileSystem::DeleteFile(const std::string& raw_path, const IOOptions&,
                                         IODebugContext*) {
  std::string path = Normal(raw_path);
  std::lock_guard lock(mutex_);
  IOStatus status = Operate();
  if (!status.ok()) return status;
  if (!std::filesystem::exists(path)) return IOStatus::PathNotFound(path);
  EntryChange change{EntryChange::kDeleted, path, {}, {}};
  status = MoveToAttic(path, &change.saved);
  ChangesOf(path).push_back(std::move(change));
  return status;
}

IOStatus ForgetfulFileSystem::RenameFile(const std::string& raw_from, const std::string& raw_to,
                                         const IOOptions&, IODebugContext*) {
  std::string from = Normal(raw_from);
  std::string to = Normal(raw_to);
  std::lock_guard lock(mutex_);
  IOStatus status = Operate();
  if (!status.ok()) return status;
  if (!std::filesystem::exists(from)) return IOStatus::PathNotFound(from);
  EntryChange change{EntryChange::kRenamed, from, to, {}};
  if (std::filesystem::exists(to)) status = MoveToAttic(to, &change.saved);
  MoveFile(from, to);
  ChangesOf(to).push_back(std::move(change));
  return status;
}

IOStatus ForgetfulFileSystem::GetFreeSpace(const std::string&, const IOOptions&,
                                           uint64_t* free_bytes, IODebugContext*) {
  std::lock_guard lock(mutex_);
  bool limited = free_bytes_ >= 0 && free_bytes_told_;
  *free_bytes = limited ? static_cast<uint64_t>(free_bytes_) : uint64_t{1} << 40;
  return IOStatus::OK();
}

IOStatus ForgetfulFileSystem::LinkFile(const std::string&, const std::string&, const IOOptions&,
                                       IODebugContext*) {
  return IOStatus::NotSupported("links");
}

}  // namespace kalam::testing_support
