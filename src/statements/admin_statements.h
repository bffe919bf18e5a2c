// The seam between the request driver and the statement families that are not DML: DDL, users,
// storages, SHOW, KILL, jobs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "catalog/role.h"
#include "sql/statement.h"
#include "statements/sql_request.h"
#include "statements/transaction_registry.h"

namespace kalam::statements {

/// What one statement runs with. Lives while the statement runs; used by one worker thread.
struct StatementRun {
  catalog::Caller actor;  // who sent the request: role checks and the actor of audit rows
  catalog::Caller
      effective;  // as whom it runs: the same, or the target of EXECUTE AS USER with role kUser
  std::string namespace_id;  // of unqualified names; USE changes it for the rest of the request
  std::string client_address;
  int64_t now_us = 0;
  int64_t deadline_steady_us = 0;   // 0: none
  std::function<bool()> cancelled;  // may be empty
};

/// Everything that is not SELECT, DML, BEGIN/COMMIT/ROLLBACK, EXPLAIN or EXECUTE AS: the request
/// driver does those itself. Owns the DDL lock, the jobs, the audit trail and the system tables
/// (which it registers with `services.query`). Thread-safety: all methods may be called from any
/// thread; Execute, Audit, Bootstrap and Tick block and want a worker.
class AdminStatements {
 public:
  /// `services` and `transactions` must outlive it.
  static Result<std::unique_ptr<AdminStatements>> Make(const StatementServices& services,
                                                       const StatementLimits& limits,
                                                       const TransactionRegistry& transactions);
  virtual ~AdminStatements() = default;

  /// Runs one statement whose role check has passed. `text` is its source. `as_user` of the answer
  /// is set by the driver.
  virtual Result<StatementResult> Execute(StatementRun& run, const sql::Statement& statement,
                                          std::string_view text) = 0;

  /// As StatementProcessor's methods of the same names.
  virtual Status Bootstrap(const std::string& root_password_hash) = 0;
  virtual Status Audit(const catalog::Caller& actor, std::string_view action,
                       std::string_view target, std::optional<std::string> details,
                       std::string_view client_address,
                       std::optional<std::string> subject_user_id) = 0;
  virtual void Tick() = 0;
  virtual std::vector<StatSample> Stats() = 0;
  virtual size_t FlushLargest(size_t count_max, int64_t row_count_min) = 0;
  virtual void Close() = 0;
};

/// The role check that needs nothing but the first words (spec: sql.md 0.2 and 1): it runs for
/// every statement of a request, also a malformed one, before any is parsed. Inner statements of
/// EXECUTE AS are checked with the actor's role. Errors: PermissionDenied or Unauthorized with the
/// spec's texts.
Status CheckStatementRole(sql::StatementKind kind, std::string_view text,
                          const catalog::Caller& actor);

}  // namespace kalam::statements
