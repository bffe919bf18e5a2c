// Commands: deterministic sets of row images and records, the only form in which anything changes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "catalog/catalog.h"
#include "storage/key_layout.h"

namespace kalam::replication {

/// Values are on disk (change records): never renumber.
enum class ChangeOp : uint8_t { kInsert = 1, kUpdate = 2, kDelete = 3 };

/// One row's transition, evaluated on a view: what it becomes and the version it was computed from.
struct RowMutation {
  TableId table;
  storage::Scope scope;
  std::string encoded_pk;  // by EncodeKey; for STREAM tables without a key: empty
  ChangeOp op = ChangeOp::kInsert;
  uint32_t schema_version = 1;  // of `row` and `old_cells`
  /// The `_seq` that the row had in the view, also of a tombstone; 0 when there was no row at all.
  Seq read_seq;
  bool read_was_tombstone = false;
  /// The version at `read_seq` lies in a segment: the store has neither a row nor an order entry of
  /// it.
  bool read_was_cold = false;
  /// Of rows that the store did not have in the view (cold ones, and none at all): the version of
  /// the table's set of segments in that view; 0 when it never had one.
  uint64_t segments_version = 0;
  std::string
      row;  // by EncodeRow: the new image; for a delete the last values (kept in the tombstone)
  std::string old_cells;    // by EncodeSparseRow: the cells that changed; for a delete all of them;
                            // empty for an insert
  bool is_stream = false;   // only a change record is written
  uint32_t max_buffer = 0;  // STREAM: TableOptions::max_buffer
  int64_t expire_at_us = 0;  // STREAM: when it stops being visible
  /// No change: the store forgets the version that was read at `read_seq` and its order entry, a
  /// tombstone that is purged or a row that a segment holds by now. Checked against concurrent
  /// writes like any other; leaves no change record, and nobody is told.
  bool forgets_version = false;
};

/// Keys of rows or of order entries from `begin` (inside) to `end` (not inside).
struct ForgottenRange {
  storage::Family family = storage::Family::kRows;
  std::string begin, end;
};

struct Command {
  /// The view that the mutations were evaluated on .
  Seq view_seq;
  std::vector<RowMutation> rows;
  catalog::RecordWrites records;
  /// Ranges to delete with it (DROP TABLE): all keys of these tables in every row family and in the
  /// index of segments.
  std::vector<TableId> dropped_tables;
  /// Versions that segments hold by now, forgotten without naming them one by one. Their keys are
  /// not checked against concurrent writes: such a command is appended only if nothing has been
  /// since its proposer entered the gate, and is answered with Conflict else.
  std::vector<ForgottenRange> forgotten_ranges;
  size_t byte_size() const;
};

/// Largest entry of a replicated log; a command above it is split over several entries of one
/// atomic batch.
inline constexpr size_t kCommandEntryBytesMax = 16u << 20;
/// Largest command; TooLarge beyond it. Above the default bound of a transaction's buffer (100
/// MiB).
inline constexpr size_t kCommandBytesMax = 256u << 20;

/// One committed change as the fan-out sees it. Shares the command's bytes.
struct CommittedChange {
  const RowMutation* mutation;  // lives as long as the CommittedBatch
  Seq seq;
};

/// Everything that one durable write made visible, in order. Immutable, shared by all cores.
struct CommittedBatch {
  Seq published_seq;  // the head after it
  int64_t commit_time_us = 0;
  std::vector<CommittedChange> changes;  // ascending seq
  /// Index into `changes` where each command begins: a command's changes are delivered together.
  std::vector<uint32_t> command_begins;
  /// Tables that were dropped or altered in it.
  std::vector<TableId> dropped_tables;
  bool catalog_changed = false;
  std::vector<std::shared_ptr<const Command>> commands;  // keeps the mutations alive
  /// What it holds in memory, for whoever keeps it.
  size_t byte_size() const;
};

}  // namespace kalam::replication
