// How far the change log of a table must be cut to stay within a number of bytes.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/status.h"
#include "storage/store.h"

namespace kalam::jobs {

/// Bytes of the change log of `table` in files and in memory; an estimate.
int64_t ChangeLogBytes(const storage::Store& store, TableId table);

/// A `_seq` at or below which enough changes lie that without them the log has about `bytes_max`
/// bytes; 0 when it has no more now. `newest` bounds the answer. Looks at a sample of the scopes,
/// so that of a table with many the answer is near, not exact: ask again after the cut. Errors:
/// StorageIo.
Result<Seq> FloorForBytes(storage::Store& store, TableId table, int64_t bytes_max, Seq newest);

}  // namespace kalam::jobs
