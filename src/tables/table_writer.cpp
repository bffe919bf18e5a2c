// Row changes of statements, folded to one net mutation a key.
#include "tables/table_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "tables/file_records.h"
#include "tables/staged_rows.h"
#include "types/convert.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::tables {
namespace {

using catalog::ColumnDefinition;
using catalog::TableDefinition;
using catalog::TablePtr;
using replication::ChangeOp;

bool IsStream(const TableDefinition& table) { return table.type == catalog::TableType::kStream; }

bool SameCell(const Datum& a, const Datum& b) {
  if (a.is_null || b.is_null) return a.is_null == b.is_null;
  if (a.kind != b.kind) return false;
  if (DataType::Of(a.kind).is_bytes_like()) return a.text() == b.text();
  if (a.kind == TypeKind::kDecimal) return a.scale == b.scale && a.decimal() == b.decimal();
  return a.i == b.i;
}

/// What a writer needs to know of one table version: made once, used for every row.
struct TableShape {
  explicit TableShape(TablePtr definition) : table(std::move(definition)) {
    const std::vector<ColumnDefinition>& columns = *table->columns;
    position_columns.resize(table->layout().cells.size());
    for (uint32_t i = 0; i < columns.size(); ++i) {
      std::optional<size_t> position = table->StoragePosition(i);
      if (position) position_columns[*position] = i;
    }
    primary_key = table->PrimaryKey();
    if (!IsStream(*table)) file_positions = FilePositions(*table);
  }

  TablePtr table;
  std::vector<uint32_t> position_columns;  // column index by position in the layout
  std::optional<size_t> primary_key;
  std::vector<uint32_t> file_positions;      // of FILE cells in the layout
  std::optional<uint64_t> segments_version;  // in the view, once asked for
  std::optional<RowDecoder> old_rows;        // inserts never need it
  std::vector<Datum> stored;                 // cells in layout order
  std::vector<uint32_t> positions;           // of changed cells
  std::vector<Datum> changed_cells;          // old values at `positions`

  RowDecoder& decoder() { return old_rows ? *old_rows : old_rows.emplace(table); }

  /// The row of `cells` (by column index) in the current layout.
  std::string Encode(std::span<const Datum> cells) {
    stored.clear();
    for (uint32_t column : position_columns) stored.push_back(cells[column]);
    std::string row;
    EncodeRow(table->layout(), stored, &row);
    return row;
  }

  /// The cells of `before` that differ in `after` (every cell when `after` is empty), both by
  /// column index; empty when nothing differs.
  std::string EncodeChanged(std::span<const Datum> before, std::span<const Datum> after) {
    positions.clear();
    changed_cells.clear();
    for (uint32_t position = 0; position < position_columns.size(); ++position) {
      uint32_t column = position_columns[position];
      if (!after.empty() && SameCell(before[column], after[column])) continue;
      positions.push_back(position);
      changed_cells.push_back(before[column]);
    }
    std::string sparse;
    if (!positions.empty()) EncodeSparseRow(table->layout(), positions, changed_cells, &sparse);
    return sparse;
  }
};

}  // namespace

struct TableWriter::Rep {
  explicit Rep(TableReader& table_reader) : reader(table_reader) {}

  TableReader& reader;
  StagedRows staged;
  std::vector<std::unique_ptr<TableShape>> shapes;
  uint32_t statement = 0;
  int64_t inserted_in_statement = 0;
  ColdRowsAtOnce cold_rows;

