// Objects as files below a folder.
#pragma once

#include <memory>
#include <string>

#include "objects/storage_settings.h"

namespace kalam::objects {

/// A storage over `settings.base_directory`. Put and PutFile write under a temporary name, or take
/// over the local file by a rename, and fsync file and folder. Delete also removes folders that it
/// emptied. Errors: StorageIo when the folder cannot be made (`kCreate`).
Result<std::unique_ptr<ObjectStorage>> OpenFileStorage(const StorageSettings& settings,
                                                       BaseFolder base_folder);

}  // namespace kalam::objects
