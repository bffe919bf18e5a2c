// The cache of blocks, and the storage that reads through it.
#include "objects/block_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "objects/signing.h"

namespace kalam::objects {

Result<std::shared_ptr<BlockCache>> BlockCache::Open(Options options) {
  std::error_code error;
  std::filesystem::remove_all(options.directory, error);
  std::filesystem::create_directories(options.directory, error);
  if (error) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("Cannot create {}: {}", options.directory, error.message()));
  }
  return std::shared_ptr<BlockCache>(
      new BlockCache(std::move(options)));  // NOLINT: the constructor is private
}

std::string BlockCache::FileOf(const std::string& key) const {
  return fmt::format("{}/{}", options_.directory, key);
}

void BlockCache::Count(const char* name) const {
  if (options_.metrics != nullptr) options_.metrics->counter(name).Add();
}

namespace {

std::string KeyOf(const std::string& object, int64_t block) {
  return fmt::format("{}-{}", Hex(Sha256(object)).substr(0, 32), block);
}

}  // namespace

std::optional<std::string> BlockCache::Get(const std::string& object, int64_t block) {
  const std::string key = KeyOf(object, block);
  int64_t size = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
      Count("storage_cache_misses");
      return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, found->second);
    size = found->second->size;
  }
  // Read outside the lock: the file may be given up meanwhile, which is a miss like any other.
  std::ifstream file(FileOf(key), std::ios::binary);
  std::string bytes(static_cast<size_t>(size), '\0');
  if (!file.read(bytes.data(), size)) {
    Count("storage_cache_misses");
    return std::nullopt;
  }
  Count("storage_cache_hits");
  return bytes;
}

uint64_t BlockCache::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

void BlockCache::Put(const std::string& object, int64_t block, std::string_view bytes,
                     uint64_t generation) {
  const auto size = static_cast<int64_t>(bytes.size());
  const std::string key = KeyOf(object, block);
  const std::lock_guard lock(mutex_);
  if (generation != generation_ || size > options_.bytes_max || by_key_.count(key) > 0) return;
  while (bytes_ + size > options_.bytes_max) Remove(std::prev(entries_.end()));
  std::ofstream file(FileOf(key), std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), size);
  file.close();
  if (!file) {
    std::error_code ignored;
    std::filesystem::remove(FileOf(key), ignored);
    return;
  }
  entries_.push_front({.object = object, .key = key, .size = size});
  by_key_[key] = entries_.begin();
  bytes_ += size;
  if (options_.metrics != nullptr) options_.metrics->gauge("storage_cache_bytes").Set(bytes_);
}

void BlockCache::Remove(Entries::iterator entry) {
  std::error_code ignored;
  std::filesystem::remove(FileOf(entry->key), ignored);
  bytes_ -= entry->size;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

void BlockCache::Forget(const std::string& object) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->object == object) Remove(entry);
    entry = next;
  }
}

namespace {

class CachedStorage : public ObjectStorage {
 public:
  CachedStorage(std::shared_ptr<ObjectStorage> storage, std::shared_ptr<BlockCache> cache,
                std::string identity)
      : storage_(std::move(storage)), cache_(std::move(cache)), identity_(std::move(identity)) {}

  Status PutFile(const std::string& local_file, const std::string& path) override {
    Status put = storage_->PutFile(local_file, path);
    cache_->Forget(NameOf(path));
    return put;
  }
  Status Put(const std::string& path, std::string_view bytes) override {
    Status put = storage_->Put(path, bytes);
    cache_->Forget(NameOf(path));
    return put;
  }
  Status Delete(const std::string& path) override {
    Status deleted = storage_->Delete(path);
    cache_->Forget(NameOf(path));
    return deleted;
  }
  Result<ObjectEntry> Stat(const std::string& path) override { return storage_->Stat(path); }
  Status List(const std::string& prefix,
              const std::function<bool(const ObjectEntry&)>& visit) override {
    return storage_->List(prefix, visit);
  }
  std::string LocalPath(const std::string& path) const override {
    return storage_->LocalPath(path);
  }

  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    if (offset < 0 || length <= 0) return storage_->Read(path, offset, length);
    const int64_t begin = offset / kCacheBlockBytes, end = (offset + length - 1) / kCacheBlockBytes;
    std::string bytes;  // from the beginning of the first block
    for (int64_t block = begin; block <= end;) {
      if (auto cached = cache_->Get(NameOf(path), block)) {
        bytes += *cached;
        if (static_cast<int64_t>(cached->size()) < kCacheBlockBytes) break;  // the object ends
        ++block;
        continue;
      }
      // The rest in one request: what follows a block that is missing mostly is missing too.
      const int64_t wanted = (end - block + 1) * kCacheBlockBytes;
      KALAM_ASSIGN_OR_RETURN(const std::string fetched, Fetch(path, block, wanted));
      bytes += fetched;
      break;
    }
    const auto skipped = static_cast<size_t>(offset - begin * kCacheBlockBytes);
    if (skipped >= bytes.size()) return std::string();
    return bytes.substr(skipped, static_cast<size_t>(length));
  }

 private:
  std::string NameOf(const std::string& path) const { return identity_ + "\n" + path; }

  Result<std::string> Fetch(const std::string& path, int64_t first_block, int64_t wanted) {
    const uint64_t generation = cache_->generation();
    KALAM_ASSIGN_OR_RETURN(std::string bytes,
                           storage_->Read(path, first_block * kCacheBlockBytes, wanted));
    for (size_t at = 0; at < bytes.size(); at += kCacheBlockBytes) {
      const int64_t block = first_block + static_cast<int64_t>(at) / kCacheBlockBytes;
      cache_->Put(NameOf(path), block, std::string_view(bytes).substr(at, kCacheBlockBytes),
                  generation);
    }
    return bytes;
  }

  const std::shared_ptr<ObjectStorage> storage_;
  const std::shared_ptr<BlockCache> cache_;
  const std::string identity_;
};

}  // namespace

std::unique_ptr<ObjectStorage> MakeCachedStorage(std::shared_ptr<ObjectStorage> storage,
                                                 std::shared_ptr<BlockCache> cache,
                                                 std::string identity) {
  return std::make_unique<CachedStorage>(std::move(storage), std::move(cache), std::move(identity));
}

}  // namespace kalam::objects