  TableShape& ShapeOf(const TablePtr& table);
  /// `row_number` below 0: the message names no row.
  Status CheckNotNull(const TableDefinition& table, std::span<const Datum> cells,
                      int64_t row_number) const;
  /// The key's version in the view alone, tombstones included.
  Result<std::optional<StoredRow>> ReadBase(const ReadScope& scope, std::string_view key);
  /// Notes what the view had of a row's key: `seq` and whether the store had it.
  Status NoteBase(const ReadScope& scope, TableShape& shape, const StoredRow* base, StagedRow* row);
  Status InsertStream(const ReadScope& scope, TableShape& shape, std::span<const Datum> cells);
  void Reinsert(TableShape& shape, StagedScope& staged_scope, StagedRow& row,
                std::span<const Datum> cells);
  Status DecodeBase(TableShape& shape, const StagedRow& row);
  Status DeleteStream(const ReadScope& scope, const StoredRow& old_row);
  void AddFileRecords(replication::Command* command) const;
};

TableShape& TableWriter::Rep::ShapeOf(const TablePtr& table) {
  for (const std::unique_ptr<TableShape>& shape : shapes) {
    if (shape->table == table) return *shape;
  }
  shapes.push_back(std::make_unique<TableShape>(table));
  return *shapes.back();
}

Status TableWriter::Rep::CheckNotNull(const TableDefinition& table, std::span<const Datum> cells,
                                      int64_t row_number) const {
  const std::vector<ColumnDefinition>& columns = *table.columns;
  for (size_t i = 0; i < columns.size(); ++i) {
    if ((columns[i].nullable && !columns[i].primary_key) || !cells[i].is_null) continue;
    if (columns[i].name == catalog::kSeqColumn || columns[i].name == catalog::kDeletedColumn) {
      continue;
    }
    std::string message =
        fmt::format("NOT NULL constraint violation: column '{}' cannot be NULL", columns[i].name);
    if (row_number >= 0) message += fmt::format(" (row {})", row_number);
    return Status(ErrorKind::ConstraintViolation, std::move(message));
  }
  return Status::Ok();
}

Result<std::optional<StoredRow>> TableWriter::Rep::ReadBase(const ReadScope& scope,
                                                            std::string_view key) {
  ReadScope base{scope.table, scope.scope, scope.view, nullptr};
  KALAM_ASSIGN_OR_RETURN(auto row, reader.Get(base, key, /*include_deleted=*/true));
  if (row) KALAM_RETURN_IF_ERROR(cold_rows.Count(scope, *row));
  return row;
}

Status TableWriter::Rep::NoteBase(const ReadScope& scope, TableShape& shape, const StoredRow* base,
                                  StagedRow* row) {
  if (base != nullptr) {
    row->base_seq = base->seq;
    row->base_was_tombstone = base->deleted;
    row->base_was_cold = base->cold;
    if (!base->cold) return Status::Ok();
  }
  if (!shape.segments_version) {
    KALAM_ASSIGN_OR_RETURN(shape.segments_version, reader.SegmentsVersion(scope));
  }
  row->segments_version = *shape.segments_version;
  return Status::Ok();
}

TableWriter::TableWriter(TableReader& reader) : rep_(std::make_unique<Rep>(reader)) {}
TableWriter::~TableWriter() = default;

void TableWriter::BeginStatement() {
  ++rep_->statement;
  rep_->inserted_in_statement = 0;
}

Status TableWriter::Rep::InsertStream(const ReadScope& scope, TableShape& shape,
                                      std::span<const Datum> cells) {
  StagedRow row;
  row.statement = statement;
  row.table = scope.table;
  row.current.schema_version = scope.table->schema_version;
  row.current.row = shape.Encode(cells);
  if (shape.primary_key) EncodeKey(cells[*shape.primary_key], &row.current.encoded_pk);
  row.expire_at_us =
      reader.clock().NowUs() + static_cast<int64_t>(scope.table->options.ttl_seconds) * 1'000'000;
  staged.Add(staged.ScopeOf(*scope.table, scope.scope), "", std::move(row), scope.view.seq);
  return Status::Ok();
}

