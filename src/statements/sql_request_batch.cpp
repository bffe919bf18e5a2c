// See sql_request_batch.h.
#include "statements/sql_request_batch.h"

#include "base/id_generators.h"
#include "sql/parser.h"
#include "statements/audit.h"
#include "statements/families.h"

namespace kalam::statements {
namespace {

using sql::StatementKind;

// Rows that are kept are charged in steps of this size.
constexpr size_t kBufferedStepBytes = 64 << 10;
// Larger requests are charged with their values: of each byte there are the text, the value and the
// row; of each literal a Value in two lists, one of which grows, and its type.
constexpr size_t kUnchargedBytesMax = 32 << 10;
constexpr size_t kUnchargedParameterBytesMax = 256 << 10;
constexpr size_t kBytesPerTextByte = 3;
constexpr size_t kBytesPerLiteral = 160;

bool IsCancelled(const RequestInput& input) { return input.cancelled && input.cancelled(); }

// What may run inside a transaction besides SELECT and DML: statements that change nothing.
bool ChangesNothing(StatementKind kind) {
  return kind == StatementKind::kShow || kind == StatementKind::kSet ||
         kind == StatementKind::kUseNamespace || kind == StatementKind::kSubscribe ||
         kind == StatementKind::kExplain || kind == StatementKind::kTransaction;
}

}  // namespace

int64_t ChargedBytes(const RequestInput& input) {
  size_t bytes = 0;
  for (const Value& value : input.parameters) bytes += sizeof(Value) + value.heap_bytes();
  if (input.sql.size() > kUnchargedBytesMax) {
    bytes +=
        input.sql.size() * kBytesPerTextByte + sql::CountLiterals(input.sql) * kBytesPerLiteral;
  } else if (bytes <= kUnchargedParameterBytesMax) {
    return 0;
  }
  return static_cast<int64_t>(bytes);
}

RequestBatch::RequestBatch(const RequestEnvironment& environment, const RequestInput& input,
                           std::vector<RequestStatement>& statements)
    : environment_(environment),
      input_(input),
      input_bytes_(ChargedBytes(input)),
      statements_(statements),
      namespace_id_(input.namespace_id) {}

RequestBatch::~RequestBatch() { CloseTransaction(); }

Status RequestBatch::Run() {
  while (index_ < statements_.size()) {
    if (IsCancelled(input_)) {
      CloseTransaction();
      return Status(ErrorKind::Cancelled, "the client closed the request");
    }
    const size_t at = index_;
    Status status = RunOne(statements_[at]);
    if (!status.ok()) {
      CloseTransaction();
      return status;
    }
    // A COMMIT that lost goes back to its BEGIN.
    if (index_ == at) ++index_;
  }
  if (open_ != nullptr) {
    CloseTransaction();
    return Status(ErrorKind::InvalidOperation,
                  "Request completed with an open explicit transaction; rolled back automatically");
  }
  AddTotals();
  return {};
}

// A statement under another name is answered when the record of that is durable, whatever came of
// it. The record shares the command of what it changes.
Status RequestBatch::RunOne(RequestStatement& statement) {
  Status status = RunUnaudited(statement);
  if (!audit_) return status;
  Status audited = Commit(environment_.services.group, {*std::exchange(audit_, std::nullopt)});
  return audited.ok() ? std::move(status) : std::move(audited);
}

Status RequestBatch::RunUnaudited(RequestStatement& statement) {
  if (statement.kind == StatementKind::kTransaction) {
    return RunTransaction(std::get<sql::TransactionStatement>(statement.parsed->body));
  }
  KALAM_RETURN_IF_ERROR(CheckAllowedInTransaction(statement));
  catalog::Caller effective = input_.caller;
  if (statement.execute_as) KALAM_RETURN_IF_ERROR(EnterImpersonation(statement, &effective));
  if (!statement.is_query_or_dml() && statement.kind != StatementKind::kExplain) {
    return RunAdmin(statement, effective);
  }
  const std::string as_user = effective.user_id;
  query::StatementContext context =
      MakeContext(environment_, input_,
                  {.caller = std::move(effective),
                   .namespace_id = namespace_id_,
                   .transaction = open_ == nullptr ? nullptr : open_->transaction.get(),
                   .on_worker = true});
  Status status =
      statement.kind == StatementKind::kExplain  ? RunExplain(statement, context, as_user)
      : statement.kind == StatementKind::kSelect ? RunQuery(statement, context, as_user)
                                                 : RunDmlStatement(statement, context, as_user);
  if (status.ok() && open_ != nullptr) {
    status = open_->transaction->CheckLimits(environment_.services.clock.NowUs());
    if (status.ok()) status = ChargeStaged();
    Register(open_->transaction->write_count() > 0 ? "open_write" : "open_read");
  }
  if (status.ok() || status.position() < 0) return status;
  const int position = status.position() + statement.offset;
  return std::move(status).WithPosition(position);
}

Status RequestBatch::CheckAllowedInTransaction(const RequestStatement& statement) const {
  if (open_ == nullptr) return {};
  KALAM_RETURN_IF_ERROR(open_->transaction->CheckLimits(environment_.services.clock.NowUs()));
  if (statement.is_query_or_dml() || ChangesNothing(statement.kind)) return {};
  return Status(ErrorKind::InvalidOperation,
                "DDL is not allowed inside explicit transaction '" + open_->id + "'");
}

Status RequestBatch::ChargeStaged() {
  const int64_t bytes = open_->transaction->write_bytes();
  const int64_t limit = environment_.statement_memory.limit_bytes();
  if (limit > 0 && bytes + input_bytes_ > limit) {
    return Status(ErrorKind::MemoryExceeded,
                  "the transaction holds more than there is memory for; commit it in parts");
  }
  if (open_->staged.TryResize(bytes)) return {};
  return Status(ErrorKind::MemoryPressure,
                "The server is short of memory and cannot keep this transaction; try again");
}

Status RequestBatch::EnterImpersonation(const RequestStatement& statement,
                                        catalog::Caller* effective) {
  const bool is_dml = statement.is_query_or_dml() && statement.kind != StatementKind::kSelect;
  if (is_dml)
    KALAM_RETURN_IF_ERROR(CheckNotSharedDml(environment_.services.catalog, namespace_id_, statement,
                                            environment_.statement_memory));
  // Once, however often its transaction has to run.
  if (index_ >= audited_count_) {
    audit_ = AuditWrite({.timestamp_us = environment_.services.clock.NowUs(),
                         .actor_user_id = input_.caller.user_id,
                         .action = "EXECUTE_AS_USER",
                         .target = "user:" + *statement.execute_as,
                         .ip_address = input_.client_address,
                         .subject_user_id = statement.execute_as});
    audited_count_ = index_ + 1;
  }
  *effective = {*statement.execute_as, catalog::Role::kUser};
  return {};
}

Status RequestBatch::RunQuery(const RequestStatement& statement,
                              const query::StatementContext& context, const std::string& as_user) {
  query::QueryEngine& engine = environment_.services.query;
  KALAM_ASSIGN_OR_RETURN(query::BoundPlan plan,
                         engine.Prepare(statement.text, input_.parameters, context));
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowStream> rows, engine.OpenSelect(plan, context));
  return AddRows(std::move(rows), as_user, context.caller.role);
}

