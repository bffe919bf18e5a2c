// Blocks of remote objects on the local disk, the least recently used ones given up first.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/metrics.h"
#include "base/status.h"
#include "objects/object_storage.h"

namespace kalam::objects {

inline constexpr int64_t kCacheBlockBytes = 256 << 10;

/// Lives as long as the process: what an earlier one left is removed when it is made. A block that
/// cannot be written or read is simply not cached. Memory: about 200 bytes a block. Thread-safety:
/// any thread.
class BlockCache {
 public:
  struct Options {
    std::string directory;
    int64_t bytes_max = 0;
    Metrics* metrics = nullptr;  // `storage_cache_hits`, `_misses`, `_bytes`; may be null
  };
  /// Errors: StorageIo when the folder cannot be made.
  static Result<std::shared_ptr<BlockCache>> Open(Options options);

  /// The block with this number of an object, as an earlier Put gave it.
  std::optional<std::string> Get(const std::string& object, int64_t block);
  /// Keeps a block unless an object was forgotten since `generation` was asked for: then it may be
  /// of a state that is gone.
  void Put(const std::string& object, int64_t block, std::string_view bytes, uint64_t generation);
  uint64_t generation() const;
  /// Forgets all blocks of an object that was replaced or deleted.
  void Forget(const std::string& object);

 private:
  explicit BlockCache(Options options) : options_(std::move(options)) {}
  struct Entry {
    std::string object;
    std::string key;
    int64_t size = 0;
  };
  using Entries = std::list<Entry>;
  void Remove(Entries::iterator entry);
  std::string FileOf(const std::string& key) const;
  void Count(const char* name) const;

  const Options options_;
  mutable std::mutex mutex_;
  Entries entries_;                                            // guarded by mutex_; newest first
  std::unordered_map<std::string, Entries::iterator> by_key_;  // guarded by mutex_
  int64_t bytes_ = 0;                                          // guarded by mutex_
  uint64_t generation_ = 0;                                    // guarded by mutex_
};

/// `storage` with ranges read through `cache`, in whole blocks. `identity` tells storages apart
/// that share the cache. Reads up to the end (`length` -1) go past it: so are read the small
/// objects that other servers may replace.
std::unique_ptr<ObjectStorage> MakeCachedStorage(std::shared_ptr<ObjectStorage> storage,
                                                 std::shared_ptr<BlockCache> cache,
                                                 std::string identity);

}  // namespace kalam::objects