Status TableWriter::Insert(const ReadScope& scope, std::span<const Datum> cells) {
  Rep& rep = *rep_;
  const TableDefinition& table = *scope.table;
  TableShape& shape = rep.ShapeOf(scope.table);
  int64_t row_number = rep.inserted_in_statement++;
  KALAM_RETURN_IF_ERROR(rep.CheckNotNull(table, cells, row_number));
  if (IsStream(table)) return rep.InsertStream(scope, shape, cells);
  if (!shape.primary_key) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Table '{}' has no primary key", table.QualifiedName()));
  }

  const Datum& key_cell = cells[*shape.primary_key];
  const std::string& key_column = (*table.columns)[*shape.primary_key].name;
  std::string key;
  EncodeKey(key_cell, &key);
  StagedScope& staged_scope = rep.staged.ScopeOf(table, scope.scope);
  auto found = staged_scope.rows.find(key);
  if (found != staged_scope.rows.end()) {
    StagedRow& row = found->second;
    if (row.current.deleted) {
      KALAM_RETURN_IF_ERROR(rep.DecodeBase(shape, row));
      rep.Reinsert(shape, staged_scope, row, cells);
      return Status::Ok();
    }
    bool same_statement = row.statement == rep.statement && row.op == ChangeOp::kInsert;
    std::string_view what = same_statement ? "appears multiple times in the insert batch for column"
                                           : "already exists in column";
    return Status(ErrorKind::AlreadyExists, fmt::format("Primary key violation: value '{}' {} '{}'",
                                                        ToText(key_cell), what, key_column));
  }
  KALAM_ASSIGN_OR_RETURN(std::optional<StoredRow> base, rep.ReadBase(scope, key));
  if (base && !base->deleted) {
    return Status(ErrorKind::AlreadyExists,
                  fmt::format("Primary key violation: value '{}' already exists in column '{}'",
                              ToText(key_cell), key_column));
  }
  StagedRow row;
  row.statement = rep.statement;
  row.table = scope.table;
  row.current.encoded_pk = key;
  row.current.schema_version = table.schema_version;
  row.current.row = shape.Encode(cells);
  KALAM_RETURN_IF_ERROR(rep.NoteBase(scope, shape, base ? &*base : nullptr, &row));
  rep.staged.Add(staged_scope, std::move(key), std::move(row), scope.view.seq);
  return Status::Ok();
}

Status TableWriter::Rep::DecodeBase(TableShape& shape, const StagedRow& row) {
  return shape.decoder().Decode(row.base_schema_version, row.base_row, row.base_seq, false);
}

/// A row that was deleted by this writer comes back: for everybody else it is an update, or nothing
/// at all.
void TableWriter::Rep::Reinsert(TableShape& shape, StagedScope& staged_scope, StagedRow& row,
                                std::span<const Datum> cells) {
  size_t old_bytes = StagedRows::BytesOf(row);
  std::string old_cells = shape.EncodeChanged(shape.decoder().cells(), cells);
  if (old_cells.empty() && row.base_schema_version == shape.table->schema_version) {
    staged.Remove(staged_scope, std::string(row.current.encoded_pk));
    return;
  }
  row.statement = statement;
  row.table = shape.table;
  row.op = ChangeOp::kUpdate;
  row.current.deleted = false;
  row.current.schema_version = shape.table->schema_version;
  row.current.row = shape.Encode(cells);
  row.old_cells = std::move(old_cells);
  staged.Recount(row, old_bytes);
}

Result<std::optional<StoredRow>> TableWriter::FindConflicting(const ReadScope& scope,
                                                              std::span<const Datum> cells) {
  Rep& rep = *rep_;
  TableShape& shape = rep.ShapeOf(scope.table);
  if (!shape.primary_key || IsStream(*scope.table) || cells[*shape.primary_key].is_null) {
    return std::optional<StoredRow>();
  }
  std::string key;
  EncodeKey(cells[*shape.primary_key], &key);
  const StagedRow* staged = rep.staged.Find(scope.table->id, scope.scope, key);
  if (staged != nullptr) {
    if (staged->current.deleted) return std::optional<StoredRow>();
    return std::optional<StoredRow>(staged->current);
  }
  KALAM_ASSIGN_OR_RETURN(std::optional<StoredRow> base, rep.ReadBase(scope, key));
  if (base && base->deleted) base.reset();
  return base;
}

