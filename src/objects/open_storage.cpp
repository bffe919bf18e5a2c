// From a storage's type to the class that serves it.
#include <fmt/format.h>

#include "objects/azure_storage.h"
#include "objects/file_storage.h"
#include "objects/s3_storage.h"
#include "objects/storage_settings.h"

namespace kalam::objects {

Result<std::unique_ptr<ObjectStorage>> OpenObjectStorage(const StorageSettings& settings,
                                                         const StorageEnvironment& environment,
                                                         BaseFolder base_folder) {
  const std::string& type = settings.type;
  if (type == "filesystem") return OpenFileStorage(settings, base_folder);
  if (type == "s3") return OpenS3Storage(settings, environment);
  if (type == "gcs" || type == "gs") return OpenGcsStorage(settings, environment);
  if (type == "azure" || type == "az") return OpenAzureStorage(settings, environment);
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("Invalid storage type '{}'. Must be 'filesystem', 's3', 'gcs', or 'azure'",
                  type));
}

}  // namespace kalam::objects
