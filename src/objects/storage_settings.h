// What is needed to open a storage: its record's settings, and the bounds that all remote ones
// share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/status.h"
#include "objects/object_storage.h"

namespace kalam::objects {

/// One storage as `system.storages` keeps it. Compared to see whether an open storage is still the
/// one that is meant.
struct StorageSettings {
  std::string storage_id;
  std::string type;              // "filesystem", "s3", "gcs" (or "gs"), "azure" (or "az")
  std::string base_directory;    // a folder, or s3://bucket/prefix, gs://, gcs://, az://, azure://
  std::string config_json;       // empty or an object
  std::string credentials_json;  // empty or an object; its keys win over those of `config_json`
  bool operator==(const StorageSettings&) const = default;
};

/// Bounds and places that all storages of a process share.
struct StorageEnvironment {
  int64_t connect_timeout_ms = 5'000;
  int64_t request_timeout_ms = 60'000;  // one request, whatever it carries
  int64_t retry_for_ms = 30'000;        // repeated requests together; 0: never repeated
  int64_t multipart_bytes = 16 << 20;   // larger files go up in parts of this size
  int32_t list_page_max = 1'000;        // objects asked for at once by a listing
  /// Asked while waiting: true ends the request with StorageIo. May be empty.
  std::function<bool()> stopping;
  /// Counters `storage_requests`, `storage_retries`, ...; may be null.
  Metrics* metrics = nullptr;
};

enum class BaseFolder : uint8_t { kMustExist, kCreate };

/// Opens a storage. Does no request: whether it answers is seen at the first one. A folder is made
/// with `kCreate`. Errors: InvalidOperation (unknown type, settings that do not fit it; texts never
/// repeat a credential), NotAvailable (a type that this build lacks), StorageIo (the folder cannot
/// be made).
Result<std::unique_ptr<ObjectStorage>> OpenObjectStorage(const StorageSettings& settings,
                                                         const StorageEnvironment& environment,
                                                         BaseFolder base_folder);

}  // namespace kalam::objects
