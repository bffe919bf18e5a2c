// Stretches of `_seq` that a restore has undone: who holds a cursor from one cannot be told what
// changed since.
//
// Records in kSystem, written through the replication group as RecordWrites:
//   retention/lost/<table: 4 bytes BE; 0: all tables>  -> (after: varint, before: varint)...
#pragma once

#include "base/ids.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "storage/store.h"

namespace kalam::tables {

/// What was numbered after `after` and before `before` is gone, all of it.
struct LostHistory {
  Seq after;
  Seq before;
};

/// The first `_seq` of a moment. 0 before the epoch of `_seq`.
Seq FirstSeqOf(int64_t time_us);

/// The record that adds `lost` for one table, or for all that there are and will be (TableId{}).
/// Errors: StorageIo, Corruption.
Result<catalog::RecordWrites> NoteLostHistory(storage::Store& store, TableId table,
                                              LostHistory lost);
/// The record that says `lost` and nothing else of a table.
catalog::RecordWrite SetLostHistory(TableId table, LostHistory lost);
catalog::RecordWrite ForgetLostHistory(TableId table);

/// Whether a client has `cursor` from what a restore has undone in the table. Errors: StorageIo,
/// Corruption.
Result<bool> IsOfLostHistory(storage::Store& store, TableId table, Seq cursor);

}  // namespace kalam::tables