Status RequestBatch::RunExplain(const RequestStatement& statement,
                                const query::StatementContext& context,
                                const std::string& as_user) {
  const auto& explain = std::get<sql::Explain>(statement.parsed->body);
  KALAM_ASSIGN_OR_RETURN(
      std::shared_ptr<RowBuffer> rows,
      environment_.services.query.Explain(explain.inner_text, input_.parameters, context,
                                          explain.analyze, explain.verbose));
  return AddRows(OpenStream(std::move(rows)), as_user, context.caller.role);
}

Status RequestBatch::RunDmlStatement(const RequestStatement& statement,
                                     const query::StatementContext& context,
                                     const std::string& as_user) {
  query::PlanKind kind = query::PlanKind::kInsert;
  KALAM_ASSIGN_OR_RETURN(
      query::DmlEvaluation evaluation,
      RunDml(environment_, statement.text, input_.parameters, context, &kind, &audit_));
  row_count_ += evaluation.row_count;
  if (evaluation.returning != nullptr || statements_.size() == 1) {
    results_.push_back(MakeDmlResult(kind, std::move(evaluation), as_user));
    return {};
  }
  if (kind == query::PlanKind::kInsert) totals_.inserted += evaluation.row_count;
  if (kind == query::PlanKind::kUpdate) totals_.updated += evaluation.row_count;
  if (kind == query::PlanKind::kDelete) totals_.deleted += evaluation.row_count;
  return {};
}

