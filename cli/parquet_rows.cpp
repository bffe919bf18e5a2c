// Row groups of a Parquet file, decoded one after the other.
#include "parquet_rows.h"

#include <fstream>
#include <memory>
#include <optional>

#include "segments/cell_value.h"
#include "segments/parquet_chunk.h"

namespace kalam::cli {
namespace {

class ParquetRows {
 public:
  explicit ParquetRows(const std::string& path) : file_(path, std::ios::binary) {}

  Status Open(const std::vector<NamedType>& columns) {
    file_.seekg(0, std::ios::end);
    const auto size = static_cast<int64_t>(file_.tellg());
    if (!file_ || size <= segments::kParquetTailBytes)
      return Status(ErrorKind::Corruption, "it is too short");
    KALAM_ASSIGN_OR_RETURN(const std::string tail,
                           Read(size - segments::kParquetTailBytes, segments::kParquetTailBytes));
    KALAM_ASSIGN_OR_RETURN(const int64_t footer_size, segments::ParquetFooterSize(tail, size));
    KALAM_ASSIGN_OR_RETURN(const std::string footer,
                           Read(size - segments::kParquetTailBytes - footer_size, footer_size));
    KALAM_ASSIGN_OR_RETURN(footer_, segments::ParseParquetFooter(footer, size));
    for (const NamedType& column : columns) {
      KALAM_ASSIGN_OR_RETURN(auto cell, FindCell(column));
      cells_.push_back(cell);
    }
    values_.resize(columns.size());
    for (size_t i = 0; i < columns.size(); ++i) values_[i] = Datum::Null(columns[i].type.kind);
    return {};
  }

  Status ForEach(const std::function<Status(std::span<const Datum>)>& visit) {
    for (const segments::ParquetRowGroup& group : footer_.row_groups) {
      std::vector<std::shared_ptr<const segments::DecodedColumn>> decoded(cells_.size());
      for (size_t i = 0; i < cells_.size(); ++i) {
        if (!cells_[i]) continue;
        const segments::ParquetChunk& chunk = group.chunks[cells_[i]->column];
        KALAM_ASSIGN_OR_RETURN(const std::string bytes, Read(chunk.offset, chunk.size));
        KALAM_ASSIGN_OR_RETURN(
            decoded[i],
            segments::DecodeChunk(footer_.columns[cells_[i]->column], chunk, bytes, group.row_count,
                                  cells_[i]->type.dimension, decompressor_));
      }
      for (int64_t row = 0; row < group.row_count; ++row) {
        for (size_t i = 0; i < cells_.size(); ++i) {
          if (cells_[i])
            values_[i] = segments::CellValue(*cells_[i], *decoded[i], static_cast<size_t>(row));
        }
        KALAM_RETURN_IF_ERROR(visit(values_));
      }
    }
    return {};
  }

 private:
  Result<std::string> Read(int64_t offset, int64_t size) {
    std::string bytes(static_cast<size_t>(size), '\0');
    file_.seekg(offset);
    file_.read(bytes.data(), size);
    if (file_) return bytes;
    return Status(ErrorKind::Corruption, "it cannot be read");
  }

  Result<std::optional<segments::StoredCell>> FindCell(const NamedType& column) const {
    for (uint32_t i = 0; i < footer_.columns.size(); ++i) {
      const segments::ParquetColumn& stored = footer_.columns[i];
      if (stored.name != column.name) continue;
      if (!segments::IsWrittenAs(column.type, stored)) {
        return Status(ErrorKind::Corruption,
                      "its column " + column.name + " is not written as a " + SqlName(column.type));
      }
      return std::optional(segments::StoredCell{i, column.type, stored.type});
    }
    return std::optional<segments::StoredCell>();
  }

  std::ifstream file_;
  segments::Decompressor decompressor_;
  segments::ParquetFooter footer_;
  std::vector<std::optional<segments::StoredCell>> cells_;
  std::vector<Datum> values_;
};

}  // namespace

Status ForEachParquetRow(const std::string& path, const std::vector<NamedType>& columns,
                         const std::function<Status(std::span<const Datum>)>& visit) {
  ParquetRows rows(path);
  Status status = rows.Open(columns);
  if (status.ok()) status = rows.ForEach(visit);
  if (!status.Is(ErrorKind::Corruption)) return status;
  return Status(ErrorKind::InvalidInput,
                "the Parquet file '" + path + "' cannot be read: " + status.message());
}

}  // namespace kalam::cli
