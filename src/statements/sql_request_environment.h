// What all requests of a server share, and the small steps that they have in common.
#pragma once

#include <string>
#include <string_view>

#include "statements/admin_statements.h"
#include "statements/sql_request.h"
#include "statements/transaction_registry.h"

namespace kalam::statements {

/// Rounds without the gate before a DML statement that keeps meeting other writers takes it.
inline constexpr int kConflictRoundsMax = 8;
/// Rounds at the gate; then the caller is told to try again.
inline constexpr int kGateRoundsMax = 3;
/// Times that a statement is planned anew because the schema changed under it.
inline constexpr int kStaleRoundsMax = 8;
/// Times that a transaction is run again because another one committed first.
inline constexpr int kTransactionRunsMax = 5;

/// Lives as long as the processor. Thread-safety: any thread.
struct RequestEnvironment {
  const StatementServices& services;
  const StatementLimits& limits;
  AdminStatements& admin;
  TransactionRegistry& transactions;
  Counter& statements_total;
  Counter& statements_failed;
  Counter& slow_queries;
  MemoryAccount& statement_memory;  // sorts, groups, staged rows of statements that run
  MemoryAccount& result_memory;     // answers of batches
  Counter& transaction_conflicts;
};

/// What one statement runs with. `cancelled` is shared with the request.
struct StatementSetting {
  catalog::Caller caller;
  std::string namespace_id;
  tables::Transaction* transaction = nullptr;
  bool on_worker = true;
};
query::StatementContext MakeContext(const RequestEnvironment& environment,
                                    const RequestInput& input, StatementSetting setting);

/// The answer of a DML statement: its RETURNING rows, or `Inserted 3 row(s)`.
StatementResult MakeDmlResult(query::PlanKind kind, query::DmlEvaluation evaluation,
                              const std::string& as_user);
/// "Inserted", "Updated" or "Deleted".
std::string DmlMessage(query::PlanKind kind, int64_t row_count);
/// Replaces the cells of columns that hold secrets, for callers below dba.
std::unique_ptr<RowStream> MaskSecretColumns(std::unique_ptr<RowStream> rows, catalog::Role role);

/// A DML statement from evaluation to durability, with its conflicts. Blocks: worker threads only.
/// In a transaction the changes are staged and nothing is proposed; else `record`, when there is
/// one, becomes durable with the changes, or by itself when there are none, and is taken.
Result<query::DmlEvaluation> RunDml(const RequestEnvironment& environment, std::string_view text,
                                    std::span<const Value> parameters,
                                    const query::StatementContext& context, query::PlanKind* kind,
                                    std::optional<catalog::RecordWrite>* record);

/// Tells slow.log and the log of a statement that took longer than configured.
struct SlowStatement {
  std::string_view sql;
  std::string_view user_id;
  std::string_view namespace_id;
  int64_t duration_us = 0;
  int64_t row_count = 0;
};
void LogSlowStatement(const catalog::Catalog& catalog, const SlowStatement& statement);

}  // namespace kalam::statements
