// Decoding of changes into images.
#include "live/change_image.h"

#include "types/convert.h"

namespace kalam::live {

using replication::ChangeOp;

ChangeView ChangeView::Of(const replication::CommittedChange& change) {
  const replication::RowMutation& mutation = *change.mutation;
  ChangeView view;
  view.op = mutation.op;
  view.schema_version = mutation.schema_version;
  view.seq = change.seq;
  view.previous_seq = mutation.read_seq;
  view.row = mutation.row;
  view.old_cells = mutation.old_cells;
  view.is_stream = mutation.is_stream;
  view.expire_at_us = mutation.expire_at_us;
  return view;
}

ChangeView ChangeView::Of(const tables::StoredChange& change, bool is_stream) {
  ChangeView view;
  view.op = change.op;
  view.schema_version = change.schema_version;
  view.seq = change.seq;
  view.previous_seq = change.previous_seq;
  view.row = change.row;
  view.old_cells = change.old_cells;
  view.is_stream = is_stream;
  view.expire_at_us = change.expire_at_us;
  return view;
}

ChangeImage::ChangeImage(catalog::TablePtr table) : table_(table), decoder_(std::move(table)) {}

Status ChangeImage::Load(const ChangeView& change) {
  has_new_ = false;
  has_old_ = false;
  changed_columns_.clear();
  arena_.Reset();
  seq_ = change.seq;
  previous_seq_ = change.previous_seq;
  is_stream_ = change.is_stream;
  if (change.schema_version > table_->schema_version) {
    return Status(ErrorKind::StaleSchema,
                  "change of a newer version of " + table_->QualifiedName());
  }
  KALAM_RETURN_IF_ERROR(decoder_.Decode(change.schema_version, change.row, change.seq, false));
  const std::span<const Datum> cells = decoder_.cells();
  if (change.op == ChangeOp::kDelete) {
    old_cells_.assign(cells.begin(), cells.end());
    SetSystemCells(change.previous_seq, &old_cells_);
    has_old_ = true;
    return Status();
  }
  new_cells_.assign(cells.begin(), cells.end());
  has_new_ = true;
  if (change.op == ChangeOp::kInsert) return Status();
  old_cells_ = new_cells_;
  SetSystemCells(change.previous_seq, &old_cells_);
  KALAM_RETURN_IF_ERROR(OverlayOldCells(change));
  has_old_ = true;
  return Status();
}

Status ChangeImage::OverlayOldCells(const ChangeView& change) {
  const RowLayout& layout = (*table_->layouts)[change.schema_version - 1];
  KALAM_ASSIGN_OR_RETURN(const std::vector<SparseCell> sparse,
                         DecodeSparseRow(layout, change.old_cells));
  const auto& columns = *table_->columns;
  for (const SparseCell& cell : sparse) {
    const RowLayout::Cell& stored = layout.cells[cell.position];
    for (uint32_t index = 0; index < columns.size(); ++index) {
      if (columns[index].column_id != stored.column_id) continue;
      Datum value = cell.value;
      if (!value.is_null && !(columns[index].type == stored.type)) {
        Result<Datum> cast = Cast(value, columns[index].type, &arena_);
        value = cast.ok() ? *cast : Datum::Null(columns[index].type.kind);
      }
      old_cells_[index] = value;
      changed_columns_.push_back(index);
      break;
    }
  }
  return Status();
}

void ChangeImage::SetSystemCells(Seq seq, std::vector<Datum>* cells) const {
  const auto& columns = *table_->columns;
  for (size_t index = 0; index < columns.size() && index < cells->size(); ++index) {
    if (columns[index].name == catalog::kSeqColumn) (*cells)[index] = Datum::BigInt(seq.value);
    if (columns[index].name == catalog::kDeletedColumn) (*cells)[index] = Datum::Boolean(false);
  }
}

ChangeRows ChangeImage::rows(std::string_view user_id) const {
  ChangeRows rows;
  rows.table = table_.get();
  if (has_new_) rows.new_cells = new_cells_;
  if (has_old_) rows.old_cells = old_cells_;
  rows.changed_columns = changed_columns_;
  rows.seq = seq_;
  rows.previous_seq = previous_seq_;
  rows.is_stream = is_stream_;
  rows.user_id = user_id;
  return rows;
}

}  // namespace kalam::live
