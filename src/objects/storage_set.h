// The open storages of a process, by id.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "objects/storage_settings.h"

namespace kalam::objects {

class BlockCache;

/// Opens a storage when it is first asked for, and anew when its settings have changed. Those who
/// hold a storage keep it; only the next Find gives the new one. Thread-safety: all methods may be
/// called from any thread.
class StorageSet {
 public:
  /// The settings of a storage as they are now; nullopt when there is none.
  using FindSettings =
      std::function<Result<std::optional<StorageSettings>>(std::string_view storage_id)>;

  /// `environment.stopping` is set by the set itself (Stop). `cache` may be null: then remote
  /// ranges are fetched every time.
  StorageSet(FindSettings find_settings, StorageEnvironment environment,
             std::shared_ptr<BlockCache> cache);

  /// Cost: one look-up of the settings. Errors: NotFound ("Storage 'x' not found"), those of
  /// OpenObjectStorage.
  Result<std::shared_ptr<ObjectStorage>> Find(std::string_view storage_id);
  /// The same without the cache: for what is read once, or is replaced under its name by others, as
  /// the files of backups are. Opened anew with every call.
  Result<std::shared_ptr<ObjectStorage>> FindUncached(std::string_view storage_id) const;
  /// A storage that is not (yet) of the set, with the set's environment and without its cache.
  Result<std::unique_ptr<ObjectStorage>> Open(const StorageSettings& settings,
                                              BaseFolder base_folder) const;
  /// Ends the requests under way and all later ones of remote storages with StorageIo, so that
  /// nobody waits for them while the server stops.
  void Stop() { stopping_->store(true); }

 private:
  struct OpenStorage {
    StorageSettings settings;
    std::shared_ptr<ObjectStorage> storage;
  };
  const FindSettings find_settings_;
  const std::shared_ptr<std::atomic<bool>> stopping_;
  const StorageEnvironment environment_;
  const std::shared_ptr<BlockCache> cache_;
  std::mutex mutex_;
  std::map<std::string, OpenStorage, std::less<>> open_;  // guarded by mutex_
};

}  // namespace kalam::objects
