// The statement processor and its requests: a fast path for one autocommit statement, workers for
// everything else.
#include "statements/sql_request.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "files/file_store.h"
#include "sql/file_placeholders.h"
#include "statements/sql_request_batch.h"
#include "statements/sql_request_environment.h"
#include "statements/sql_request_error.h"
#include "statements/sql_request_plan.h"
#include "statements/sql_request_upload.h"

namespace kalam::statements {
namespace {

// Texts above this size are parsed on a worker.
constexpr size_t kInlineTextBytesMax = 32 << 10;

// How a commit comes back to the request that waits for it, which may be gone by then.
struct PendingCommit {
  std::atomic<bool> done{false};
  replication::CommitResult result;  // readable once `done`
};

class Request : public SqlRequest {
 public:
  Request(const RequestEnvironment& environment, RequestInput input)
      : environment_(environment),
        input_(std::move(input)),
        started_steady_us_(environment.services.clock.SteadyUs()) {}

  Step Advance(bool on_worker, const std::function<void()>& wake) override;
  const RequestError* error() const override { return error_ ? &*error_ : nullptr; }
  std::vector<StatementResult>& results() override { return results_; }
  bool rows_need_worker() const override {
    return results_.size() == 1 && results_[0].rows != nullptr && results_[0].rows->needs_worker();
  }
  bool RunAgain() override;
  RequestError FailRows(Status status) override;
  void Finish(int64_t rows_sent) override;

 private:
  // Where Advance goes on. A step either moves to another stage or says what it waits for.
  enum class Stage : uint8_t { kPlan, kPrepare, kRun, kCommit, kGate, kBatch, kDone };

  Status ChargeInput();
  std::optional<Step> Plan(bool on_worker);
  std::optional<Step> PlanStatements(bool on_worker);
  std::optional<Step> StoreFiles(bool on_worker);
  std::optional<Step> Prepare(bool on_worker);
  std::optional<Step> Run(bool on_worker, const std::function<void()>& wake);
  std::optional<Step> AwaitCommit();
  std::optional<Step> RunAtGate(bool on_worker);
  /// What is evaluated next runs on a worker, which may wait for the disk, or on a core.
  void SetThread(bool on_worker);
  std::optional<Step> RunBatch(bool on_worker);

  std::optional<Step> Propose(const std::function<void()>& wake);
  std::optional<Step> Retry(Status status);
  std::optional<Step> FinishDml();
  std::optional<Step> Succeed();
  std::optional<Step> Fail(Status status, const ErrorPlace& place);
  std::optional<Step> FailStatement(Status status);
  void AuditDenial();

