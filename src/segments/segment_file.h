// One segment opened for reading, and the reading of its columns: every byte checked before it is
// decoded.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/memory_account.h"
#include "base/metrics.h"
#include "objects/object_storage.h"
#include "segments/decoded_column.h"
#include "segments/parquet_footer.h"
#include "segments/parquet_page.h"
#include "segments/segment_cache.h"
#include "segments/segment_columns.h"
#include "segments/segment_record.h"
#include "segments/segment_store.h"

namespace kalam::segments {

/// Where the rows of a segment are. Immutable, but for what is known to be sound.
struct SegmentFile {
  SegmentRecord record;
  std::string table_name;
  std::vector<RowGroup> groups;
  ParquetFooter footer;
  SegmentColumns columns;
  RowLayout layout;  // of the segment's schema version

  /// The last group whose first key is at or before `key`; 0 when all begin after it.
  size_t GroupOf(std::string_view key) const;
  size_t memory_bytes() const;

  /// By row group: all of its chunks were compared with their checksums. From any thread.
  mutable std::vector<std::atomic<bool>> sound_groups;
};
using SegmentFilePtr = std::shared_ptr<const SegmentFile>;

/// Decoded columns of one row group, by column of the footer; those that were not asked for are
/// null.
struct GroupColumns {
  SegmentFilePtr file;
  size_t group = 0;
  std::vector<DecodedColumnPtr> columns;

  size_t row_count() const { return static_cast<size_t>(file->groups[group].row_count); }
  Seq seq(size_t row) const;
  bool deleted(size_t row) const;
  /// The row of `key`, whose columns are there; nullopt when the group does not have it.
  std::optional<size_t> Find(std::string_view key) const;
  /// Replaces `key` by the segment key of a row.
  void Key(size_t row, std::string* key) const;
  /// The first row from `begin` on whose key is not less than `key`; row_count() when all are.
  size_t LowerBound(std::string_view key, size_t begin = 0) const;
  /// Appends the row by EncodeRow. Not thread-safe for the same `scratch`.
  void EncodeRowAt(size_t row, std::vector<Datum>* scratch, std::string* out) const;
  size_t memory_bytes() const;
};

/// What somebody wants of one row.
struct CellChoice {
  bool all = true;                   // every cell
  std::vector<uint32_t> column_ids;  // when not all: of these columns alone
  bool seq = true;                   // and `_seq`
  /// Only what needs no waiting for a disk, and little work: NotInMemory otherwise.
  bool at_once = false;
};

/// The values of one row that were asked for.
struct RowCells {
  struct Cell {
    DecodedColumnPtr column;  // null: was not asked for
    size_t row = 0;           // in `column`
  };
  SegmentFilePtr file;
  std::vector<Cell> cells;  // by column of the footer

  Seq seq() const;  // 0 when it was not asked for
  bool deleted() const;
  /// Appends the row by EncodeRow; cells that were not asked for are NULL there.
  void EncodeTo(std::string* out) const;
};

/// Which columns a reader wants.
enum class ColumnChoice : uint8_t {
  kAll,
  kKey,     // what the segment key is made of
  kKeySeq,  // that and `_seq`
  kSeq,     // `_seq` alone
};

/// Opens segments and reads their columns through the cache. Thread-safety: all methods may be
/// called from any thread.
class SegmentReader {
 public:
  SegmentReader(storage::Store& store, StorageLookup storage_of,
                const SegmentStoreOptions& options);

