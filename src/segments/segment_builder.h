// Makes the index records of new segments, and the one set of writes that changes a table's
// segments.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_account.h"
#include "catalog/schema.h"
#include "objects/object_storage.h"
#include "segments/segment_record.h"

namespace kalam::segments {

/// How many rows a row group should have, for rows of about so many bytes: kRowGroupRows, fewer
/// when they are wide (a power of two), about 1 MB of them.
int64_t RowGroupRowsFor(int64_t row_bytes_average);

/// A segment whose file is written, ready to be committed.
struct BuiltSegment {
  SegmentRecord record;
  std::vector<RowGroup> row_groups;
  std::vector<std::string> bloom_blocks;
};

struct SegmentBuilderOptions {
  catalog::TablePtr table;
  SegmentPlace place;
  /// As given to the writer of the file.
  int64_t row_group_rows = kRowGroupRows;
  /// 0: the table's current one.
  uint32_t schema_version = 0;
  /// Charged with what the builder holds; may be null.
  MemoryAccount* memory = nullptr;
};

/// Is told of the rows while they go to the file, in the same order, and then reads the finished
/// file once for its checksums. Holds 8 bytes a row, a key and checksums of each group, and while
/// it finishes a column chunk as it is read and the keys of a group. Not thread-safe.
class SegmentBuilder {
 public:
  explicit SegmentBuilder(SegmentBuilderOptions options);
  ~SegmentBuilder();
  SegmentBuilder(SegmentBuilder&&) noexcept;
  SegmentBuilder& operator=(SegmentBuilder&&) noexcept;

  /// The next row of the file. Keys must grow strictly: InvalidOperation otherwise (also when the
  /// scope is not that of the place).
  Status Add(const storage::Scope& scope, std::string_view encoded_pk, Seq seq, bool deleted);
  int64_t row_count() const;

  /// Reads the file at `local_path` (before it is put into the storage), decodes all of it and
  /// checks that its rows are those that were added. Fills all of the record but segment_id,
  /// storage_id, path, created_at_us and evicting: SegmentChange::Add does. Errors: StorageIo,
  /// Corruption (the file is not what was asked for).
  Result<BuiltSegment> Finish(const std::string& local_path);
  /// The same for a file that lies in a storage already.
  Result<BuiltSegment> Finish(objects::ObjectStorage& storage, const std::string& path);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

/// One atomic change of a table's set of segments, to be proposed as Command::records. Reads the
/// newest state at Begin: whoever changes segments of a table must do so one after another (one
/// running flush or compaction a table). Not thread-safe.
class SegmentChange {
 public:
  /// `memory`: charged with the writes until they are taken; may be null.
  /// Errors: StorageIo, Corruption.
  static Result<SegmentChange> Begin(storage::Store& store, TableId table,
                                     MemoryAccount* memory = nullptr);
  ~SegmentChange();
  SegmentChange(SegmentChange&&) noexcept;
  SegmentChange& operator=(SegmentChange&&) noexcept;

  /// Where the next file of a place goes: `{folder}/batch-{N}.parquet`. `folder` has no `/` at its
  /// end; storage and folder of a place that has segments already must be the same as before
  /// (InvalidOperation otherwise). A file that lies there already was never committed: replace it.
  Result<std::string> NextPath(const SegmentPlace& place, const std::string& storage_id,
                               const std::string& folder);
  /// The next NextPath of the place is another one. After NextPath.
  void SkipPath(const SegmentPlace& place);
  /// Adds a segment whose file was put at the last NextPath of its place. `evicting`: hot copies of
  /// its rows are still to be removed.
  void Add(BuiltSegment segment, bool evicting, int64_t now_us);
  /// Adds a segment whose file is about to be put there. Gives its row groups and Bloom blocks,
  /// with a PreparedSegment, to be committed before the file is put: so the change stays small
  /// however many segments it has. Its id is used up by that.
  catalog::RecordWrites Prepare(BuiltSegment segment, int64_t now_us);
  /// Hot copies of the rows of all segments that were added are still to be removed.
  void MarkEvicting();
  /// Adds a segment whose file lies at `{folder}/batch-{batch}.parquet` already, under no record:
  /// found again, not written anew. Later files get greater numbers. Errors: as NextPath.
  Status Adopt(BuiltSegment segment, const std::string& storage_id, const std::string& folder,
               uint64_t batch, int64_t now_us);
  /// Removes a segment; its file becomes a retired one.
  /// Errors: StorageIo, Corruption.
  Status Retire(const SegmentRecord& record, int64_t now_us);

  bool empty() const;
  /// Records as they will be once committed (ids and paths filled in).
  const std::vector<SegmentRecord>& added() const;
  /// The version that the commit gives the table.
  uint64_t version() const;
  /// The writes: records, row groups, Bloom blocks, folders, head; without the marks of those that
  /// were prepared.
  catalog::RecordWrites Writes() const;
  /// The same, given away: nothing can be added any more.
  catalog::RecordWrites Take();

 private:
  struct Rep;
  Status OpenFolder(const SegmentPlace& place, const std::string& storage_id,
                    const std::string& folder);
  explicit SegmentChange(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::segments
