// Rows kept in memory, as a sink and as a stream.
#include "types/row_stream.h"

#include <utility>

#include "base/check.h"

namespace kalam {
namespace {

/// Reads a shared buffer from front to back.
class BufferStream : public RowStream {
 public:
  explicit BufferStream(std::shared_ptr<const RowBuffer> buffer) : buffer_(std::move(buffer)) {}

  const ResultSchema& schema() const override { return buffer_->schema(); }

  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    const ResultSchema& columns = buffer_->schema();
    const std::vector<std::vector<Value>>& rows = buffer_->rows();
    while (next_ < rows.size()) {
      const std::vector<Value>& row = rows[next_++];
      sink.BeginRow();
      for (size_t i = 0; i < row.size(); ++i) sink.Cell(row[i].datum(), columns[i].type);
      sink.EndRow();
      if (sink.buffered_bytes() >= chunk_bytes) break;
    }
    return next_ < rows.size();
  }

  bool needs_worker() const override { return false; }

 private:
  std::shared_ptr<const RowBuffer> buffer_;
  size_t next_ = 0;
};

}  // namespace

void RowBuffer::BeginRow() {
  rows_.emplace_back().reserve(schema_.size());
  bytes_ += sizeof(std::vector<Value>) + schema_.size() * sizeof(Value);
}

void RowBuffer::Cell(const Datum& cell, const DataType&) {
  const Value& value = rows_.back().emplace_back(cell);
  bytes_ += value.heap_bytes();
}

void RowBuffer::Append(std::vector<Value> values) {
  KALAM_CHECK(values.size() == schema_.size());
  bytes_ += sizeof(std::vector<Value>) + values.size() * sizeof(Value);
  for (const Value& value : values) bytes_ += value.heap_bytes();
  rows_.push_back(std::move(values));
}

std::unique_ptr<RowStream> OpenStream(std::shared_ptr<const RowBuffer> buffer) {
  return std::make_unique<BufferStream>(std::move(buffer));
}

}  // namespace kalam
