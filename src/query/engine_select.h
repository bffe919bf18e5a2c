// Handing a statement to the analytical engine: its text and the sources that it may read.
#pragma once

#include <functional>
#include <memory>

#include "query/engine_binding.h"
#include "query/execution.h"

namespace kalam::query {

/// Runs vector_search over a table: rows of `row_id` and `score`, best first.
using SearchVectors = std::function<Result<std::shared_ptr<const RowBuffer>>(
    const catalog::TableDefinition& table, const VectorSearch& search)>;

/// The statement of an EnginePlan for one execution. Errors: PermissionDenied and others of system
/// tables.
Result<analytics::EngineQuery> MakeEngineQuery(
    const BoundPlan& bound, const StatementContext& context, const replication::View& view,
    tables::TableReader& reader, SystemTables* system_tables, const SearchVectors& search_vectors);

/// The scope of `table` for this statement; inside a transaction the table is bound to it.
/// Errors: InvalidOperation (a table of another group, a STREAM table read inside a transaction).
Result<tables::ReadScope> ScopeOf(const catalog::TablePtr& table, const StatementContext& context,
                                  const replication::View& view, bool for_insert);

/// The rows of a system table as the caller may see them.
Result<std::shared_ptr<const RowBuffer>> ReadSystemTable(const catalog::TableDefinition& table,
                                                         const StatementContext& context,
                                                         SystemTables* system_tables);

}  // namespace kalam::query
