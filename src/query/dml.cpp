// What INSERT, UPDATE and DELETE share: coercion, defaults, RETURNING and the writer.
#include "query/dml.h"

#include <fmt/core.h>

#include <algorithm>

#include "types/convert.h"

namespace kalam::query {

namespace {

/// Staged rows are charged in steps of this size: small statements are not charged at all.
constexpr int64_t kChargeStepBytes = 64 << 10;

/// "Unable to cast value 'x' to INT: reason" -> "... for column 'c': reason".
Status NameColumn(const Status& status, const catalog::ColumnDefinition& column) {
  std::string text = status.message();
  const size_t colon = text.find(": ");
  text.insert(colon == std::string::npos ? text.size() : colon,
              fmt::format(" for column '{}'", column.name));
  if (text.starts_with("Unable to cast")) text = "Schema coercion failed: " + text;
  return Status(status.kind(), std::move(text));
}

Datum ZeroOf(const DataType& type) {
  if (type.kind == TypeKind::kDecimal) return Datum::Decimal(0, type.scale);
  if (type.kind == TypeKind::kDouble || type.kind == TypeKind::kFloat) {
    Datum zero = Datum::Double(0);
    zero.kind = type.kind;
    return zero;
  }
  if (type.kind == TypeKind::kUuid) {
    static constexpr char kNilUuid[16] = {};
    return Datum::Bytes(type.kind, {kNilUuid, sizeof(kNilUuid)});
  }
  if (type.kind == TypeKind::kEmbedding) return Datum::Null(type.kind);
  if (type.is_bytes_like()) return Datum::Bytes(type.kind, "");
  return Datum::OfInt(type.kind, 0);
}

}  // namespace

Status CoerceCell(const Datum& value, const catalog::ColumnDefinition& column, Arena* arena,
                  Datum* cell) {
  const TypeKind kind = column.type.kind;
  if (value.is_null) {
    *cell = Datum::Null(kind);
    return {};
  }
  if (value.kind == kind && kind != TypeKind::kDecimal && kind != TypeKind::kEmbedding) {
    *cell = value;
    return {};
  }
  Result<Datum> coerced = CoerceForWrite(value, column.type, arena);
  if (!coerced.ok()) return NameColumn(coerced.status(), column);
  *cell = *coerced;
  return {};
}

Status DefaultCell(const catalog::ColumnDefinition& column, const StatementValues& statement,
                   Arena* arena, Datum* cell) {
  using Kind = catalog::ColumnDefault::Kind;
  Datum value;
  switch (column.default_value.kind) {
    case Kind::kNone:
      *cell = column.nullable || column.primary_key ? Datum::Null(column.type.kind)
                                                    : ZeroOf(column.type);
      return {};
    case Kind::kLiteral:
      value = column.default_value.literal.datum();
      break;
    case Kind::kNow:
      value = Datum::OfInt(TypeKind::kTimestamp, statement.now_us);
      break;
    case Kind::kSnowflakeId:
      value = Datum::BigInt(statement.ids->default_ids.Next());
      break;
    case Kind::kUuidV7:
      value = Datum::Text(arena->Copy(NewUuidV7Text(statement.ids->clock)));
      break;
    case Kind::kUlid:
      value = Datum::Text(arena->Copy(NewUlid(statement.ids->clock)));
      break;
    case Kind::kCurrentUser:
      value = Datum::Text(statement.user_id);
      break;
  }
  return CoerceCell(value, column, arena, cell);
}

ReturningRows::ReturningRows(const std::optional<ReturningPlan>& plan) : plan_(plan) {
  if (plan.has_value()) buffer_ = std::make_shared<RowBuffer>(plan->schema);
}

Status ReturningRows::Add(EvalContext& context) {
  if (buffer_ == nullptr) return {};
  std::vector<Value> values;
  values.reserve(plan_->outputs.size());
  for (const NodePtr& output : plan_->outputs) {
    Datum value;
    KALAM_RETURN_IF_ERROR(output->Evaluate(context, &value));
    values.emplace_back(value);
  }
  buffer_->Append(std::move(values));
  return {};
}

StatementWriter::StatementWriter(tables::TableReader& reader, tables::Transaction* transaction,
                                 const RunLimits& limits)
    : transaction_(transaction), limits_(limits) {
  if (limits.memory != nullptr) charge_ = MemoryCharge(*limits.memory, 0);
  if (transaction_ != nullptr) {
    writer_ = &transaction_->writer();
    writer_->BeginStatement();
    staged_before_ = static_cast<int64_t>(writer_->byte_size());
  } else {
    writer_ = &own_.emplace(reader);
  }
}

Status StatementWriter::ChargeGrowth(const ReturningRows& returning) {
  const int64_t staged = static_cast<int64_t>(writer_->byte_size());
  const int64_t own =
      std::max<int64_t>(staged - staged_before_, 0) + static_cast<int64_t>(returning.byte_size());
  if (own < charge_.bytes() + kChargeStepBytes) return {};
  if (transaction_ == nullptr && limits_.memory_max_bytes > 0 && own > limits_.memory_max_bytes) {
    return Status(ErrorKind::MemoryExceeded,
                  fmt::format("the rows that the statement writes need more than its {} bytes of "
                              "memory; write fewer at once",
                              limits_.memory_max_bytes));
  }
  if (charge_.TryResize(own)) return {};
  return Status(ErrorKind::MemoryPressure,
                "The server is short of memory and cannot take these rows now; try again");
}

Result<std::shared_ptr<replication::Command>> StatementWriter::Finish(Seq view_seq,
                                                                      int64_t now_us) {
  if (transaction_ == nullptr) return writer_->Finish(view_seq);
  KALAM_RETURN_IF_ERROR(transaction_->CheckLimits(now_us));
  return std::shared_ptr<replication::Command>();
}

}  // namespace kalam::query
