// Rows that live in segments, as the readers of a table see them: the newest cold version of each
// key.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "catalog/schema.h"
#include "segments/segment_record.h"
#include "storage/key_layout.h"
#include "storage/store.h"

namespace kalam::segments {

/// The newest cold version of a row, or its tombstone. Owns its bytes.
struct ColdRow {
  std::string encoded_pk;
  Seq seq;
  bool deleted = false;
  uint32_t schema_version = 0;  // of `row`
  std::string row;              // by EncodeRow
};

/// Walks cold rows. Holds decoded column chunks of at most one row group a segment. Not
/// thread-safe.
class ColdScan {
 public:
  virtual ~ColdScan() = default;
  /// Moves to the next row; false at the end. Errors: Corruption and StorageIo, naming the segment.
  virtual Result<bool> Next() = 0;
  // The current row; views valid until Next.
  virtual std::string_view encoded_pk() const = 0;
  virtual Seq seq() const = 0;
  virtual bool deleted() const = 0;
  virtual uint32_t schema_version() const = 0;
  virtual std::string_view row() const = 0;
};

/// Bounds of a scan by key: `lower` inside, `upper` not inside; empty means none. Encoded primary
/// keys.
struct ColdKeyRange {
  std::string lower, upper;
  bool descending = false;
};
/// after < `_seq` <= up_to; 0 is no bound.
struct ColdSeqRange {
  Seq after, up_to;
  bool descending = false;
};

/// A segment's file as it lies in its storage, for a reader that understands Parquet itself.
struct RawSegment {
  SegmentRecord record;
  std::string local_path;  // where it can be opened; empty: only `read` reaches it
  /// `size` bytes. From any thread, while the ColdRows lives.
  std::function<Result<std::string>(int64_t offset, int64_t size)> read;
  /// To be called before bytes of the file are used, however they are read: compares the column
  /// chunks in which they lie with their checksums, each once. Errors: Corruption (the segment is
  /// fenced from then on), StorageIo. From any thread, as `read`.
  std::function<Status(int64_t offset, int64_t size)> check;
  std::shared_ptr<const void> pin;  // while it lives the file is not deleted
};

/// Where the keys of one scope stand in one segment's file, run by run (the file's row groups).
/// Thread-safety: all methods may be called from any thread. Errors: as ColdRows.
class SegmentKeys {
 public:
  virtual ~SegmentKeys() = default;
  struct Run {
    size_t index = 0;
    int64_t row_begin = 0, row_end = 0;  // rows of the file, from 0: inside, not inside
    bool has_scope = false;              // may have keys of the scope
    /// Its keys of the scope lie between: inside, not inside; empty: no bound. Encoded primary
    /// keys.
    std::string key_lower, key_upper;
  };
  /// The run of a row of the file. Errors: InvalidOperation (there is no such row).
  virtual Result<Run> RunOf(int64_t row) const = 0;
  /// The rows of the run, counted from its begin, whose keys are among `encoded_pks`, which ascend.
  virtual Result<std::vector<uint32_t>> Find(const Run& run,
                                             std::span<const std::string> encoded_pks) const = 0;
};

/// Which segments there are is read from the same snapshot as the hot rows, so that a row that
/// moves from hot to cold is seen exactly once. Tombstones are given out like rows: they hide older
/// versions and tell a resume of deletions. Thread-safety: all methods may be called from any
/// thread. Errors: Corruption (a segment whose checksum does not match is fenced and named),
/// StorageIo (its storage does not answer), StaleSchema (`table` is older than a segment).
class ColdRows {
 public:
  virtual ~ColdRows() = default;

  /// False when the table never had a segment in this process's knowledge: then nothing else needs
  /// asking. Costs a look into a set in memory; may be true for a table whose segments are all
  /// gone.
  virtual bool MayHaveSegments(TableId table) const = 0;
  /// Grows with every change of the table's set of segments; 0 when there never was one. A writer
  /// that found a key absent from the hot rows hands it on with its mutation, so that append can
  /// tell that rows have moved since.
  virtual Result<uint64_t> SegmentsVersion(TableId table, const storage::SnapshotPtr& snapshot) = 0;

  /// The newest cold version of one row, tombstone included; nullopt when no segment has the key.
  /// Asks only segments whose range and Bloom filter admit the key. `wanted`: indexes into the
  /// table's columns, what will be looked at; empty: all. Other cells of the row may be NULL, and
  /// `seq` may be 0 when `_seq` is not among them.
  virtual Result<std::optional<ColdRow>> Get(const catalog::TablePtr& table,
                                             const storage::Scope& scope,
                                             std::string_view encoded_pk,
                                             const storage::SnapshotPtr& snapshot,
                                             std::span<const uint32_t> wanted = {}) = 0;
  virtual Result<std::unique_ptr<ColdScan>> OpenKeyScan(const catalog::TablePtr& table,
                                                        const storage::Scope& scope,
                                                        const ColdKeyRange& range,
                                                        const storage::SnapshotPtr& snapshot) = 0;
  virtual Result<std::unique_ptr<ColdScan>> OpenSeqScan(const catalog::TablePtr& table,
                                                        const storage::Scope& scope,
                                                        const ColdSeqRange& range,
                                                        const storage::SnapshotPtr& snapshot) = 0;
  /// The files of all segments that may hold rows of the scope.
  virtual Result<std::vector<RawSegment>> RawSegments(const catalog::TablePtr&,
                                                      const storage::Scope&,
                                                      const storage::SnapshotPtr&) {
    return std::vector<RawSegment>();
  }
  /// The keys of one of those segments.
  virtual Result<std::unique_ptr<SegmentKeys>> OpenKeys(const catalog::TablePtr&,
                                                        const storage::Scope&, const SegmentRecord&,
                                                        const storage::SnapshotPtr&) {
    return Status(ErrorKind::NotAvailable, "there are no segments");
  }
};

}  // namespace kalam::segments
