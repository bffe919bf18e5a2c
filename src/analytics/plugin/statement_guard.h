// The two walls between a statement's text and the engine: what it may be made of, and what its
// plan may read.
#pragma once

#include <duckdb/optimizer/optimizer_extension.hpp>
#include <duckdb/parser/sql_statement.hpp>
#include <string>

namespace kalam::analytics {

/// Parses exactly one SELECT and walks its tree: tables are kalam_scan, range, generate_series,
/// unnest, VALUES, subqueries and common tables; functions that tell of the server, change it or
/// run other text are refused. The text has been written from a checked tree, so a refusal here is
/// a second lock. Throws the engine's exceptions.
duckdb::unique_ptr<duckdb::SQLStatement> ParseGuarded(const std::string& sql);

/// Runs on every plan before the optimiser: throws unless every table function in it is one of the
/// above, whatever views and replacements it came through.
duckdb::OptimizerExtension PlanGuard();

}  // namespace kalam::analytics
