// Traces the columns of a result back to the columns of tables, so that they keep their names for
// types and their flags.
#pragma once

#include <duckdb/main/client_context.hpp>
#include <duckdb/planner/logical_operator.hpp>
#include <optional>
#include <vector>

#include "types/row_stream.h"

namespace kalam::analytics {

/// For each result column of `plan` the column of a source that it shows unchanged: the engine
/// knows text where we know JSON or FILE. Keys and NOT NULL are told only where the plan reads one
/// source and does not group.
std::vector<std::optional<ResultColumn>> TraceColumns(duckdb::ClientContext& context,
                                                      duckdb::LogicalOperator& plan);

}  // namespace kalam::analytics
