// What the cold tier works with, and how it is opened.
#pragma once

#include <memory>
#include <string>

#include "analytics/engine.h"
#include "base/clock.h"
#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "replication/group.h"
#include "segments/segment_store.h"
#include "storage/store.h"
#include "tiering/folder_contents.h"
#include "tiering/tiering.h"

namespace kalam::tiering {

struct TieringServices {
  storage::Store& store;
  catalog::Catalog& catalog;
  replication::ReplicationGroup& group;
  analytics::Engine& engine;
  segments::SegmentStore& segments;
  segments::StorageLookup storage_of;
  const Clock& clock;
  FindContents contents_of;         // may be empty; not called before the first work on a table
  int64_t engine_bytes = 16 << 20;  // the memory that the engine has
};

struct TieringOptions {
  FlushDefaults flush_defaults;
  std::string temp_directory;  // of files while they are written; emptied at Open
  /// Between the commit that replaces a segment and the deletion of its file: longer than any
  /// statement may run.
  int64_t retired_grace_seconds = 900;
  /// A place with so many segments of less than half the full size is worth a compaction.
  size_t small_segments_max = 8;
  MemoryAccount* account = nullptr;  // of the counts of hot rows; may be null
  FailPoint fail_point;
};

/// Everything in `services` must outlive it. Errors: StorageIo (the temporary folder).
Result<std::unique_ptr<Tiering>> OpenTiering(const TieringServices& services,
                                             const TieringOptions& options);

}  // namespace kalam::tiering
