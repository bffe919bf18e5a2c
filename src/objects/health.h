// Whether a storage does what it is needed for, tried out with one small object.
#pragma once

#include <cstdint>
#include <string>

#include "objects/object_storage.h"

namespace kalam::objects {

struct StorageHealth {
  bool writable = false, listable = false, readable = false, deletable = false;
  int64_t latency_us = 0;
  std::string error;  // the first failure; empty when there was none

  /// "healthy", "degraded" or "unreachable" (nothing works).
  std::string_view status() const;
};

/// Puts, lists, reads and deletes an object below `.kalamdb-health-check`.
StorageHealth CheckHealth(ObjectStorage& storage);

struct FileSystemSpace {
  int64_t total_bytes = 0, used_bytes = 0;
};
/// Of the disk below a local folder; false for remote storages.
bool ReadSpace(const ObjectStorage& storage, FileSystemSpace* space);

}  // namespace kalam::objects
