// The interface through which the analytical engine reads a table: batches of columns from one scope on one view.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

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
};

/// A source over hot rows.
std::shared_ptr<ScanSource> MakeTableSource(TableReader& reader, ReadScope scope, bool include_deleted);
/// A source over rows in memory.
std::shared_ptr<ScanSource> MakeBufferSource(std::shared_ptr<const RowBuffer> buffer);

}  // namespace kalam::tables
