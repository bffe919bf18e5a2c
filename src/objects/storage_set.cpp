// Opening storages on demand.
#include "objects/storage_set.h"

#include <fmt/format.h>

#include "objects/block_cache.h"

namespace kalam::objects {
namespace {

StorageEnvironment WithStopping(StorageEnvironment environment,
                                std::shared_ptr<std::atomic<bool>> stopping) {
  environment.stopping = [stopping = std::move(stopping)] { return stopping->load(); };
  return environment;
}

}  // namespace

StorageSet::StorageSet(FindSettings find_settings, StorageEnvironment environment,
                       std::shared_ptr<BlockCache> cache)
    : find_settings_(std::move(find_settings)),
      stopping_(std::make_shared<std::atomic<bool>>(false)),
      environment_(WithStopping(std::move(environment), stopping_)),
      cache_(std::move(cache)) {}

Result<std::shared_ptr<ObjectStorage>> StorageSet::Find(std::string_view storage_id) {
  KALAM_ASSIGN_OR_RETURN(const auto settings, find_settings_(storage_id));
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(storage_id);
  if (!settings) {
    if (found != open_.end()) open_.erase(found);
    return Status(ErrorKind::NotFound, "Storage '" + std::string(storage_id) + "' not found");
  }
  if (found != open_.end() && found->second.settings == *settings) return found->second.storage;
  KALAM_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStorage> storage,
                         Open(*settings, BaseFolder::kMustExist));
  if (cache_ != nullptr && settings->type != "filesystem") {
    // The place is part of the name: after ALTER the same path is another object.
    storage = MakeCachedStorage(std::move(storage), cache_,
                                fmt::format("{}\n{}\n{}", settings->storage_id,
                                            settings->base_directory, settings->config_json));
  }
  open_.insert_or_assign(std::string(storage_id), OpenStorage{*settings, storage});
  return storage;
}

Result<std::shared_ptr<ObjectStorage>> StorageSet::FindUncached(std::string_view storage_id) const {
  KALAM_ASSIGN_OR_RETURN(const auto settings, find_settings_(storage_id));
  if (!settings)
    return Status(ErrorKind::NotFound, "Storage '" + std::string(storage_id) + "' not found");
  KALAM_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStorage> storage,
                         Open(*settings, BaseFolder::kMustExist));
  return storage;
}

Result<std::unique_ptr<ObjectStorage>> StorageSet::Open(const StorageSettings& settings,
                                                        BaseFolder base_folder) const {
  return OpenObjectStorage(settings, environment_, base_folder);
}

}  // namespace kalam::objects
