// See sql_request_environment.h.
#include "statements/sql_request_environment.h"

#include <fmt/format.h>

#include "base/log.h"
#include "sql/parser.h"

namespace kalam::statements {
namespace {

bool HoldsSecret(const ResultColumn& column) {
  return column.name == "credentials" || column.name == "password_hash";
}

// Passes rows on with the secret cells replaced.
class MaskingSink : public RowSink {
 public:
  MaskingSink(RowSink& sink, const std::vector<bool>& masked) : sink_(sink), masked_(masked) {}
  void BeginRow() override {
    column_ = 0;
    sink_.BeginRow();
  }
  void Cell(const Datum& cell, const DataType& type) override {
    const bool masked = masked_[column_++] && !cell.is_null;
    sink_.Cell(masked ? Datum::Text("***") : cell, masked ? DataType::Of(TypeKind::kText) : type);
  }
  void EndRow() override { sink_.EndRow(); }
  size_t buffered_bytes() const override { return sink_.buffered_bytes(); }

 private:
  RowSink& sink_;
  const std::vector<bool>& masked_;
  size_t column_ = 0;
};

class MaskingStream : public RowStream {
 public:
  explicit MaskingStream(std::unique_ptr<RowStream> rows)
      : rows_(std::move(rows)), schema_(rows_->schema()) {
    for (ResultColumn& column : schema_) {
      masked_.push_back(HoldsSecret(column));
      if (masked_.back()) column.type = DataType::Of(TypeKind::kText);
    }
  }
  const ResultSchema& schema() const override { return schema_; }
  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    MaskingSink masking(sink, masked_);
    return rows_->Next(masking, chunk_bytes);
  }
  bool needs_worker() const override { return rows_->needs_worker(); }
  std::string notice() const override { return rows_->notice(); }

 private:
  std::unique_ptr<RowStream> rows_;
  ResultSchema schema_;
  std::vector<bool> masked_;
};

// One round: evaluated, proposed, durable. Conflict and StaleSchema are for the caller to repeat.
Result<query::DmlEvaluation> RunOneRound(const RequestEnvironment& environment,
                                         const query::BoundPlan& plan,
                                         const query::StatementContext& context,
                                         std::optional<catalog::RecordWrite>* record) {
  KALAM_ASSIGN_OR_RETURN(query::DmlEvaluation evaluation,
                         environment.services.query.EvaluateDml(plan, context));
  const bool takes_record = record->has_value() && context.transaction == nullptr;
  if (takes_record) {
    if (evaluation.command == nullptr)
      evaluation.command = std::make_shared<replication::Command>();
    evaluation.command->records.push_back(**record);
  }
  if (evaluation.command == nullptr) return evaluation;
  KALAM_RETURN_IF_ERROR(
      replication::ProposeAndWait(environment.services.group, evaluation.command).status);
  if (takes_record) record->reset();
  return evaluation;
}

// A line in the log is not worth more.
constexpr int64_t kLoggedParseBytesMax = 1 << 20;

// The table that a statement names first: behind FROM, INTO or UPDATE.
std::string FirstTable(std::string_view sql, std::string_view namespace_id) {
  if (sql::ParseBytes(sql) > kLoggedParseBytesMax) return {};
  Result<sql::Statement> statement = sql::ParseStatement(sql);
  if (!statement.ok()) return {};
  std::vector<std::string> parts;
  if (auto* query = std::get_if<sql::QueryPtr>(&statement->body)) {
    const sql::FromItem* from = (*query)->from.get();
    while (from != nullptr && from->kind == sql::FromKind::kJoin) from = from->left.get();
    if (from != nullptr && from->kind == sql::FromKind::kTable) parts = from->table.parts;
  } else if (auto* insert = std::get_if<std::unique_ptr<sql::InsertStatement>>(&statement->body)) {
    parts = (*insert)->table.parts;
  } else if (auto* update = std::get_if<std::unique_ptr<sql::UpdateStatement>>(&statement->body)) {
    parts = (*update)->table.parts;
  } else if (auto* deletion =
                 std::get_if<std::unique_ptr<sql::DeleteStatement>>(&statement->body)) {
    parts = (*deletion)->table.parts;
  }
  if (parts.empty()) return {};
  const std::string ns = parts.size() > 1 ? parts[parts.size() - 2] : std::string(namespace_id);
  return ns + "." + parts.back();
}

}  // namespace

