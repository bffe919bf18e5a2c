// Where the rows of a single-table plan come from: point reads, scans, system tables, or nothing at
// all.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "query/access_path.h"
#include "query/execution.h"
#include "tables/table_reader.h"

namespace kalam::query {

/// Rows as cells by column index. Not thread-safe.
class RowSource {
 public:
  virtual ~RowSource() = default;
  /// Moves to the next row; false at the end.
  virtual Result<bool> Next() = 0;
  /// The current row; valid until Next or Suspend.
  virtual std::span<const Datum> cells() const = 0;
  /// Gives back iterators; Next goes on where it was. Called before every wait on a client.
  virtual void Suspend() {}
  /// The stored version of the current row, for DML; false when there is none (system tables).
  virtual bool CopyStored(tables::StoredRow*) const { return false; }
};

/// `wanted`: the columns that will be looked at; empty means none (rows are only counted).
std::unique_ptr<RowSource> MakeTableRows(tables::TableReader& reader, tables::ReadScope scope,
                                         BoundPath path, bool include_deleted,
                                         tables::ColumnSet wanted);
/// Rows of a system table.
std::unique_ptr<RowSource> MakeBufferRows(catalog::TablePtr table,
                                          std::shared_ptr<const RowBuffer> buffer);
/// The one row without columns of a SELECT without FROM.
std::unique_ptr<RowSource> MakeSingleRow();
std::unique_ptr<RowSource> MakeNoRows();

/// A source behind a filter, with the looks at clock and cancellation that long scans need.
class FilteredRows {
 public:
  FilteredRows(std::unique_ptr<RowSource> source, const Node* filter, Evaluation& evaluation,
               const RunLimits& limits)
      : source_(std::move(source)), filter_(filter), evaluation_(evaluation), limits_(limits) {}
  /// Moves to the next row that passes the filter; false at the end.
  Result<bool> Next();
  /// For expressions over the current row.
  EvalContext& context() { return *context_; }
  RowSource& source() { return *source_; }
  int64_t rows_read() const { return rows_read_; }

 private:
  const std::unique_ptr<RowSource> source_;
  const Node* const filter_;
  Evaluation& evaluation_;
  const RunLimits& limits_;
  EvalContext* context_ = nullptr;
  int64_t rows_read_ = 0;
};

}  // namespace kalam::query
