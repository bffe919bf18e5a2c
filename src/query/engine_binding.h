// How a bound tree names its base tables, and its text for the engine.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "query/plan.h"

namespace kalam::query {

/// The name that a resolved base table gets in the tree: no user can write it.
std::vector<std::string> EngineTableMarker(size_t index);
std::optional<size_t> EngineTableIndex(const sql::TableName& name);

/// The statement in the engine's dialect. Parameters come out as literals, so that a quoted one
/// takes its type from its place as everywhere else; without `parameters` they stay `$n`.
/// Errors: InvalidSql (functions and operators outside of the allow-list).
Result<std::string> WriteEngineText(const EnginePlan& plan, const StatementContext& context,
                                    std::span<const Value> parameters);

}  // namespace kalam::query
