// A row of a table as readers see it: current columns over whatever schema version it was stored with.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "catalog/schema.h"
#include "types/value.h"

namespace kalam::tables {

/// Which columns a reader wants; anything else is not decoded. Indexes into TableDefinition::columns.
using ColumnSet = std::vector<uint32_t>;

/// What a column reads as in rows that are older than it: NULL, or the type's zero when it is NOT NULL.
Value AbsentValue(const catalog::ColumnDefinition& column);

/// Decodes stored rows of one table into `columns().size()` cells by column index. Reused from row to row: cells are valid
/// until the next Decode, and byte-like cells point into the bytes given to Decode.
/// Columns that the stored version lacks read as NULL, or as the type's zero when NOT NULL (sql.md 1.3); a column whose type
/// was changed by MODIFY is cast; `_seq` and `_deleted` come from the record.
/// Not thread-safe.
class RowDecoder {
 public:
  /// `wanted` empty: every column.
  explicit RowDecoder(catalog::TablePtr table, ColumnSet wanted = {});
  ~RowDecoder();
  RowDecoder(RowDecoder&&) noexcept;
  RowDecoder& operator=(RowDecoder&&) noexcept;

  Status Decode(uint32_t schema_version, std::string_view row, Seq seq, bool deleted);
  /// Cells by column index; unwanted columns are undefined.
  std::span<const Datum> cells() const;
  const catalog::TablePtr& table() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::tables
