// A flush: one table's hot rows into segments, as one view shows them.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "objects/object_storage.h"
#include "tiering/manifest.h"
#include "tiering/open_tiering.h"
#include "tiering/segment_writer.h"

namespace kalam::tiering {

/// A table that is being worked on, with what belongs to it.
struct WorkedTable {
  catalog::TablePtr table;
  catalog::StorageRecord storage_record;
  std::shared_ptr<objects::ObjectStorage> storage;
  std::string temp_directory;
  Work work;  // cancelled also when the table is dropped
  FailPoint fail_point;
  const std::atomic<uint64_t>* writes = nullptr;  // as in EvictionServices
  int64_t engine_bytes = 0;                       // as in TieringServices

  void Reached(std::string_view point) const {
    if (fail_point) fail_point(point);
  }
  SegmentTarget TargetAt(const segments::SegmentPlace& place, std::string_view job) const;
};

/// Proposes a change of the table's segments and waits. Errors: those of a proposal; NotFound when
/// the table was dropped meanwhile (then the change is undone).
Status CommitSegments(const TieringServices& services, const WorkedTable& worked,
                      segments::SegmentChange* change);

/// Finishes the evictions that an earlier flush has left. Errors: as Tiering::Flush.
Status FinishEvictions(const TieringServices& services, const WorkedTable& worked);

/// The flush proper: what is hot and not newer than `view`, whose snapshot is given back with the
/// first segment. `worked.table` must not be older than `view`.
Result<FlushOutcome> FlushView(const TieringServices& services, const WorkedTable& worked,
                               replication::View view);

}  // namespace kalam::tiering
