// What retention has removed, or may: the floors of change logs, purged tombstones, expired STREAM
// rows.
//
// Records in kSystem, all written through the replication group as RecordWrites:
//   retention/floor/<table: 4 bytes BE>    -> changes at or below this `_seq` may be gone
//   retention/expired/<table: 4 bytes BE>  -> all rows of the STREAM table at or below it have
//                                             expired
//   retention/purged/<scope prefix>        -> the greatest one of a purged tombstone of that scope
//   retention/stamp/<minute: 8 bytes BE>   -> the newest published one at that minute
// each as a varint. What is not needed any more is not deleted: readers begin behind the floor, and
// flushes and compactions of the store leave it out, without a write of their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "catalog/catalog.h"
#include "replication/group.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::tables {

class TableReader;

/// The `_seq` after which the change log of `table` is complete; 0 when nothing was ever removed.
/// Errors: StorageIo, Corruption.
Result<Seq> ReadFloor(storage::Store& store, TableId table,
                      const storage::SnapshotPtr& snapshot = nullptr);
/// The record that raises the floor. It must be committed before ChangeRetention::Raise is told.
catalog::RecordWrites RaiseFloor(TableId table, Seq floor);
/// How many scopes of `table` have change records with after < `_seq` <= up_to.
Result<int64_t> CountScopesWithChanges(storage::Store& store, TableId table, Seq after, Seq up_to);

/// The greatest `_seq` of a tombstone that was purged from the scope; 0 when none was.
Result<Seq> ReadPurgedTombstone(storage::Store& store, TableId table, const storage::Scope& scope,
                                const storage::SnapshotPtr& snapshot = nullptr);

/// The records for tombstones of one scope that are dropped elsewhere, the newest of them `newest`;
/// nothing when the scope's maximum is as great already. To be committed before the tombstones go.
Result<catalog::RecordWrites> RaisePurgedTombstone(storage::Store& store, TableId table,
                                                   const storage::Scope& scope, Seq newest);

/// Forgets the floors, the purged tombstones and the lost history of a dropped table, whose id is
/// never used again.
Result<catalog::RecordWrites> ForgetTable(storage::Store& store, TableId table);

/// Notes that `published` was the newest `_seq` at `now_us`. A job proposes it once a minute:
/// retention goes by these stamps, never by the clock bits of a `_seq`.
catalog::RecordWrites StampSeq(int64_t now_us, Seq published);
/// The newest `_seq` that is known to have been published by `time_us`; 0 when no stamp is as old.
Result<Seq> SeqAtTime(storage::Store& store, int64_t time_us);
/// Deletes the stamps before `time_us`, but the last of them. At most 10,000.
Result<catalog::RecordWrites> DropStampsBefore(storage::Store& store, int64_t time_us);

/// A piece of a purge of tombstones: commands to propose, and where to go on.
struct TombstonePurge {
  std::shared_ptr<replication::Command> command;  // null when there was nothing to do
  int64_t tombstone_count = 0;
  /// Give it back for the next piece; empty when the table is finished.
  std::string resume_after;
};
/// The next tombstones of `table` at or below `up_to`, at most `count_max` of them, as a command
/// that forgets them unless their rows were written meanwhile (the proposal then ends in a
/// conflict: prepare it again). The command also raises the scopes' purged maximum, so that a
/// resume from state knows what it cannot tell any more. A tombstone stays while a segment has a
/// version of its key, which would come back to life. One purge of a table at a time, and
/// `up_to` not above what was published before the view of a flush that is under way: the flush may
/// be about to write such a version.
Result<TombstonePurge> PrepareTombstonePurge(TableReader& reader, const replication::View& view,
                                             const catalog::TablePtr& table, Seq up_to,
                                             size_t count_max, std::string_view resume_after);

/// The `_seq` up to which all records of a STREAM table have expired; 0 when none is known to have.
/// Whoever reads the table may begin behind it.
Result<Seq> ReadExpired(storage::Store& store, TableId table,
                        const storage::SnapshotPtr& snapshot = nullptr);
catalog::RecordWrites RaiseExpired(TableId table, Seq up_to);

struct ExpiredRows {
  Seq up_to;              // what ReadExpired says, when nothing has expired since
  int64_t row_count = 0;  // behind that, up to `up_to`
};
/// What has expired of a STREAM table since RaiseExpired. `published`: of the group, before the
/// call. Walks over the expired records, and finds the first one of every scope.
Result<ExpiredRows> FindExpiredRows(storage::Store& store, TableId table, int64_t now_us,
                                    Seq published);
/// True when the oldest record of some scope behind ReadExpired has expired.
Result<bool> HasExpiredRows(storage::Store& store, TableId table, int64_t now_us);

/// Decides for compaction which change records may go. Made before the store is opened; drops only
/// expired STREAM records until Load. Thread-safety: any thread; ShouldDrop never blocks.
class ChangeRetention {
 public:
  explicit ChangeRetention(const Clock& clock);
  /// Reads all floors.
  Status Load(storage::Store& store);
  /// After the floor has been committed.
  void Raise(TableId table, Seq floor);
  void Forget(TableId table);
  /// To be bound as StoreOptions::drop_change.
  bool ShouldDrop(std::string_view key, std::string_view value) const;

 private:
  using Floors = std::unordered_map<uint32_t, int64_t>;
  void Replace(Floors floors);

  const Clock& clock_;
  std::mutex write_mutex_;  // one writer at a time replaces `floors_`
  std::atomic<std::shared_ptr<const Floors>> floors_;
};

}  // namespace kalam::tables
