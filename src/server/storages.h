// The storages of the catalog, opened with the bounds of the configuration.
#pragma once

#include <memory>

#include "catalog/catalog.h"
#include "files/file_store.h"
#include "objects/storage_set.h"
#include "server/settings.h"

namespace kalam::server {

/// Makes the folder of the storage `local`, which lies below the data directory wherever that is
/// now, and a set that finds the others by their records. `catalog` and `metrics` must outlive it.
/// Errors: StorageIo.
Result<std::unique_ptr<objects::StorageSet>> OpenStorages(const Settings& settings,
                                                          const catalog::Catalog& catalog,
                                                          Metrics& metrics);

/// The limits of uploads and where they arrive.
files::FileLimits FileLimitsFrom(const Settings& settings);

}  // namespace kalam::server
