// Objects as block blobs in a container of Azure Blob Storage.
#pragma once

#include <memory>

#include "objects/storage_settings.h"

namespace kalam::objects {

/// With "account_name" and "access_key" (SharedKey) or "sas_token"; "endpoint" for anything but
/// https://<account>.blob.core.windows.net. Errors: InvalidOperation.
Result<std::unique_ptr<ObjectStorage>> OpenAzureStorage(const StorageSettings& settings,
                                                        const StorageEnvironment& environment);

}  // namespace kalam::objects