Status RequestBatch::RunAdmin(RequestStatement& statement, const catalog::Caller& effective) {
  StatementRun run;
  run.actor = input_.caller;
  run.effective = effective;
  run.namespace_id = namespace_id_;
  run.client_address = input_.client_address;
  run.now_us = environment_.services.clock.NowUs();
  if (environment_.limits.statement_timeout_ms > 0) {
    run.deadline_steady_us =
        environment_.services.clock.SteadyUs() + environment_.limits.statement_timeout_ms * 1000;
  }
  run.cancelled = input_.cancelled;
  KALAM_ASSIGN_OR_RETURN(StatementResult result,
                         environment_.admin.Execute(run, *statement.parsed, statement.text));
  namespace_id_ = run.namespace_id;
  if (result.rows != nullptr)
    return AddRows(std::move(result.rows), effective.user_id, effective.role);
  result.as_user = effective.user_id;
  results_.push_back(std::move(result));
  return {};
}

Status RequestBatch::AddRows(std::unique_ptr<RowStream> rows, const std::string& as_user,
                             catalog::Role role) {
  StatementResult result;
  result.as_user = as_user;
  rows = MaskSecretColumns(std::move(rows), role);
  // The only result of a request streams; the others are kept until all of them have run.
  if (statements_.size() == 1) {
    result.rows = std::move(rows);
    results_.push_back(std::move(result));
    return {};
  }
  auto buffer = std::make_shared<RowBuffer>(rows->schema());
  result.memory = MemoryCharge(environment_.result_memory, 0);
  const size_t bytes_max = environment_.limits.batch_result_bytes_max;
  for (bool more = true; more;) {
    KALAM_ASSIGN_OR_RETURN(more,
                           rows->Next(*buffer, buffer->buffered_bytes() + kBufferedStepBytes));
    if (buffered_bytes_ + buffer->buffered_bytes() > bytes_max) {
      return Status(ErrorKind::MemoryExceeded,
                    "the results of a batch may hold at most " + std::to_string(bytes_max) +
                        " bytes; send the statement by itself and its rows are streamed");
    }
    if (!result.memory.TryResize(static_cast<int64_t>(buffer->buffered_bytes()))) {
      return Status(ErrorKind::MemoryPressure,
                    "The server is short of memory and cannot keep the results of a batch now; "
                    "try again");
    }
  }
  buffered_bytes_ += buffer->buffered_bytes();
  result.row_count = static_cast<int64_t>(buffer->row_count());
  row_count_ += result.row_count;
  result.rows = OpenStream(std::move(buffer));
  results_.push_back(std::move(result));
  return {};
}

void RequestBatch::AddMessage(std::string message, const std::string& as_user) {
  StatementResult result;
  result.message = std::move(message);
  result.as_user = as_user;
  results_.push_back(std::move(result));
}

void RequestBatch::AddTotals() {
  const std::pair<query::PlanKind, int64_t> totals[] = {
      {query::PlanKind::kInsert, totals_.inserted},
      {query::PlanKind::kUpdate, totals_.updated},
      {query::PlanKind::kDelete, totals_.deleted}};
  for (const auto& [kind, count] : totals) {
    if (count == 0) continue;
    AddMessage(DmlMessage(kind, count), input_.caller.user_id);
    results_.back().row_count = count;
  }
}

// ---- Transactions.

