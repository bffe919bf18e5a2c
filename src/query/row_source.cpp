// Row sources over tables, buffers and nothing.
#include "query/row_source.h"

namespace kalam::query {

namespace {

/// The cheapest column to decode when nothing is looked at: a system column costs no bytes of the
/// row.
tables::ColumnSet WantedOrCheapest(const catalog::TableDefinition& table,
                                   tables::ColumnSet wanted) {
  if (wanted.empty()) {
    wanted.push_back(static_cast<uint32_t>(table.FindColumn(catalog::kSeqColumn).value_or(0)));
  }
  return wanted;
}

class KeyRows final : public RowSource {
 public:
  KeyRows(tables::TableReader& reader, tables::ReadScope scope, std::vector<std::string> keys,
          bool include_deleted, tables::ColumnSet wanted)
      : reader_(reader),
        scope_(std::move(scope)),
        keys_(std::move(keys)),
        include_deleted_(include_deleted),
        wanted_(WantedOrCheapest(*scope_.table, std::move(wanted))),
        decoder_(scope_.table, wanted_) {}

  Result<bool> Next() override {
    while (next_ < keys_.size()) {
      KALAM_ASSIGN_OR_RETURN(row_, reader_.Get(scope_, keys_[next_++], include_deleted_, wanted_));
      if (!row_.has_value()) continue;
      KALAM_RETURN_IF_ERROR(cold_rows_.Count(scope_, *row_));
      KALAM_RETURN_IF_ERROR(
          decoder_.Decode(row_->schema_version, row_->row, row_->seq, row_->deleted));
      return true;
    }
    return false;
  }
  std::span<const Datum> cells() const override { return decoder_.cells(); }
  bool CopyStored(tables::StoredRow* stored) const override {
    // A cold row may have been read in part.
    if (row_->cold && wanted_.size() < scope_.table->columns->size()) return false;
    *stored = *row_;
    return true;
  }

 private:
  tables::TableReader& reader_;
  const tables::ReadScope scope_;
  const std::vector<std::string> keys_;
  const bool include_deleted_;
  const tables::ColumnSet wanted_;
  tables::RowDecoder decoder_;
  std::optional<tables::StoredRow> row_;
  size_t next_ = 0;
  tables::ColdRowsAtOnce cold_rows_;
};

class ScanRows final : public RowSource {
 public:
  ScanRows(tables::TableReader& reader, tables::ReadScope scope, tables::ScanOptions options,
           tables::ColumnSet wanted)
      : reader_(reader),
        scope_(std::move(scope)),
        options_(std::move(options)),
        decoder_(scope_.table, WantedOrCheapest(*scope_.table, std::move(wanted))) {}

  Result<bool> Next() override {
    if (at_end_) return false;
    if (scan_ == nullptr) {
      KALAM_ASSIGN_OR_RETURN(scan_, reader_.OpenScan(scope_, options_, resume_after_));
    }
    Result<bool> found = scan_->Next();
    // A scan that failed stands nowhere: it must not be asked for its position.
    has_row_ = found.ok() && *found;
    if (!has_row_) {
      at_end_ = true;
      scan_.reset();
      return found;
    }
    KALAM_RETURN_IF_ERROR(
        decoder_.Decode(scan_->schema_version(), scan_->row(), scan_->seq(), scan_->deleted()));
    return true;
  }
  std::span<const Datum> cells() const override { return decoder_.cells(); }
  void Suspend() override {
    if (scan_ == nullptr) return;
    if (has_row_) resume_after_ = scan_->Position();
    scan_.reset();
    has_row_ = false;
  }
  bool CopyStored(tables::StoredRow* stored) const override {
    if (scan_ == nullptr) return false;
    *stored = tables::CopyOf(*scan_);
    return true;
  }

 private:
  tables::TableReader& reader_;
  const tables::ReadScope scope_;
  const tables::ScanOptions options_;
  tables::RowDecoder decoder_;
  std::unique_ptr<tables::RowScan> scan_;
  std::string resume_after_;
  bool has_row_ = false;
  bool at_end_ = false;
};

class BufferRows final : public RowSource {
 public:
  BufferRows(catalog::TablePtr table, std::shared_ptr<const RowBuffer> buffer)
      : table_(std::move(table)), buffer_(std::move(buffer)) {
    // The buffer may lack the system columns: match by name.
    for (const catalog::ColumnDefinition& column : *table_->columns) {
      size_t position = 0;
      while (position < buffer_->schema().size() && buffer_->schema()[position].name != column.name)
        ++position;
      positions_.push_back(position);
      cells_.push_back(Datum::Null(column.type.kind));
    }
  }

  Result<bool> Next() override {
    if (next_ >= buffer_->row_count()) return false;
    const std::vector<Value>& row = buffer_->rows()[next_++];
    for (size_t i = 0; i < positions_.size(); ++i) {
      if (positions_[i] < row.size()) cells_[i] = row[positions_[i]].datum();
    }
    return true;
  }
  std::span<const Datum> cells() const override { return cells_; }

 private:
  const catalog::TablePtr table_;
  const std::shared_ptr<const RowBuffer> buffer_;
  std::vector<size_t> positions_;
  std::vector<Datum> cells_;
  size_t next_ = 0;
};

class FixedRows final : public RowSource {
 public:
  explicit FixedRows(int count) : left_(count) {}
  Result<bool> Next() override { return left_-- > 0; }
  std::span<const Datum> cells() const override { return {}; }

 private:
  int left_;
};

}  // namespace

std::unique_ptr<RowSource> MakeTableRows(tables::TableReader& reader, tables::ReadScope scope,
                                         BoundPath path, bool include_deleted,
                                         tables::ColumnSet wanted) {
  if (path.is_empty) return MakeNoRows();
  if (path.is_keys) {
    return std::make_unique<KeyRows>(reader, std::move(scope), std::move(path.keys),
                                     include_deleted, std::move(wanted));
  }
  path.scan.include_deleted = include_deleted;
  return std::make_unique<ScanRows>(reader, std::move(scope), std::move(path.scan),
                                    std::move(wanted));
}

std::unique_ptr<RowSource> MakeBufferRows(catalog::TablePtr table,
                                          std::shared_ptr<const RowBuffer> buffer) {
  return std::make_unique<BufferRows>(std::move(table), std::move(buffer));
}

std::unique_ptr<RowSource> MakeSingleRow() { return std::make_unique<FixedRows>(1); }

std::unique_ptr<RowSource> MakeNoRows() { return std::make_unique<FixedRows>(0); }

Result<bool> FilteredRows::Next() {
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const bool found, source_->Next());
    if (!found) return false;
    if (++rows_read_ % kRowsBetweenChecks == 0) KALAM_RETURN_IF_ERROR(limits_.Check());
    context_ = &evaluation_.ForRow(source_->cells());
    if (filter_ == nullptr) return true;
    KALAM_ASSIGN_OR_RETURN(const bool passes, IsTrue(*filter_, *context_));
    if (passes) return true;
  }
}

}  // namespace kalam::query