  const RequestEnvironment& environment_;
  RequestInput input_;
  const int64_t started_steady_us_;
  MemoryCharge input_charge_;
  Stage stage_ = Stage::kPlan;
  RequestPlan plan_;
  query::StatementContext context_;
  std::optional<query::BoundPlan> bound_;
  query::DmlEvaluation evaluation_;
  std::shared_ptr<PendingCommit> pending_;
  std::unique_ptr<RequestBatch> batch_;
  std::unique_ptr<files::Upload> upload_;
  std::vector<StatementResult> results_;
  std::optional<RequestError> error_;
  int conflict_rounds_ = 0;
  int stale_rounds_ = 0;
  int64_t row_count_ = 0;
  bool finished_ = false;
};

SqlRequest::Step Request::Advance(bool on_worker, const std::function<void()>& wake) {
  for (;;) {
    std::optional<Step> step;
    switch (stage_) {
      case Stage::kPlan:
        step = Plan(on_worker);
        break;
      case Stage::kPrepare:
        step = Prepare(on_worker);
        break;
      case Stage::kRun:
        step = Run(on_worker, wake);
        break;
      case Stage::kCommit:
        step = AwaitCommit();
        break;
      case Stage::kGate:
        step = RunAtGate(on_worker);
        break;
      case Stage::kBatch:
        step = RunBatch(on_worker);
        break;
      case Stage::kDone:
        return Step::kFinished;
    }
    if (step) return *step;
  }
}

Status Request::ChargeInput() {
  const int64_t bytes = ChargedBytes(input_);
  if (bytes == 0) return {};
  const int64_t limit = environment_.statement_memory.limit_bytes();
  if (limit > 0 && bytes > limit) {
    return Status(ErrorKind::MemoryExceeded,
                  "the request is larger than there is memory for; send it in parts");
  }
  input_charge_ = MemoryCharge(environment_.statement_memory, 0);
  if (input_charge_.TryResize(bytes)) return {};
  return Status(
      ErrorKind::MemoryPressure,
      "The server is short of memory and cannot take so large a statement now; try again");
}

std::optional<SqlRequest::Step> Request::Plan(bool on_worker) {
  // Files that the statement does not take are removed with the staging area, which is disk work.
  const bool has_files = input_.staging != nullptr;
  if ((has_files || input_.sql.size() > kInlineTextBytesMax) && !on_worker)
    return Step::kNeedsWorker;
  if (Status status = ChargeInput(); !status.ok()) return Fail(std::move(status), {});
  const std::optional<Step> step = PlanStatements(on_worker);
  if (step != Step::kNeedsWorker) input_.staging.reset();
  return step;
}

// A statement with files is planned anew once their FileRefs stand in its text.
std::optional<SqlRequest::Step> Request::StoreFiles(bool on_worker) {
  const std::vector<sql::FilePlaceholder> placeholders = sql::FindFilePlaceholders(input_.sql);
  if (placeholders.empty()) return std::nullopt;
  if (!on_worker) return Step::kNeedsWorker;
  Result<UploadedStatement> uploaded =
      StoreStatementFiles(environment_.services, input_, plan_, placeholders);
  if (!uploaded.ok())
    return Fail(std::move(uploaded).status(), {.source = plan_.statements[0].source});
  input_.sql = std::move(uploaded->sql);
  upload_ = std::move(uploaded->upload);
  plan_ = PlanRequest(input_.sql, input_.caller, environment_.services.catalog,
                      environment_.statement_memory);
  if (!plan_.status.ok()) return Fail(plan_.status, {.source = plan_.failed_source});
  return std::nullopt;
}

std::optional<SqlRequest::Step> Request::PlanStatements(bool on_worker) {
  plan_ = PlanRequest(input_.sql, input_.caller, environment_.services.catalog,
                      environment_.statement_memory);
  environment_.statements_total.Add(
      static_cast<int64_t>(std::max<size_t>(plan_.statements.size(), 1)));
  if (!plan_.status.ok()) {
    if (!plan_.denied_user_id.empty()) {
      // The refusal is recorded, and that waits for the disk.
      if (!on_worker) return Step::kNeedsWorker;
      AuditDenial();
    }
    return Fail(plan_.status, {.source = plan_.failed_source});
  }
  if (plan_.statements.size() > 1 && !input_.parameters.empty()) {
    return Fail(
        Status(ErrorKind::ParamsWithBatch, "Parameters not supported with multi-statement batches"),
        {});
  }
  if (const std::optional<Step> step = StoreFiles(on_worker)) return step;
  const RequestStatement& first = plan_.statements[0];
  const bool is_plain =
      plan_.statements.size() == 1 && first.is_query_or_dml() && !first.execute_as;
  if (!is_plain) {
    stage_ = Stage::kBatch;
    return std::nullopt;
  }
  context_ = MakeContext(
      environment_, input_,
      {.caller = input_.caller, .namespace_id = input_.namespace_id, .on_worker = on_worker});
  stage_ = Stage::kPrepare;
  return std::nullopt;
}

void Request::AuditDenial() {
  // The request is refused whether or not the record could be written.
  (void)environment_.admin
      .Audit(input_.caller, "EXECUTE_AS_USER_DENIED", "user:" + plan_.denied_user_id,
             "role_not_allowed", input_.client_address, plan_.denied_user_id)
      .ok();
}

std::optional<SqlRequest::Step> Request::Prepare(bool on_worker) {
  context_.on_worker = on_worker;
  Result<query::BoundPlan> bound =
      environment_.services.query.Prepare(plan_.statements[0].text, input_.parameters, context_);
  if (!bound.ok()) return FailStatement(std::move(bound).status());
  bound_ = std::move(*bound);
  stage_ = Stage::kRun;
  return std::nullopt;
}

std::optional<SqlRequest::Step> Request::Run(bool on_worker, const std::function<void()>& wake) {
  if (!on_worker && query::NeedsWorker(*bound_)) return Step::kNeedsWorker;
  SetThread(on_worker);
  if (query::KindOf(*bound_->plan) != query::PlanKind::kSelect) {
    Result<query::DmlEvaluation> evaluation =
        environment_.services.query.EvaluateDml(*bound_, context_);
    if (evaluation.status().Is(ErrorKind::NotInMemory)) return Step::kNeedsWorker;
    if (!evaluation.ok()) return Retry(std::move(evaluation).status());
    evaluation_ = std::move(*evaluation);
    return evaluation_.command == nullptr ? FinishDml() : Propose(wake);
  }
  Result<std::unique_ptr<RowStream>> rows =
      environment_.services.query.OpenSelect(*bound_, context_);
  if (rows.status().Is(ErrorKind::NotInMemory)) return Step::kNeedsWorker;
  if (!rows.ok()) return Retry(std::move(rows).status());
  StatementResult result;
  result.as_user = input_.caller.user_id;
  result.rows = MaskSecretColumns(std::move(*rows), input_.caller.role);
  results_.push_back(std::move(result));
  return Succeed();
}

std::optional<SqlRequest::Step> Request::Propose(const std::function<void()>& wake) {
  pending_ = std::make_shared<PendingCommit>();
  replication::ProposeResult proposed = environment_.services.group.Propose(
      evaluation_.command, [pending = pending_, wake](const replication::CommitResult& result) {
        pending->result = result;
        pending->done.store(true, std::memory_order_release);
        wake();
      });
  switch (proposed.outcome) {
    case replication::ProposeOutcome::kAppended:
      stage_ = Stage::kCommit;
      return Step::kWaiting;
    case replication::ProposeOutcome::kConflict:
      return Retry(Status(ErrorKind::Conflict, "another writer was first"));
    case replication::ProposeOutcome::kRejected:
      return Retry(std::move(proposed.status));
  }
  return std::nullopt;
}

std::optional<SqlRequest::Step> Request::AwaitCommit() {
  if (!pending_->done.load(std::memory_order_acquire)) return Step::kWaiting;
  if (!pending_->result.status.ok()) return Retry(pending_->result.status);
  return FinishDml();
}

// Goes round again where that can help; otherwise the error is the answer.
std::optional<SqlRequest::Step> Request::Retry(Status status) {
  const bool timed_out = context_.deadline_steady_us != 0 &&
                         environment_.services.clock.SteadyUs() > context_.deadline_steady_us;
  const bool again = status.Is(ErrorKind::Conflict) || status.Is(ErrorKind::StaleSchema);
  if (again && timed_out) {
    return FailStatement(Status(
        ErrorKind::Timeout, "statement exceeded its time limit of " +
                                std::to_string(environment_.limits.statement_timeout_ms) + " ms"));
  }
  if (status.Is(ErrorKind::Conflict) && conflict_rounds_ < kConflictRoundsMax + kGateRoundsMax) {
    stage_ = ++conflict_rounds_ < kConflictRoundsMax ? Stage::kRun : Stage::kGate;
    return std::nullopt;
  }
  if (status.Is(ErrorKind::StaleSchema) && ++stale_rounds_ < kStaleRoundsMax) {
    stage_ = Stage::kPrepare;
    return std::nullopt;
  }
  return FailStatement(std::move(status));
}

void Request::SetThread(bool on_worker) {
  context_.on_worker = on_worker;
  context_.only_in_memory = !on_worker;
}

// Evaluates and proposes while nobody else proposes.
std::optional<SqlRequest::Step> Request::RunAtGate(bool on_worker) {
  if (!on_worker) return Step::kNeedsWorker;
  SetThread(on_worker);
  std::unique_ptr<replication::ReplicationGroup::Gate> gate =
      environment_.services.group.EnterGate();
  Result<query::DmlEvaluation> evaluation =
      environment_.services.query.EvaluateDml(*bound_, context_);
  if (!evaluation.ok()) return Retry(std::move(evaluation).status());
  evaluation_ = std::move(*evaluation);
  if (evaluation_.command != nullptr) {
    Status status =
        replication::ProposeAndWait(environment_.services.group, evaluation_.command).status;
    if (!status.ok()) return Retry(std::move(status));
  }
  return FinishDml();
}

std::optional<SqlRequest::Step> Request::RunBatch(bool on_worker) {
  if (!on_worker) return Step::kNeedsWorker;
  batch_ = std::make_unique<RequestBatch>(environment_, input_, plan_.statements);
  Status status = batch_->Run();
  row_count_ = batch_->row_count();
  if (status.ok()) {
    results_ = std::move(batch_->results());
    return Succeed();
  }
  const size_t index = batch_->failed_index();
  if (index >= plan_.statements.size()) {
    const std::string message = status.message();
    Fail(std::move(status), {});
    error_->message = message;  // a sentence about the request, not about a statement
    return Step::kFinished;
  }
  return Fail(std::move(status), {.source = plan_.statements[index].source,
                                  .statement_number = plan_.statements.size() > 1 ? index + 1 : 0});
}

std::optional<SqlRequest::Step> Request::FinishDml() {
  row_count_ = evaluation_.row_count;
  results_.push_back(
      MakeDmlResult(query::KindOf(*bound_->plan), std::move(evaluation_), input_.caller.user_id));
  return Succeed();
}

std::optional<SqlRequest::Step> Request::Succeed() {
  stage_ = Stage::kDone;
  return Step::kFinished;
}

std::optional<SqlRequest::Step> Request::FailStatement(Status status) {
  const RequestStatement& statement = plan_.statements[0];
  if (status.position() >= 0) {
    const int position = status.position() + statement.offset;
    status = std::move(status).WithPosition(position);
  }
  return Fail(std::move(status), {.source = statement.source});
}

std::optional<SqlRequest::Step> Request::Fail(Status status, const ErrorPlace& place) {
  environment_.statements_failed.Add();
  results_.clear();
  error_ = MakeRequestError(std::move(status), input_.caller.role, place);
  stage_ = Stage::kDone;
  return Step::kFinished;
}

bool Request::RunAgain() {
  if (!context_.only_in_memory) return false;
  results_.clear();
  stage_ = Stage::kRun;
  return true;
}

RequestError Request::FailRows(Status status) {
  environment_.statements_failed.Add();
  const RequestStatement& statement = plan_.statements[0];
  if (status.position() >= 0) {
    const int position = status.position() + statement.offset;
    status = std::move(status).WithPosition(position);
  }
  return MakeRequestError(std::move(status), input_.caller.role, {.source = statement.source});
}

void Request::Finish(int64_t rows_sent) {
  if (std::exchange(finished_, true)) return;
  const int64_t duration_us = environment_.services.clock.SteadyUs() - started_steady_us_;
  if (duration_us < environment_.limits.slow_query_ms * 1000) return;
  environment_.slow_queries.Add();
  LogSlowStatement(environment_.services.catalog, {.sql = input_.sql,
                                                   .user_id = input_.caller.user_id,
                                                   .namespace_id = input_.namespace_id,
                                                   .duration_us = duration_us,
                                                   .row_count = std::max(rows_sent, row_count_)});
}

class Processor : public StatementProcessor {
 public:
  Processor(StatementServices services, const StatementLimits& limits)
      : services_(std::move(services)), limits_(limits) {}

