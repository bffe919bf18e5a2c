// Decoding of stored rows into current columns, with one plan per stored schema version.
#include "tables/row.h"

#include <algorithm>
#include <optional>

#include "types/convert.h"
#include "types/row_codec.h"

namespace kalam::tables {
namespace {

/// A wanted column that a stored version has: where it stands there and where it goes.
struct StoredCell {
  uint32_t position;  // in the version's layout
  uint32_t column;    // in TableDefinition::columns
  bool cast;          // stored with another type
};

/// What decoding a row of one schema version takes.
struct VersionPlan {
  size_t cell_count = 0;  // cells to decode: up to the last wanted one
  std::vector<StoredCell> cells;
  std::vector<std::pair<uint32_t, Datum>>
      absent;  // columns that the version lacks, and what they read as
};

/// The value of a NOT NULL column in rows that are older than the column. `zeros` are bytes for
/// kinds that need some.
Datum ZeroOf(const DataType& type, std::string_view zeros) {
  switch (type.kind) {
    case TypeKind::kFloat:
    case TypeKind::kDouble: {
      Datum zero = Datum::Double(0);
      zero.kind = type.kind;
      return zero;
    }
    case TypeKind::kDecimal:
      return Datum::Decimal(0, type.scale);
    case TypeKind::kUuid:
      return Datum::Bytes(type.kind, zeros.substr(0, 16));
    case TypeKind::kEmbedding:
      return Datum::Bytes(type.kind, zeros.substr(0, sizeof(float) * type.dimension));
    default:
      break;
  }
  if (type.is_bytes_like()) return Datum::Bytes(type.kind, "");
  return Datum::OfInt(type.kind, 0);
}

size_t ZeroBytesNeeded(const std::vector<catalog::ColumnDefinition>& columns) {
  size_t needed = 16;
  for (const catalog::ColumnDefinition& column : columns) {
    needed = std::max(needed, sizeof(float) * column.type.dimension);
  }
  return needed;
}

}  // namespace

Value AbsentValue(const catalog::ColumnDefinition& column) {
  if (column.nullable) return Value::Null(column.type.kind);
  const std::string zeros(ZeroBytesNeeded({column}), '\0');
  return Value(ZeroOf(column.type, zeros));
}

struct RowDecoder::Rep {
  catalog::TablePtr table;
  std::vector<bool> wanted;  // by column index
  std::optional<uint32_t> seq_column;
  std::optional<uint32_t> deleted_column;
  std::vector<std::optional<VersionPlan>> plans;  // by schema version - 1, made on first use
  std::string zeros;
  std::vector<Datum> raw;    // cells of the stored version
  std::vector<Datum> cells;  // by column index
  Arena arena;               // results of casts

  const VersionPlan& PlanFor(size_t version_index);
};

const VersionPlan& RowDecoder::Rep::PlanFor(size_t version_index) {
  std::optional<VersionPlan>& plan = plans[version_index];
  if (plan) return *plan;
  plan.emplace();
  const std::vector<RowLayout::Cell>& layout = (*table->layouts)[version_index].cells;
  const std::vector<catalog::ColumnDefinition>& columns = *table->columns;
  for (uint32_t i = 0; i < columns.size(); ++i) {
    if (!wanted[i] || i == seq_column || i == deleted_column) continue;
    auto found = std::find_if(layout.begin(), layout.end(), [&](const RowLayout::Cell& cell) {
      return cell.column_id == columns[i].column_id;
    });
    if (found == layout.end()) {
      if (zeros.empty()) zeros.resize(ZeroBytesNeeded(columns));
      Datum absent =
          columns[i].nullable ? Datum::Null(columns[i].type.kind) : ZeroOf(columns[i].type, zeros);
      plan->absent.emplace_back(i, absent);
      continue;
    }
    uint32_t position = static_cast<uint32_t>(found - layout.begin());
    plan->cells.push_back({position, i, found->type != columns[i].type});
    plan->cell_count = std::max<size_t>(plan->cell_count, position + 1);
  }
  return *plan;
}

RowDecoder::RowDecoder(catalog::TablePtr table, ColumnSet wanted) : rep_(std::make_unique<Rep>()) {
  size_t column_count = table->columns->size();
  rep_->table = std::move(table);
  rep_->wanted.assign(column_count, wanted.empty());
  for (uint32_t column : wanted) {
    if (column < column_count) rep_->wanted[column] = true;
  }
  for (uint32_t i = 0; i < column_count; ++i) {
    const std::string& name = (*rep_->table->columns)[i].name;
    if (name == catalog::kSeqColumn) rep_->seq_column = i;
    if (name == catalog::kDeletedColumn) rep_->deleted_column = i;
  }
  rep_->plans.resize(rep_->table->layouts->size());
  rep_->cells.resize(column_count);
}

RowDecoder::~RowDecoder() = default;
RowDecoder::RowDecoder(RowDecoder&&) noexcept = default;
RowDecoder& RowDecoder::operator=(RowDecoder&&) noexcept = default;

Status RowDecoder::Decode(uint32_t schema_version, std::string_view row, Seq seq, bool deleted) {
  Rep& rep = *rep_;
  if (schema_version == 0 || schema_version > rep.plans.size()) {
    return Status(ErrorKind::StaleSchema,
                  "a row of " + rep.table->QualifiedName() + " was written with another version");
  }
  const VersionPlan& plan = rep.PlanFor(schema_version - 1);
  KALAM_RETURN_IF_ERROR(
      DecodeRowPrefix((*rep.table->layouts)[schema_version - 1], row, plan.cell_count, &rep.raw));
  rep.arena.Reset();
  for (const StoredCell& cell : plan.cells) {
    Datum& target = rep.cells[cell.column];
    target = rep.raw[cell.position];
    if (!cell.cast) continue;
    // MODIFY checks nothing, so that a value may not fit its new type: it reads as NULL then.
    const DataType& type = (*rep.table->columns)[cell.column].type;
    Result<Datum> converted = Cast(target, type, &rep.arena);
    target = converted.ok() ? *converted : Datum::Null(type.kind);
  }
  for (const auto& [column, value] : plan.absent) rep.cells[column] = value;
  if (rep.seq_column) rep.cells[*rep.seq_column] = Datum::BigInt(seq.value);
  if (rep.deleted_column) rep.cells[*rep.deleted_column] = Datum::Boolean(deleted);
  return Status::Ok();
}

std::span<const Datum> RowDecoder::cells() const { return rep_->cells; }
const catalog::TablePtr& RowDecoder::table() const { return rep_->table; }

}  // namespace kalam::tables
