// The statements of a request, split, classified and checked before any of them runs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "sql/parser.h"
#include "sql/statement.h"

namespace kalam::statements {

/// One statement of a request. The views point into the request's text.
struct RequestStatement {
  std::string_view source;  // as the caller wrote it, with its EXECUTE AS
  /// What runs: the statement itself, or the one inside EXECUTE AS.
  sql::StatementKind kind = sql::StatementKind::kSelect;
  std::string_view text;
  int offset = 0;  // of `text` in the request
  std::optional<std::string> execute_as;
  /// Set for everything but SELECT and DML, whose plans the query engine makes from the text.
  std::optional<sql::Statement> parsed;

  bool is_query_or_dml() const;
};

/// All statements, or why none of them may run.
struct RequestPlan {
  std::vector<RequestStatement> statements;
  Status status;
  /// The statement that `status` is about; empty when it is the whole text.
  std::string_view failed_source;
  /// The user whom a statement may not run as, with the refusal in `status`: to be audited.
  std::string denied_user_id;
  /// What the statements of a batch hold until it is answered, beside their rows.
  MemoryCharge memory;
};

/// A bad or unauthorised statement anywhere fails the whole request. The role check of a statement
/// comes before its syntax. A single SELECT or DML statement is not parsed here: preparing it does
/// that once. What parsing large texts takes meanwhile, and many statements until they are
/// answered, is charged to `memory`.
RequestPlan PlanRequest(std::string_view sql, const catalog::Caller& actor,
                        const catalog::Catalog& catalog, MemoryAccount& memory);

/// Whether `actor` may run statements as `target_user_id` (an unknown one counts as role user).
/// Errors: Unauthorized.
Status CheckExecuteAs(const catalog::Catalog& catalog, const catalog::Caller& actor,
                      const std::string& target_user_id);
/// The table that a DML statement writes; null when the text does not tell, or there is none of
/// that name. Reading a large text is charged to `memory`. Errors: InvalidSql; MemoryPressure.
Result<catalog::TablePtr> FindDmlTarget(const catalog::Catalog& catalog,
                                        std::string_view namespace_id,
                                        const RequestStatement& statement, MemoryAccount& memory);
/// DML on SHARED tables may not be run as somebody else. Errors: InvalidOperation; InvalidSql;
/// MemoryPressure.
Status CheckNotSharedDml(const catalog::Catalog& catalog, std::string_view namespace_id,
                         const RequestStatement& statement, MemoryAccount& memory);

}  // namespace kalam::statements
