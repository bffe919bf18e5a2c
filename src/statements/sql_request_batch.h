// Runs the statements of a request one after the other on a worker: batches, transactions, DDL,
// EXECUTE AS.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "statements/sql_request_environment.h"
#include "statements/sql_request_plan.h"

namespace kalam::statements {

/// What a request is charged with before it is planned: its text with the values that stand in it,
/// and its parameters. 0: so little that it is not charged.
int64_t ChargedBytes(const RequestInput& input);

/// One run of one request. Blocks; used by one worker thread.
class RequestBatch {
 public:
  RequestBatch(const RequestEnvironment& environment, const RequestInput& input,
               std::vector<RequestStatement>& statements);
  ~RequestBatch();

  /// Stops at the first failure: an open transaction is rolled back, earlier effects stay.
  Status Run();
  /// In answer order; DML without RETURNING is summed up at the end unless it is the request's only
  /// statement.
  std::vector<StatementResult>& results() { return results_; }
  /// After a failure: the index of the statement, or the number of statements if it is the request
  /// as a whole.
  size_t failed_index() const { return index_; }
  int64_t row_count() const { return row_count_; }

 private:
  struct Totals {
    int64_t inserted = 0, updated = 0, deleted = 0;
  };
  /// An open explicit transaction and where to go back to when another one commits first.
  struct Open {
    std::string id;
    std::unique_ptr<tables::Transaction> transaction;
    MemoryCharge staged;  // what the transaction holds
    size_t begin_index = 0;
    size_t result_count = 0;
    Totals totals;
    std::string namespace_id;
    size_t buffered_bytes = 0;
    int64_t row_count = 0;
  };

  Status RunOne(RequestStatement& statement);
  /// RunOne, but leaves the record of an impersonation in `audit_` where it is not durable yet.
  Status RunUnaudited(RequestStatement& statement);
  Status RunQuery(const RequestStatement& statement, const query::StatementContext& context,
                  const std::string& as_user);
  Status RunDmlStatement(const RequestStatement& statement, const query::StatementContext& context,
                         const std::string& as_user);
  Status RunExplain(const RequestStatement& statement, const query::StatementContext& context,
                    const std::string& as_user);
  Status RunAdmin(RequestStatement& statement, const catalog::Caller& effective);
  Status RunTransaction(const sql::TransactionStatement& statement);
  Status BeginTransaction();
  Status CommitTransaction();
  /// Of the open transaction.
  Status ChargeStaged();
  Status EnterImpersonation(const RequestStatement& statement, catalog::Caller* effective);
  Status CheckAllowedInTransaction(const RequestStatement& statement) const;
  Status AddRows(std::unique_ptr<RowStream> rows, const std::string& as_user, catalog::Role role);
  void AddMessage(std::string message, const std::string& as_user);
  void AddTotals();
  void Register(const char* state);
  void CloseTransaction();

  const RequestEnvironment& environment_;
  const RequestInput& input_;
  const int64_t input_bytes_;  // that it is charged with
  std::vector<RequestStatement>& statements_;
  std::string namespace_id_;
  std::string owner_id_;
  size_t index_ = 0;
  std::vector<StatementResult> results_;
  Totals totals_;
  int64_t row_count_ = 0;
  size_t buffered_bytes_ = 0;
  std::unique_ptr<Open> open_;
  int transaction_runs_ = 0;                   // of the block that is open
  std::optional<catalog::RecordWrite> audit_;  // of the statement that runs, if it needs one
  size_t audited_count_ = 0;                   // statements whose EXECUTE AS is in the audit trail
  std::string rerun_id_;                       // the id that a block keeps when it is run again
};

}  // namespace kalam::statements
