// A copy of the database that runs, for backups.
#pragma once

#include <string>

#include "storage/store.h"

namespace kalam::storage {

/// Writes a copy of the database as it is now, openable by itself, into `folder`, which must not
/// exist yet; table files are links, so it belongs on the same disk. Writers go on. Errors:
/// StorageIo; then the folder is gone again.
Status WriteCheckpoint(Store& store, const std::string& folder);

}  // namespace kalam::storage
