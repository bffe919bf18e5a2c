// Sources and readers for the tests of the engine: generated rows, and results as text.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analytics/engine.h"
#include "tables/scan_source.h"
#include "types/convert.h"

namespace kalam::analytics {

/// Gives `row_count` rows, cell by cell from a function; in several parts if asked. Counts what is
/// read and keeps the hints.
class GeneratedSource : public tables::ScanSource {
 public:
  using CellFunction = std::function<Datum(int64_t row, uint32_t column)>;

  GeneratedSource(ResultSchema schema, int64_t row_count, CellFunction cell, size_t parts = 1)
      : schema_(std::move(schema)), row_count_(row_count), cell_(std::move(cell)), parts_(parts) {}

  const ResultSchema& columns() const override { return schema_; }
  int64_t estimated_rows() const override { return row_count_; }
  size_t part_count() const override { return parts_; }
  Result<std::unique_ptr<tables::ScanPart>> OpenPart(
      size_t part, std::span<const uint32_t> columns,
      std::span<const tables::ScanHint> hints) override {
    if (part == 0) {
      last_columns.assign(columns.begin(), columns.end());
      last_hints.assign(hints.begin(), hints.end());
    }
    const auto bound = [this](size_t index) {
      return row_count_ * static_cast<int64_t>(index) / static_cast<int64_t>(parts_);
    };
    return std::unique_ptr<tables::ScanPart>(
        std::make_unique<Part>(this, bound(part), bound(part + 1), columns));
  }

  std::atomic<int64_t> rows_read{0};
  int64_t fail_at_row = -1;
  std::vector<uint32_t> last_columns;
  std::vector<tables::ScanHint> last_hints;

 private:
  class Part : public tables::ScanPart {
   public:
    Part(GeneratedSource* source, int64_t begin, int64_t end, std::span<const uint32_t> columns)
        : source_(source),
          row_(begin - 1),
          end_(end),
          columns_(columns.begin(), columns.end()),
          cells_(columns.size()) {}
    Result<bool> Next() override {
      if (++row_ >= end_) return false;
      if (row_ == source_->fail_at_row) return Status(ErrorKind::StorageIo, "the disk is gone");
      source_->rows_read.fetch_add(1, std::memory_order_relaxed);
      for (size_t i = 0; i < columns_.size(); ++i) cells_[i] = source_->cell_(row_, columns_[i]);
      return true;
    }
    std::span<const Datum> cells() const override { return cells_; }

   private:
    GeneratedSource* const source_;
    int64_t row_;
    const int64_t end_;
    const std::vector<uint32_t> columns_;
    std::vector<Datum> cells_;
  };

  const ResultSchema schema_;
  const int64_t row_count_;
  const CellFunction cell_;
  const size_t parts_;
};

/// Rows of given values.
inline std::shared_ptr<GeneratedSource> SourceOfRows(ResultSchema schema,
                                                     std::vector<std::vector<Value>> rows) {
  const auto kept = std::make_shared<std::vector<std::vector<Value>>>(std::move(rows));
  return std::make_shared<GeneratedSource>(
      std::move(schema), static_cast<int64_t>(kept->size()), [kept](int64_t row, uint32_t column) {
        return (*kept)[static_cast<size_t>(row)][column].datum();
      });
}

inline ResultColumn Column(std::string name, DataType type) {
  ResultColumn column;
  column.name = std::move(name);
  column.type = type;
  return column;
}

/// Renders cells like `1|text|NULL`, one line a row.
class TextSink : public RowSink {
 public:
  void BeginRow() override { first_ = true; }
  void Cell(const Datum& cell, const DataType&) override {
    if (!first_) text += '|';
    first_ = false;
    text += cell.is_null ? "NULL" : ToText(cell);
  }
  void EndRow() override {
    text += '\n';
    ++rows;
  }
  size_t buffered_bytes() const override { return text.size(); }

  std::string text;
  int64_t rows = 0;

 private:
  bool first_ = true;
};

}  // namespace kalam::analytics
