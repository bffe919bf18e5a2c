// Writes a checked tree as text for the analytical engine, with PostgreSQL's meaning (decision 3).
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "sql/ast.h"

namespace kalam::sql {

/// How names and functions come out; supplied by the binder, which has resolved every one of them.
struct EngineNames {
  /// The text of a base table: `kalam_scan(3)`; the writer adds an alias. Errors stop the writing.
  std::function<Result<std::string>(const TableName& name)> table;
  /// CURRENT_USER and CURRENT_ROLE as literals.
  std::string current_user, current_role;
  /// NOW() and its kin, microseconds.
  int64_t now_us = 0;
};

/// Only constructs of an allow-list come out: an unknown function, operator or table function is
/// InvalidSql naming it. Integer division truncates and errors on zero, ORDER BY places NULLs as
/// PostgreSQL does, SUM(BIGINT) is BIGINT, every result column gets its name by ResultName as an
/// alias.
Result<std::string> WriteEngineSql(const Query& query, const EngineNames& names);

}  // namespace kalam::sql
