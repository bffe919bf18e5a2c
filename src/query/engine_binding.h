// How a bound tree names its base tables, and its text for the engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/plan.h"

namespace kalam::query {

/// The name that a resolved base table gets in the tree: no user can write it.
std::vector<std::string> EngineTableMarker(size_t index);
std::optional<size_t> EngineTableIndex(const sql::TableName& name);

/// The statement in the engine's dialect. Errors: InvalidSql (functions and operators outside of
/// the allow-list).
Result<std::string> WriteEngineText(const EnginePlan& plan, const StatementContext& context);

}  // namespace kalam::query
