// From a storage's type to the class that serves it.
#include <fmt/format.h>

#include "objects/file_storage.h"
#include "objects/storage_settings.h"

namespace kalam::objects {

Result<std::unique_ptr<ObjectStorage>> OpenObjectStorage(const StorageSettings& settings,
                                                         const StorageEnvironment&,
                                                         BaseFolder base_folder) {
  const std::string& type = settings.type;
  if (type == "filesystem") return OpenFileStorage(settings, base_folder);
  if (type == "s3" || type == "gcs" || type == "gs" || type == "azure" || type == "az") {
    return Status(ErrorKind::NotAvailable,
                  fmt::format("Storages of type '{}' are not available in this release", type));
  }
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("Invalid storage type '{}'. Must be 'filesystem', 's3', 'gcs', or 'azure'",
                  type));
}

}  // namespace kalam::objects