Status RequestBatch::RunTransaction(const sql::TransactionStatement& statement) {
  using Kind = sql::TransactionStatement::Kind;
  if (statement.kind == Kind::kBegin) return BeginTransaction();
  const bool is_commit = statement.kind == Kind::kCommit;
  if (open_ == nullptr) {
    return Status(ErrorKind::InvalidOperation, std::string(is_commit ? "COMMIT" : "ROLLBACK") +
                                                   " requires an active explicit SQL transaction");
  }
  if (is_commit) return CommitTransaction();
  const std::string id = open_->id;
  CloseTransaction();
  transaction_runs_ = 0;
  AddMessage("Transaction rolled back (" + id + ")", input_.caller.user_id);
  return {};
}

Status RequestBatch::BeginTransaction() {
  const Clock& clock = environment_.services.clock;
  if (owner_id_.empty()) owner_id_ = "sql-req-" + NewUuidV7Text(clock);
  if (open_ != nullptr) {
    return Status(
        ErrorKind::Conflict,
        "request owner '" + owner_id_ + "' already has an active transaction '" + open_->id + "'");
  }
  query::StatementContext context =
      MakeContext(environment_, input_, {.caller = input_.caller, .namespace_id = namespace_id_});
  const int64_t deadline_us =
      clock.NowUs() + environment_.limits.transaction_timeout_seconds * 1'000'000;
  open_ = std::make_unique<Open>();
  open_->transaction = environment_.services.query.Begin(
      context, environment_.limits.transaction_bytes_max, deadline_us);
  open_->staged = MemoryCharge(environment_.statement_memory, 0);
  open_->id = rerun_id_.empty() ? open_->transaction->id() : std::exchange(rerun_id_, {});
  open_->begin_index = index_;
  open_->result_count = results_.size();
  open_->totals = totals_;
  open_->namespace_id = namespace_id_;
  open_->buffered_bytes = buffered_bytes_;
  open_->row_count = row_count_;
  Register("open_read");
  AddMessage("Transaction started (" + open_->id + ")", input_.caller.user_id);
  return {};
}

Status RequestBatch::CommitTransaction() {
  KALAM_RETURN_IF_ERROR(open_->transaction->CheckLimits(environment_.services.clock.NowUs()));
  Register("committing");
  std::shared_ptr<replication::Command> command = open_->transaction->Finish();
  Status status;
  if (command != nullptr) {
    status = replication::ProposeAndWait(environment_.services.group, std::move(command)).status;
  }
  const std::string id = open_->id;
  if (status.ok()) {
    CloseTransaction();
    transaction_runs_ = 0;
    AddMessage("Transaction committed (" + id + ")", input_.caller.user_id);
    return {};
  }
  const bool lost = status.Is(ErrorKind::Conflict) || status.Is(ErrorKind::StaleSchema);
  if (lost) environment_.transaction_conflicts.Add();
  if (!lost || ++transaction_runs_ >= kTransactionRunsMax) {
    return std::move(status).WithContext("failed to commit transaction '" + id + "'");
  }
  // Another writer was first: everything since BEGIN runs again on what that one left.
  index_ = open_->begin_index;
  results_.resize(open_->result_count);
  totals_ = open_->totals;
  namespace_id_ = open_->namespace_id;
  buffered_bytes_ = open_->buffered_bytes;
  row_count_ = open_->row_count;
  rerun_id_ = id;
  CloseTransaction();
  return {};
}

void RequestBatch::Register(const char* state) {
  OpenTransaction entry;
  const tables::Transaction& transaction = *open_->transaction;
  entry.transaction_id = open_->id;
  entry.owner_id = owner_id_;
  entry.state = state;
  entry.started_us = transaction.started_us();
  entry.last_used_us = environment_.services.clock.NowUs();
  entry.write_count = transaction.write_count();
  entry.write_bytes = transaction.write_bytes();
  entry.touched_tables_count = transaction.touched_table_count();
  entry.snapshot_seq = static_cast<int64_t>(transaction.view().seq.value);
  environment_.transactions.Put(entry);
}

void RequestBatch::CloseTransaction() {
  if (open_ == nullptr) return;
  environment_.transactions.Remove(open_->id);
  open_.reset();
}

}  // namespace kalam::statements
