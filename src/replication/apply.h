// Apply: what a command writes. Deterministic, without the catalog, the same on a single node and
// in a cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "replication/command.h"
#include "storage/store.h"

namespace kalam::replication {

/// Appends the writes of `command`, whose rows take `base`, `base + 1`, ..., to `batch`:
/// - a row puts its record and its order entry, and single-deletes the order entry of the version
/// it replaces (known from `read_seq`, which append has checked; a version in a segment has none);
/// a delete leaves a tombstone in both;
/// - a version that is forgotten loses its record and its order entry, and that is all;
/// - a row of a STREAM table writes a change record only; deleting one removes the record of
/// `read_seq`;
/// - every other row appends a change record;
/// - dropped tables lose all their keys; the records go where they say.
void ApplyCommand(const Command& command, Seq base, int64_t commit_time_us,
                  storage::WriteBatch* batch);

/// How far a group has applied, written in the same batch as what it applied.
struct GroupRecord {
  uint64_t last_applied = 0;  // position of the last command
  Seq last_seq;               // greatest `_seq` given to a row
};
/// Where the record of the standalone group lies in kLog.
inline constexpr std::string_view kStandaloneGroupKey = "\x01group/standalone";
void PutGroupRecord(const GroupRecord& record, storage::WriteBatch* batch);
/// A record of zeros when nothing was ever applied. Errors: Corruption, StorageIo.
Result<GroupRecord> ReadGroupRecord(storage::Store& store);

}  // namespace kalam::replication
