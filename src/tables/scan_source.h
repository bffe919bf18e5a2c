// The interface through which the analytical engine reads a table: batches of columns from one scope on one view.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "types/row_stream.h"
#include "types/value.h"

namespace kalam::tables {

class TableReader;
struct ReadScope;

/// A comparison that the source may use to narrow its key range; the engine re-checks every row.
struct ScanHint {
  enum class Op : uint8_t { kEqual, kLess, kLessEqual, kGreater, kGreaterEqual };
  uint32_t column = 0;  // index into columns()
  Op op = Op::kEqual;
  Value value;
};

/// One reader over a part of the rows; used by one thread.
class ScanPart {
 public:
  virtual ~ScanPart() = default;
  /// Moves to the next row; false at the end.
  virtual Result<bool> Next() = 0;
  /// Cells of the current row, in the order of the columns asked for in OpenPart. Valid until Next.
  virtual std::span<const Datum> cells() const = 0;
};

/// One Parquet file with cold rows of a source.
struct ColdFile {
  std::string name;        // of this content, for ever: caches go by it
  std::string local_path;  // where it can be opened; empty: only `read` reaches it
  std::function<Result<std::string>(int64_t offset, int64_t length)> read;  // from any thread
  /// Before bytes are used, however they are read; empty: they need no check. From any thread. Errors: Corruption.
  std::function<Status(int64_t offset, int64_t length)> check;
  int64_t size_bytes = 0;
  int64_t row_count = 0;  // tombstones and rows of other scopes among them
  int64_t tombstone_count = 0;
  bool many_scopes = false;        // rows of other users too, told apart by the user column
  std::string min_pk, max_pk;      // encoded, both inside
  Seq min_seq, max_seq;            // both inside
  std::shared_ptr<const void> pin;  // while it lives the file is not deleted
};

/// Rows of a cold file that do not count, within a run of its rows (as a row group of the file).
struct HiddenRows {
  int64_t row_begin = 0, row_end = 0;  // of the run: inside, not inside
  std::vector<uint32_t> rows;          // from row_begin on, ascending
};

/// The rows of a source in two halves, for a reader that understands Parquet itself. A cold row counts when it is no
/// tombstone, is the source's scope's, is the newest cold version of its key, and its key is not hot.
/// Thread-safety: any thread.
class ColdFiles {
 public:
  virtual ~ColdFiles() = default;
  virtual const std::vector<ColdFile>& files() const = 0;
  /// Files of the scope, those that the hints excluded among them.
  virtual size_t file_count_total() const = 0;
  /// For EXPLAIN: how much the hints have left out.
  virtual Result<std::string> DescribePruning() const {
    return std::to_string(files().size()) + " of " + std::to_string(file_count_total());
  }
  // By column of the source: its field id in files, and what a file without it has (NULL, or the type's zero).
  virtual const std::vector<int32_t>& field_ids() const = 0;
  virtual const std::vector<Value>& absent_values() const = 0;
  // Columns of the source.
  virtual uint32_t key_column() const = 0;
  virtual uint32_t seq_column() const = 0;
  virtual uint32_t deleted_column() const = 0;
  /// The column of files of many scopes that names the user (it is not one of the source), and whose rows count.
  virtual int32_t user_field_id() const = 0;
  virtual const std::string& user_id() const = 0;

  /// False when no hot version has a key between the first and the last one of `files()[file]`: none of its rows is
  /// hidden by one.
  virtual Result<bool> MayBeHidden(size_t file) = 0;
  /// The run of rows of `files()[file]` that its row `row` belongs to, and those of it that a hot version hides: a row,
  /// a tombstone or a staged write with the same key.
  virtual Result<HiddenRows> FindHiddenRows(size_t file, int64_t row) = 0;
  /// The hot rows alone, as ScanSource::OpenPart.
  virtual size_t hot_part_count() const = 0;
  virtual Result<std::unique_ptr<ScanPart>> OpenHotPart(size_t part, std::span<const uint32_t> columns,
                                                        std::span<const ScanHint> hints) = 0;
};

/// A table (or system table, or materialised rows) bound to scope and view: all that the engine ever gets to see.
/// Thread-safety: OpenPart may be called from several threads.
class ScanSource {
 public:
  virtual ~ScanSource() = default;
  virtual const ResultSchema& columns() const = 0;
  virtual int64_t estimated_rows() const = 0;
  /// Parts in which the rows can be read in parallel, at least 1.
  virtual size_t part_count() const = 0;
  virtual Result<std::unique_ptr<ScanPart>> OpenPart(size_t part, std::span<const uint32_t> columns,
                                                     std::span<const ScanHint> hints) = 0;
  /// The same rows as cold files and hot rows. Null when there are no cold rows, or when only OpenPart gives them right.
  /// Files that can hold no row within the hints may be left out.
  virtual Result<std::shared_ptr<ColdFiles>> OpenColdFiles(std::span<const ScanHint>) {
    return std::shared_ptr<ColdFiles>();
  }
};

/// A source over hot rows.
std::shared_ptr<ScanSource> MakeTableSource(TableReader& reader, ReadScope scope, bool include_deleted);
/// A source over rows in memory.
std::shared_ptr<ScanSource> MakeBufferSource(std::shared_ptr<const RowBuffer> buffer);

}  // namespace kalam::tables