Result<bool> TableWriter::Update(const ReadScope& scope, const StoredRow& old_row,
                                 std::span<const Datum> cells) {
  Rep& rep = *rep_;
  const TableDefinition& table = *scope.table;
  if (IsStream(table)) {
    return Status(ErrorKind::InvalidOperation, "UPDATE not supported for STREAM tables");
  }
  TableShape& shape = rep.ShapeOf(scope.table);
  KALAM_RETURN_IF_ERROR(rep.CheckNotNull(table, cells, -1));
  KALAM_RETURN_IF_ERROR(
      shape.decoder().Decode(old_row.schema_version, old_row.row, old_row.seq, old_row.deleted));
  std::string old_cells = shape.EncodeChanged(shape.decoder().cells(), cells);
  if (old_cells.empty()) return false;

  StagedScope& staged_scope = rep.staged.ScopeOf(table, scope.scope);
  auto found = staged_scope.rows.find(old_row.encoded_pk);
  if (found == staged_scope.rows.end()) {
    StagedRow row;
    row.statement = rep.statement;
    row.table = scope.table;
    row.op = ChangeOp::kUpdate;
    row.current.encoded_pk = old_row.encoded_pk;
    row.current.schema_version = table.schema_version;
    row.current.row = shape.Encode(cells);
    row.old_cells = std::move(old_cells);
    KALAM_RETURN_IF_ERROR(rep.NoteBase(scope, shape, &old_row, &row));
    row.base_schema_version = old_row.schema_version;
    row.base_row = old_row.row;
    rep.staged.Add(staged_scope, old_row.encoded_pk, std::move(row), scope.view.seq);
    return true;
  }

  StagedRow& row = found->second;
  if (row.current.deleted) return false;
  size_t old_bytes = StagedRows::BytesOf(row);
  row.current.row = shape.Encode(cells);
  row.current.schema_version = table.schema_version;
  row.table = scope.table;
  if (row.op == ChangeOp::kUpdate) {
    // Observers see one step, from the version in the view to the last one.
    KALAM_RETURN_IF_ERROR(rep.DecodeBase(shape, row));
    row.old_cells = shape.EncodeChanged(shape.decoder().cells(), cells);
  }
  rep.staged.Recount(row, old_bytes);
  if (row.op == ChangeOp::kUpdate && row.old_cells.empty()) {
    rep.staged.Remove(staged_scope, old_row.encoded_pk);
  }
  return true;
}

Status TableWriter::Rep::DeleteStream(const ReadScope& scope, const StoredRow& old_row) {
  StagedScope& staged_scope = staged.ScopeOf(*scope.table, scope.scope);
  std::string key = "deleted ";
  EncodeBigEndian64(static_cast<uint64_t>(old_row.seq.value), &key);
  if (staged_scope.rows.contains(key)) return Status::Ok();
  TableShape& shape = ShapeOf(scope.table);
  KALAM_RETURN_IF_ERROR(
      shape.decoder().Decode(old_row.schema_version, old_row.row, old_row.seq, false));
  StagedRow row;
  row.statement = statement;
  row.table = scope.table;
  row.op = ChangeOp::kDelete;
  row.current.encoded_pk = old_row.encoded_pk;
  row.current.schema_version = scope.table->schema_version;
  row.current.row = shape.Encode(shape.decoder().cells());
  row.current.deleted = true;
  row.old_cells = shape.EncodeChanged(shape.decoder().cells(), {});
  row.base_seq = old_row.seq;
  // The row itself would have been gone by then, and so nobody asks for its deletion afterwards.
  row.expire_at_us =
      reader.clock().NowUs() + static_cast<int64_t>(scope.table->options.ttl_seconds) * 1'000'000;
  staged.Add(staged_scope, std::move(key), std::move(row), scope.view.seq);
  return Status::Ok();
}

