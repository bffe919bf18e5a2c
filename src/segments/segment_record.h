// The records of cold segments in kSegments, their keys, and ways to list them on a snapshot.
//
//   [table] 'v'                        -> version of the table's set of segments, next segment id
//   [table] 'f' place                  -> folder record
//   [table] 's' place [segment id]     -> segment record
//   [table] 'g' [segment id]           -> row groups of the segment
//   [table] 'b' [segment id] [block]   -> one block of its Bloom filter (bloom_filter.h)
//   [table] 'p' [segment id]           -> that there are such parts of a segment without a record
//   0000 'r' [retired at] [table] [segment id] -> a file to delete
//
//   place := 00 (segments of many scopes) | 01 [bucket] escaped user id (segments of one scope)
//
// Tables and blocks are 4 bytes, segment ids and times (us) 8, all big-endian. Values are records
// of catalog/field_codec.h. A retired file outlives its table, so its key does not begin with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::segments {

/// Rows of every row group but the last one of a file, at most: see RowGroupRowsFor.
inline constexpr int64_t kRowGroupRows = 8192;
/// Rows at which a flush begins another segment.
inline constexpr int64_t kSegmentRowsMax = 131072;

// Parquet field ids of the columns that are not the user's; a user column has its column id.
inline constexpr int32_t kSeqFieldId = 0x7FFF0001;
inline constexpr int32_t kDeletedFieldId = 0x7FFF0002;
inline constexpr int32_t kUserFieldId = 0x7FFF0003;
inline constexpr std::string_view kUserColumn = "_userid";

// Entries of the file's key-value metadata.
inline constexpr std::string_view kTableIdMetadata = "kalam.table_id";  // number, or `ns.table`
inline constexpr std::string_view kSchemaVersionMetadata = "kalam.schema_version";
inline constexpr std::string_view kColumnIdsMetadata = "kalam.column_ids";  // "1,2,5"

/// Whose segments: of one scope (all of a SHARED table, or one user), or of many small scopes.
struct SegmentPlace {
  bool many = false;
  storage::Scope scope;  // when not many
  static SegmentPlace Many() { return {true, {}}; }
  static SegmentPlace OfScope(storage::Scope scope) { return {false, std::move(scope)}; }
  bool operator==(const SegmentPlace&) const = default;
};

/// One immutable file. Keys are "segment keys": [bucket][scope][encoded primary key], the row key
/// without its table.
struct SegmentRecord {
  TableId table;
  uint64_t segment_id = 0;  // never reused within a table
  SegmentPlace place;
  std::string storage_id;
  std::string path;              // in the storage; ends in batch-{N}.parquet
  std::string min_key, max_key;  // both inside
  std::string min_pk, max_pk;    // encoded primary keys; differ from the keys' for many scopes
  Seq min_seq, max_seq;
  int64_t row_count = 0;  // tombstones among them
  int64_t tombstone_count = 0;
  int64_t size_bytes = 0;
  int64_t footer_bytes = 0;  // the Thrift part, before its length and the closing magic
  uint64_t footer_checksum = 0;
  /// xxh3-64 of what lies between the last column chunk and the footer: Bloom filters, which the
  /// analytical engine believes. Older records lack it.
  std::optional<uint64_t> filters_checksum;
  std::string checksum;  // xxh3-128 of the whole file, 16 bytes big-endian
  uint32_t schema_version = 0;
  int64_t created_at_us = 0;
  /// The commit is done but hot copies of its rows may remain: the flush that set it, or the next
  /// one of that table, removes them and clears the mark. Not set where the commit itself forgets
  /// them.
  bool evicting = false;

  std::string FileName() const;
};

/// A run of rows that is read and checked at once.
struct RowGroup {
  std::string first_key;
  int64_t row_count = 0;
  Seq min_seq, max_seq;
  /// xxh3-64 of the bytes of every column chunk, in the order of the file's columns.
  std::vector<uint64_t> chunk_checksums;
};

/// One folder of a storage with a manifest.json.
struct FolderRecord {
  TableId table;
  SegmentPlace place;
  std::string storage_id;
  std::string folder;             // in the storage, without a `/` at its end
  uint64_t manifest_version = 0;  // +1 with every change
  uint64_t next_batch = 0;        // N of the next file name
  int64_t created_at_us = 0;
  int64_t updated_at_us = 0;
};

struct TableSegmentsHead {
  uint64_t version = 0;          // 0: there never was a segment
  uint64_t next_segment_id = 1;  // ids are not reused, also when their commit failed
};

/// A segment that does not exist yet: its row groups and Bloom blocks are in the index and its file
/// is in the storage or on the way there. The command with its record removes this mark; where no
/// work on the table is under way, what it marks is nobody's.
struct PreparedSegment {
  TableId table;
  uint64_t segment_id = 0;
  std::string storage_id;
  std::string path;  // of its file; not used by any other
  uint32_t bloom_block_count = 0;
};

/// A file that no record names any more.
struct RetiredFile {
  int64_t retired_at_us = 0;
  TableId table;
  uint64_t segment_id = 0;
  std::string storage_id;
  std::string path;
};

