// kalam_scan(i): the table function through which the engine reads source i of the running
// statement.
#pragma once

#include <duckdb/function/table_function.hpp>
#include <duckdb/planner/operator/logical_get.hpp>

namespace kalam::analytics {

inline constexpr const char kScanFunctionName[] = "kalam_scan";

/// Reads only the columns that the plan uses, in as many threads as the source has parts, and
/// passes comparisons of a column with a constant down as hints; the engine itself still applies
/// every filter.
duckdb::TableFunction ScanFunction();

/// The index of the source that `get`, a call of kalam_scan, reads.
size_t ScannedSource(const duckdb::LogicalGet& get);

}  // namespace kalam::analytics
