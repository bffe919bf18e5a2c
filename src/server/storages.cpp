// From storage records to open storages.
#include "server/storages.h"

#include <filesystem>

#include "objects/block_cache.h"

namespace kalam::server {

Result<std::unique_ptr<objects::StorageSet>> OpenStorages(const Settings& settings,
                                                          const catalog::Catalog& catalog,
                                                          Metrics& metrics) {
  const std::string local_folder = settings.text("storage.data_path") + "/storage";
  std::error_code error;
  std::filesystem::create_directories(local_folder, error);
  if (error) {
    return Status(ErrorKind::StorageIo, "Cannot create " + local_folder + ": " + error.message());
  }
  objects::StorageEnvironment environment;
  environment.connect_timeout_ms = settings.number("storage.remote_timeouts.connect") * 1'000;
  environment.request_timeout_ms = settings.number("storage.remote_timeouts.request") * 1'000;
  environment.retry_for_ms = settings.number("storage.remote_timeouts.retry") * 1'000;
  environment.metrics = &metrics;
  std::shared_ptr<objects::BlockCache> cache;
  if (const int64_t bytes_max = settings.number("storage.remote_cache_size"); bytes_max > 0) {
    KALAM_ASSIGN_OR_RETURN(cache,
                           objects::BlockCache::Open(
                               {.directory = settings.text("storage.data_path") + "/cache/objects",
                                .bytes_max = bytes_max,
                                .metrics = &metrics}));
  }
  return std::make_unique<objects::StorageSet>(
      [&catalog, local_folder](
          std::string_view storage_id) -> Result<std::optional<objects::StorageSettings>> {
        KALAM_ASSIGN_OR_RETURN(const auto record, catalog.FindStorage(storage_id));
        if (!record) return std::optional<objects::StorageSettings>();
        // The data directory may have moved since the record was written.
        return std::optional<objects::StorageSettings>(
            {.storage_id = record->storage_id,
             .type = record->storage_type,
             .base_directory = storage_id == "local" ? local_folder : record->base_directory,
             .config_json = record->config_json,
             .credentials_json = record->credentials_json});
      },
      std::move(environment), std::move(cache));
}

files::FileLimits FileLimitsFrom(const Settings& settings) {
  files::FileLimits limits;
  limits.file_bytes_max = settings.number("files.max_size_bytes");
  limits.files_per_request_max =
      static_cast<size_t>(settings.number("files.max_files_per_request"));
  limits.files_per_folder_max = settings.number("files.max_files_per_folder");
  limits.allowed_mime_types = settings.list("files.allowed_mime_types");
  limits.staging_path = settings.text("files.staging_path");
  if (limits.staging_path.empty())
    limits.staging_path = settings.text("storage.data_path") + "/tmp";
  limits.deletion_delay_seconds = settings.number("files.deletion_delay_seconds");
  return limits;
}

}  // namespace kalam::server