Status TableWriter::Delete(const ReadScope& scope, const StoredRow& old_row) {
  Rep& rep = *rep_;
  const TableDefinition& table = *scope.table;
  if (IsStream(table)) return rep.DeleteStream(scope, old_row);
  TableShape& shape = rep.ShapeOf(scope.table);
  StagedScope& staged_scope = rep.staged.ScopeOf(table, scope.scope);
  auto found = staged_scope.rows.find(old_row.encoded_pk);
  if (found == staged_scope.rows.end()) {
    if (old_row.deleted) return Status::Ok();
    StagedRow row;
    row.current.encoded_pk = old_row.encoded_pk;
    KALAM_RETURN_IF_ERROR(rep.NoteBase(scope, shape, &old_row, &row));
    row.base_schema_version = old_row.schema_version;
    row.base_row = old_row.row;
    // Fails before anything is staged when the row cannot be read.
    KALAM_RETURN_IF_ERROR(rep.DecodeBase(shape, row));
    rep.staged.Add(staged_scope, old_row.encoded_pk, std::move(row), scope.view.seq);
    found = staged_scope.rows.find(old_row.encoded_pk);
    // Cells point into the row's bytes, and a short string's bytes move with it.
    KALAM_RETURN_IF_ERROR(rep.DecodeBase(shape, found->second));
  } else {
    if (found->second.current.deleted) return Status::Ok();
    if (found->second.op == ChangeOp::kInsert) {
      rep.staged.Remove(staged_scope, old_row.encoded_pk);
      return Status::Ok();
    }
    KALAM_RETURN_IF_ERROR(rep.DecodeBase(shape, found->second));
  }
  StagedRow& row = found->second;
  size_t old_bytes = StagedRows::BytesOf(row);
  row.statement = rep.statement;
  row.table = scope.table;
  row.op = ChangeOp::kDelete;
  row.current.deleted = true;
  row.current.schema_version = table.schema_version;
  row.current.row = row.base_schema_version == table.schema_version
                        ? row.base_row
                        : shape.Encode(shape.decoder().cells());
  row.old_cells = shape.EncodeChanged(shape.decoder().cells(), {});
  rep.staged.Recount(row, old_bytes);
  return Status::Ok();
}

/// Who refers to which file changes with the rows, in the same command.
void TableWriter::Rep::AddFileRecords(replication::Command* command) const {
  const bool any = std::any_of(shapes.begin(), shapes.end(),
                               [](const auto& shape) { return !shape->file_positions.empty(); });
  if (!any) return;
  const int64_t now_us = reader.clock().NowUs();
  for (const replication::RowMutation& mutation : command->rows) {
    for (const std::unique_ptr<TableShape>& shape : shapes) {
      if (shape->table->id != mutation.table ||
          shape->table->schema_version != mutation.schema_version || shape->file_positions.empty())
        continue;
      const Status status = AppendFileRecords(*shape->table, shape->file_positions, mutation,
                                              now_us, &command->records);
      KALAM_CHECK(status.ok());  // it decodes what was encoded here
      break;
    }
  }
}

size_t TableWriter::row_count() const { return rep_->staged.row_count(); }
size_t TableWriter::byte_size() const { return rep_->staged.byte_size(); }
const StagedRows& TableWriter::staged() const { return rep_->staged; }

std::shared_ptr<replication::Command> TableWriter::Finish(Seq view_seq) {
  if (rep_->staged.row_count() == 0) return nullptr;
  auto command = std::make_shared<replication::Command>();
  command->view_seq = view_seq;
  command->rows = rep_->staged.TakeMutations();
  rep_->AddFileRecords(command.get());
  rep_->shapes.clear();
  return command;
}

}  // namespace kalam::tables
