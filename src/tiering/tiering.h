// The cold tier's work: moving rows from the store into segments, merging segments, and deleting
// files that nobody reads any more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/memory_account.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "storage/key_layout.h"
#include "tiering/hot_row_counts.h"
#include "tiering/old_tombstones.h"

namespace kalam::tiering {

/// Called with the name of a step that was just done; a test ends the process there. May be empty.
using FailPoint = std::function<void(std::string_view)>;

/// Which segments a compaction merges.
enum class CompactionScope : uint8_t {
  kAll,            // all groups of segments whose keys overlap or which are small
  kSmallSegments,  // the small ones of places that have many of them
  kOldTombstones,  // overlapping ones of which a good part are tombstones that may go
};

/// What a piece of work is told and tells.
struct Work {
  std::function<bool()> cancelled;          // polled; may be empty
  std::function<void(std::string)> report;  // progress, for people; may be empty
  bool is_repeated = false;                 // an earlier run may have left files behind
  CompactionScope compaction_scope = CompactionScope::kAll;  // of a compaction
  std::vector<storage::Scope> scopes;  // of a flush: those alone; empty: the whole table
  MemoryAccount* memory = nullptr;     // charged with what the work holds; may be null
};

struct FlushOutcome {
  bool table_found = true;
  int64_t row_count = 0;
  int64_t file_count = 0;
  /// The table has enough small segments for a compaction.
  bool wants_compaction = false;
};

struct CompactionOutcome {
  bool table_found = true;
  int64_t segments_before = 0;
  int64_t segments_after = 0;
  int64_t dropped_row_count = 0;  // replaced versions and old tombstones
};

struct RebuildOutcome {
  bool table_found = true;
  int64_t segment_count = 0;  // that were found again
  int64_t row_count = 0;      // in them
  int64_t damaged_count = 0;  // files that could not be taken, or are missing
  int64_t manifest_count = 0;
  /// What was found damaged or missing, each with its path: the first few.
  std::vector<std::string> problems;
};

/// A manifest.json that is not what the index says; its rows are readable all the same.
struct ManifestProblem {
  std::string table_name;  // `ns.table`
  std::string path;
  std::string problem;  // "does not match its checksum"
};

/// One folder of segments, as system.manifest shows it.
struct ManifestRow {
  std::string cache_key;  // ns:table:scope
  std::string namespace_id, table_name;
  std::string scope;  // "shared", a user id, or "_many"
  std::string etag;
  int64_t updated_at_us = 0;
  std::string manifest_json;
};

/// The files of a table that is about to be dropped.
struct TableFiles {
  catalog::RecordWrites writes;
  std::string folder_prefix;  // empty: the table has no folder of its own
};

/// A table whose definition is gone.
struct DroppedTable {
  TableId id;
  std::string namespace_id, name;
  std::string storage_id;
  std::string folder_prefix;  // TableFolderPrefix, when it still was there
};

/// Flushes and compactions of one table wait for each other; those of different tables may run side
/// by side. All of the work may run twice, after a crash or a retry, and then finds less to do.
/// Thread-safety: all methods may be called from any thread; those that return a Result block for
/// long and want a thread of their own. Memory: one row group and eight bytes a row of one segment,
/// and the rows of one small scope; the file is put together in the engine's memory.
class Tiering {
 public:
  virtual ~Tiering() = default;

  virtual HotRowCounts& counts() = 0;
  /// Ok when segments can be written; else why Flush and Compact would not work. Costs next to
  /// nothing. Errors: NotAvailable (no engine).
  virtual Status CheckCanWrite() const = 0;
  /// Tables whose rows and segments came into the store without commits, as a namespace does that
  /// is brought back: counts what is hot of them. Errors: StorageIo, Corruption.
  virtual Status TakeIn(const std::vector<TableId>& tables) = 0;
  /// True when the table has rows that a flush would move. One seek.
  virtual Result<bool> HasHotRows(TableId table) = 0;

  /// Moves the table's hot rows, as they are now, into segments: all, or those of the work's
  /// scopes. Errors: Cancelled, NotAvailable
  /// (no engine, no storage), StorageIo, MemoryExceeded, those of a proposal. After an error
  /// everything is where it was or in its segment, and the next flush goes on.
  virtual Result<FlushOutcome> Flush(TableId table, const Work& work) = 0;
  /// Merges the segments that the work's scope names; drops replaced versions, and tombstones that
  /// were published at or before `tombstones_up_to` where no other segment may hold an older
  /// version of the key.
  virtual Result<CompactionOutcome> Compact(TableId table, Seq tombstones_up_to,
                                            const Work& work) = 0;

  /// The tables in which a compaction of kOldTombstones has something to do; `up_to` says which
  /// tombstones of a table may go. Each is named once until a flush or a compaction has changed its
  /// segments. Looks at nothing but tables with many tombstones, and those that were flushed since
  /// the last call. Errors: StorageIo, Corruption, those of `up_to`.
  virtual Result<std::vector<TableId>> TakeWithOldTombstones(const DroppableTombstones& up_to) = 0;

  /// Tables with rows that are hot and cold at once, or with files and parts of segments that never
  /// came to be, although nobody is at work on them: a flush failed, was cancelled or ended with
  /// the process. Each is named once until its next work ends. Looks at nothing but tables that
  /// were worked on since the last call; the first call at all with segments. Errors: StorageIo,
  /// Corruption.
  virtual Result<std::vector<TableId>> TakeWithUnfinishedEvictions() = 0;
  /// Forgets the hot copies of rows that segments hold, and removes what never came to be; moves no
  /// rows. False when the table is gone. Errors: as Flush.
  virtual Result<bool> FinishEvictions(TableId table, const Work& work) = 0;

  /// Takes segment files into the index that it knows nothing of, because its records were lost or
  /// the files were brought here, and writes all manifests of the table again.
  virtual Result<RebuildOutcome> Rebuild(TableId table, const Work& work) = 0;

  /// Reads every manifest.json of a storage and compares it with the index. Tables that are being
  /// flushed or compacted are left out: that work writes theirs. Errors: NotFound (no such
  /// storage), StorageIo, Corruption.
  virtual Result<std::vector<ManifestProblem>> CheckManifests(const std::string& storage_id) = 0;
  /// Writes every manifest.json of a table again; of one whose segments were not put there by a
  /// flush or a compaction. Errors: StorageIo, NotFound.
  virtual Status WriteManifests(TableId table) = 0;

  /// The newest tombstone that may be purged from the store now: a flush that is under way may be
  /// about to write the row that a newer one hides. To be asked behind the purge's view.
  virtual Seq PurgeLimit(TableId table) = 0;

  /// Deletes the files that compactions have replaced, once their grace is over and no reader holds
  /// them. Returns how many.
  virtual Result<int64_t> DeleteRetired(const Work& work) = 0;
  /// Whether DeleteRetired would find a file now.
  virtual Result<bool> HasRetired() = 0;
  /// What DROP TABLE puts into its command, so that the table's files are deleted later, and the
  /// folder that CleanUpDropped is to be given. Errors: StorageIo, Corruption.
  virtual Result<TableFiles> PrepareDrop(const catalog::TableDefinition& table) = 0;
  /// Deletes what is left of a dropped table in its storage and in the index. Files that a table of
  /// the same name has by now stay. Returns how many files.
  virtual Result<int64_t> CleanUpDropped(const DroppedTable& table, const Work& work) = 0;

  /// The manifests of all tables, made from the index.
  virtual Result<std::vector<ManifestRow>> ListManifests() = 0;
};

}  // namespace kalam::tiering