  Status Open() {
    KALAM_ASSIGN_OR_RETURN(admin_, AdminStatements::Make(services_, limits_, transactions_));
    environment_ = std::make_unique<RequestEnvironment>(RequestEnvironment{
        .services = services_,
        .limits = limits_,
        .admin = *admin_,
        .transactions = transactions_,
        .statements_total = services_.metrics.counter("statements_total"),
        .statements_failed = services_.metrics.counter("statements_failed"),
        .slow_queries = services_.metrics.counter("slow_queries_total"),
        .statement_memory = services_.memory.Child("statements"),
        .result_memory = services_.memory.Child("results"),
        .transaction_conflicts = services_.metrics.counter("transaction_conflicts_total"),
    });
    environment_->statement_memory.set_limit_bytes(limits_.statements_memory_bytes);
    environment_->result_memory.set_limit_bytes(
        static_cast<int64_t>(limits_.batch_result_bytes_max));
    return {};
  }

  std::unique_ptr<SqlRequest> Start(RequestInput input) override {
    if (input.namespace_id.empty()) input.namespace_id = "default";
    input.namespace_id = catalog::FoldName(input.namespace_id);
    return std::make_unique<Request>(*environment_, std::move(input));
  }
  Status Bootstrap(const std::string& root_password_hash) override {
    return admin_->Bootstrap(root_password_hash);
  }
  Status Audit(const catalog::Caller& actor, std::string_view action, std::string_view target,
               std::optional<std::string> details, std::string_view client_address,
               std::optional<std::string> subject_user_id) override {
    return admin_->Audit(actor, action, target, std::move(details), client_address,
                         std::move(subject_user_id));
  }
  void Tick() override { admin_->Tick(); }
  std::vector<StatSample> Stats() override { return admin_->Stats(); }
  size_t FlushLargest(size_t count_max, int64_t row_count_min) override {
    return admin_->FlushLargest(count_max, row_count_min);
  }
  void Close() override { admin_->Close(); }

 private:
  StatementServices services_;
  const StatementLimits limits_;
  TransactionRegistry transactions_;
  std::unique_ptr<AdminStatements> admin_;
  std::unique_ptr<RequestEnvironment> environment_;
};

}  // namespace

Result<std::unique_ptr<StatementProcessor>> StatementProcessor::Make(
    StatementServices services, const StatementLimits& limits) {
  auto processor = std::make_unique<Processor>(std::move(services), limits);
  KALAM_RETURN_IF_ERROR(processor->Open());
  return std::unique_ptr<StatementProcessor>(std::move(processor));
}

}  // namespace kalam::statements