/// A table numbers its files within one series. One that a restore brings back gets a series behind
/// those that lie in its folders: until it has its name, work on the table that still has it goes
/// on in the folders, and neither takes the other's files for its own.
inline constexpr uint64_t kBatchesOfSeries = 1'000'000'000;

/// `{folder}/batch-{batch}.parquet`.
std::string BatchPath(const std::string& folder, uint64_t batch);

/// [bucket][scope][encoded primary key].
std::string SegmentKey(const storage::Scope& scope, std::string_view encoded_pk);
/// What all segment keys of one scope begin with.
std::string SegmentKeyPrefix(const storage::Scope& scope);
/// False when `key` is not of that layout. The rest of it is the encoded primary key.
[[nodiscard]] bool ParseSegmentKey(std::string_view key, storage::Scope* scope,
                                   std::string_view* encoded_pk);

std::string HeadKey(TableId table);
std::string RecordKey(const SegmentRecord& record);
std::string RowGroupsKey(TableId table, uint64_t segment_id);
std::string BloomBlockKey(TableId table, uint64_t segment_id, uint32_t block);
std::string FolderKey(TableId table, const SegmentPlace& place);
std::string PreparedKey(TableId table, uint64_t segment_id);
std::string RetiredKey(const RetiredFile& file);

std::string EncodeHead(const TableSegmentsHead& head);
std::string EncodeRecord(const SegmentRecord& record);
std::string EncodeRowGroups(const std::vector<RowGroup>& groups);
std::string EncodeFolder(const FolderRecord& folder);
std::string EncodePrepared(const PreparedSegment& segment);
std::string EncodeRetired(const RetiredFile& file);

// All of these: Errors: Corruption.
Result<TableSegmentsHead> DecodeHead(std::string_view bytes);
Result<SegmentRecord> DecodeRecord(std::string_view key, std::string_view bytes);
Result<std::vector<RowGroup>> DecodeRowGroups(std::string_view bytes);
Result<FolderRecord> DecodeFolder(std::string_view key, std::string_view bytes);
Result<PreparedSegment> DecodePrepared(std::string_view key, std::string_view bytes);
Result<RetiredFile> DecodeRetired(std::string_view key, std::string_view bytes);

// Reading; a null snapshot reads the newest state. Errors of all: StorageIo, Corruption.

Result<TableSegmentsHead> ReadHead(storage::Store& store, TableId table,
                                   const storage::SnapshotPtr& snapshot = nullptr);
/// Every segment of the table: those of many scopes first, then scope by scope; within one place
/// oldest (smallest id) first.
Result<std::vector<SegmentRecord>> ListSegments(storage::Store& store, TableId table,
                                                const storage::SnapshotPtr& snapshot = nullptr);
/// Those of one place.
Result<std::vector<SegmentRecord>> ListSegments(storage::Store& store, TableId table,
                                                const SegmentPlace& place,
                                                const storage::SnapshotPtr& snapshot = nullptr);
/// Those that may hold rows of `scope`: its own, and those of many scopes whose keys reach over it.
Result<std::vector<SegmentRecord>> ListSegmentsOfScope(
    storage::Store& store, TableId table, const storage::Scope& scope,
    const storage::SnapshotPtr& snapshot = nullptr);
Result<std::vector<RowGroup>> ReadRowGroups(storage::Store& store, const SegmentRecord& record,
                                            const storage::SnapshotPtr& snapshot = nullptr);
Result<std::optional<FolderRecord>> ReadFolder(storage::Store& store, TableId table,
                                               const SegmentPlace& place,
                                               const storage::SnapshotPtr& snapshot = nullptr);
/// The folders of a table (of all tables without one).
Result<std::vector<FolderRecord>> ListFolders(storage::Store& store, std::optional<TableId> table,
                                              const storage::SnapshotPtr& snapshot = nullptr);
/// Tables that have or had segments, by one seek each.
Result<std::vector<TableId>> ListTablesWithSegments(storage::Store& store);
/// What was prepared for the table and is not committed, oldest first.
Result<std::vector<PreparedSegment>> ListPrepared(storage::Store& store, TableId table);
/// Files retired before `before_us`, oldest first, at most `count_max`.
Result<std::vector<RetiredFile>> ListRetired(storage::Store& store, int64_t before_us,
                                             size_t count_max);

// Writes that stand alone. They change no reader's answer, so the version stays.

/// Clears the `evicting` mark.
catalog::RecordWrite ClearEvicting(SegmentRecord record);
/// Removes all that the index has of a prepared segment, once its file is deleted.
catalog::RecordWrites ForgetPrepared(const PreparedSegment& segment);
/// Forgets a retired file, once it is deleted.
catalog::RecordWrite ForgetRetired(const RetiredFile& file);
/// For DROP TABLE: the table's files, prepared ones too, become retired ones. Its records
/// themselves go with Command::dropped_tables.
Result<catalog::RecordWrites> RetireFilesOfTable(storage::Store& store, TableId table,
                                                 int64_t now_us);

}  // namespace kalam::segments