query::StatementContext MakeContext(const RequestEnvironment& environment,
                                    const RequestInput& input, StatementSetting setting) {
  query::StatementContext context;
  context.caller = std::move(setting.caller);
  context.default_namespace = std::move(setting.namespace_id);
  context.now_us = environment.services.clock.NowUs();
  context.transaction = setting.transaction;
  if (environment.limits.statement_timeout_ms > 0) {
    context.deadline_steady_us =
        environment.services.clock.SteadyUs() + environment.limits.statement_timeout_ms * 1000;
  }
  context.cancelled = input.cancelled;
  context.memory = &environment.statement_memory;
  context.memory_max_bytes = environment.limits.statement_memory_bytes;
  context.on_worker = setting.on_worker;
  return context;
}

std::string DmlMessage(query::PlanKind kind, int64_t row_count) {
  std::string_view verb = kind == query::PlanKind::kInsert   ? "Inserted"
                          : kind == query::PlanKind::kUpdate ? "Updated"
                                                             : "Deleted";
  return fmt::format("{} {} row(s)", verb, row_count);
}

StatementResult MakeDmlResult(query::PlanKind kind, query::DmlEvaluation evaluation,
                              const std::string& as_user) {
  StatementResult result;
  result.as_user = as_user;
  result.row_count = evaluation.row_count;
  if (evaluation.returning != nullptr) {
    result.row_count = static_cast<int64_t>(evaluation.returning->row_count());
    result.rows = OpenStream(std::move(evaluation.returning));
    result.memory = std::move(evaluation.memory);
  } else {
    result.message = DmlMessage(kind, evaluation.row_count);
  }
  return result;
}

std::unique_ptr<RowStream> MaskSecretColumns(std::unique_ptr<RowStream> rows, catalog::Role role) {
  if (rows == nullptr || catalog::IsAdmin(role)) return rows;
  for (const ResultColumn& column : rows->schema()) {
    if (HoldsSecret(column)) return std::make_unique<MaskingStream>(std::move(rows));
  }
  return rows;
}

Result<query::DmlEvaluation> RunDml(const RequestEnvironment& environment, std::string_view text,
                                    std::span<const Value> parameters,
                                    const query::StatementContext& context, query::PlanKind* kind,
                                    std::optional<catalog::RecordWrite>* record) {
  Status status;
  for (int stale = 0; stale < kStaleRoundsMax; ++stale) {
    KALAM_ASSIGN_OR_RETURN(query::BoundPlan plan,
                           environment.services.query.Prepare(text, parameters, context));
    *kind = query::KindOf(*plan.plan);
    for (int round = 0; round < kConflictRoundsMax + kGateRoundsMax; ++round) {
      std::unique_ptr<replication::ReplicationGroup::Gate> gate;
      if (round >= kConflictRoundsMax) gate = environment.services.group.EnterGate();
      Result<query::DmlEvaluation> evaluation = RunOneRound(environment, plan, context, record);
      // A transaction's conflicts show at COMMIT.
      if (evaluation.ok() || context.transaction != nullptr) return evaluation;
      status = std::move(evaluation).status();
      if (!status.Is(ErrorKind::Conflict)) break;
    }
    if (!status.Is(ErrorKind::StaleSchema)) return status;
  }
  return status;
}

void LogSlowStatement(const catalog::Catalog& catalog, const SlowStatement& statement) {
  const std::string masked = sql::MaskSecrets(statement.sql);
  const std::string name = FirstTable(statement.sql, statement.namespace_id);
  std::string type = "unknown";
  if (size_t dot = name.find('.'); dot != std::string::npos) {
    Result<catalog::TablePtr> table = catalog.FindTable(name.substr(0, dot), name.substr(dot + 1));
    if (table.ok() && *table != nullptr) type = catalog::TableTypeName((*table)->type);
  }
  const double seconds = static_cast<double>(statement.duration_us) / 1e6;
  LogSlowQuery(fmt::format(
      "SLOW QUERY - user={}, table={} ({}), duration={:.3f}s, rows={}, query={}", statement.user_id,
      name.empty() ? "unknown" : name, type, seconds, statement.row_count, masked));
  Log(LogLevel::kWarn, "statements", "slow query",
      {{"user", statement.user_id},
       {"seconds", seconds},
       {"query", std::string_view(masked).substr(0, 100)}});
}

}  // namespace kalam::statements
