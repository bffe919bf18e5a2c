// The shape of a result and the two ends of its transport: RowStream gives rows, RowSink takes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "types/value.h"

namespace kalam {

/// One column of a result.
struct ResultColumn {
  std::string name;
  DataType type;
  // Flags of wire.md 1.8: set when the column maps to a column of a table.
  bool primary_key = false;
  bool unique = false;
  bool not_null = false;
};
using ResultSchema = std::vector<ResultColumn>;

/// Takes rows, cell by cell in schema order. Implementations: the JSON writer of HTTP, MessagePack, row buffers, tests.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void BeginRow() = 0;
  /// `type` is the column's type of the schema; `cell.kind` agrees with it or the cell is NULL.
  virtual void Cell(const Datum& cell, const DataType& type) = 0;
  virtual void EndRow() = 0;
  /// Bytes held by the sink so far; a stream stops its chunk when this passes its budget.
  virtual size_t buffered_bytes() const = 0;
};

/// A source of rows that is pulled chunk by chunk, so that a slow client costs no memory and no open iterator.
class RowStream {
 public:
  virtual ~RowStream() = default;
  virtual const ResultSchema& schema() const = 0;
  /// Writes rows until the stream ends or `sink.buffered_bytes()` reaches `chunk_bytes`; true when there may be more.
  /// Holds no iterator between calls. Errors end the stream.
  virtual Result<bool> Next(RowSink& sink, size_t chunk_bytes) = 0;
  /// True when Next may take long or block, so that it must not run on an I/O thread.
  virtual bool needs_worker() const = 0;
  /// Non-empty when a configured limit cut the result (told to the client).
  virtual std::string notice() const { return {}; }
};

/// Rows kept in memory; both a sink and, through `OpenStream`, a stream. For small results: SHOW, RETURNING, views.
class RowBuffer : public RowSink {
 public:
  explicit RowBuffer(ResultSchema schema) : schema_(std::move(schema)) {}
  void BeginRow() override;
  void Cell(const Datum& cell, const DataType& type) override;
  void EndRow() override {}
  size_t buffered_bytes() const override { return bytes_; }

  /// Appends one row of values; `values.size()` must equal the schema's.
  void Append(std::vector<Value> values);
  const ResultSchema& schema() const { return schema_; }
  const std::vector<std::vector<Value>>& rows() const { return rows_; }
  size_t row_count() const { return rows_.size(); }

 private:
  ResultSchema schema_;
  std::vector<std::vector<Value>> rows_;
  size_t bytes_ = 0;
};

/// A stream over the rows of `buffer`.
std::unique_ptr<RowStream> OpenStream(std::shared_ptr<const RowBuffer> buffer);

}  // namespace kalam