  /// Errors of all that read: Corruption (fences the segment, unless the store itself is damaged),
  /// StorageIo, StaleSchema (`table` is older than the segment).
  Result<SegmentFilePtr> Open(const catalog::TablePtr& table, const SegmentRecord& record,
                              const storage::SnapshotPtr& snapshot);
  /// As Open, when the file is open already; null otherwise.
  Result<SegmentFilePtr> FindOpen(const SegmentRecord& record);
  /// `keep`: what is read goes into the cache.
  Result<GroupColumns> Read(const SegmentFilePtr& file, size_t group, ColumnChoice choice,
                            bool keep);
  /// The row of `segment_key`, if the group has it. Decodes its own values and what the key is
  /// found by, and keeps the latter; when the same group is asked for again and again it is read as
  /// a whole and kept.
  Result<std::optional<RowCells>> ReadRow(const SegmentFilePtr& file, size_t group,
                                          std::string_view segment_key, const CellChoice& choice);
  /// The rows of the group whose primary keys, behind `scope_prefix`, are among `encoded_pks`,
  /// which ascend.
  Result<std::vector<uint32_t>> FindRows(const SegmentFilePtr& file, size_t group,
                                         const std::string& scope_prefix,
                                         std::span<const std::string> encoded_pks);
  /// False when the Bloom filter says that the segment does not have the key.
  Result<bool> MayContain(const SegmentRecord& record, std::string_view segment_key,
                          const storage::SnapshotPtr& snapshot);
  Status Verify(const SegmentRecord& record);
  /// Pins the segment. That it is fenced is told by its `check`: the reader may not need it.
  /// Errors: those of the storage's look-up.
  Result<RawSegment> Raw(const catalog::TablePtr& table, SegmentRecord record,
                         const storage::SnapshotPtr& snapshot);

  Status CheckFence(TableId table, uint64_t segment_id) const;
  std::shared_ptr<const void> Pin(TableId table, uint64_t segment_id);
  bool IsPinned(TableId table, uint64_t segment_id) const;
  SegmentCache& cache() { return cache_; }
  /// Of scans; may be null.
  MemoryAccount* scan_account() const { return scan_account_; }

 private:
  using SegmentName = std::pair<uint32_t, uint64_t>;  // table, segment
  struct Pins {
    std::mutex mutex;
    std::map<SegmentName, int> counts;  // guarded by mutex
  };

  Result<SegmentFilePtr> OpenFile(const catalog::TablePtr& table, const SegmentRecord& record,
                                  const storage::SnapshotPtr& snapshot);
  Result<std::string> ReadBytes(const SegmentRecord& record, int64_t offset, int64_t size,
                                bool at_once = false);
  /// Column chunks of one row group as they lie in the file.
  struct ChunkBytes {
    struct Range {
      int64_t begin = 0;
      std::string bytes;
    };
    std::vector<Range> ranges;
    std::string_view Of(const ParquetChunk& chunk) const;
  };
  /// Each is compared with its checksum. Bytes between two of them are read along where that costs
  /// less than another request.
  Result<ChunkBytes> ReadChunks(const SegmentFile& file, size_t group,
                                std::span<const uint32_t> columns, const CellChoice& choice);
  Result<DecodedColumnPtr> DecodeColumn(const SegmentFile& file, size_t group, uint32_t column,
                                        std::string_view chunk, Decompressor& decompressor);
  /// Where the row of a key is within its group.
  struct RowSearch;
  Result<std::optional<RowCells>> FindCells(const SegmentFilePtr& file, size_t group,
                                            std::string_view segment_key, const CellChoice& choice);
  bool FindKept(RowSearch* search);
  Status FindInChunks(const ChunkBytes& chunks, Decompressor& decompressor, RowSearch* search);
  /// Whether the whole group is to be read now; `at_once` leaves that to a reader that may wait.
  Result<bool> IsAskedAgain(const SegmentFile& file, size_t group, bool at_once);
  bool IsLocal(const SegmentRecord& record) const;
  Status ReadMissing(const SegmentFile& file, size_t group, std::span<const uint32_t> missing,
                     bool keep, GroupColumns* out);
  Status CheckRaw(const catalog::TableDefinition& table, const SegmentRecord& record,
                  const storage::SnapshotPtr& snapshot, int64_t offset, int64_t size);
  Status Fence(const SegmentRecord& record, std::string_view table_name, const Status& cause);

  storage::Store& store_;
  const StorageLookup storage_of_;
  SegmentCache cache_;
  MemoryAccount* scan_account_ = nullptr;
  Counter* bytes_read_ = nullptr;
  Gauge* fenced_gauge_ = nullptr;
  // Pins may be given back after the reader is gone.
  const std::shared_ptr<Pins> pins_ = std::make_shared<Pins>();
  mutable std::mutex fence_mutex_;
  std::map<SegmentName, std::string> fenced_;  // guarded by fence_mutex_: the message
  std::atomic<bool> any_fenced_{false};
  // The row group that was asked for a row last, and how often in a row. Two readers that step on
  // each other cost time only.
  std::atomic<uint64_t> last_group_{0};
  std::atomic<uint32_t> group_asked_{0};
};

}  // namespace kalam::segments
