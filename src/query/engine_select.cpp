// Statements for the analytical engine.
#include "query/engine_select.h"

#include <fmt/core.h>

#include "tables/table_writer.h"

namespace kalam::query {

using catalog::TableType;

Result<tables::ReadScope> ScopeOf(const catalog::TablePtr& table, const StatementContext& context,
                                  const replication::View& view, bool for_insert) {
  tables::ReadScope scope{table, tables::ScopeFor(*table, context.caller.user_id), view,
                          context.transaction};
  if (context.transaction != nullptr) {
    if (table->type == TableType::kStream && !for_insert) {
      return Status(ErrorKind::InvalidOperation,
                    "stream tables are not supported inside explicit transactions");
    }
    KALAM_RETURN_IF_ERROR(context.transaction->Touch(*table, scope.scope));
    KALAM_RETURN_IF_ERROR(context.transaction->CheckLimits(context.now_us));
  }
  return scope;
}

Result<std::shared_ptr<const RowBuffer>> ReadSystemTable(const catalog::TableDefinition& table,
                                                         const StatementContext& context,
                                                         SystemTables* system_tables) {
  if (system_tables == nullptr) {
    return Status(ErrorKind::NotAvailable,
                  fmt::format("table '{}' is not available yet", table.QualifiedName()));
  }
  return system_tables->Read(table, context.caller);
}

Result<analytics::EngineQuery> MakeEngineQuery(
    const BoundPlan& bound, const StatementContext& context, const replication::View& view,
    tables::TableReader& reader, SystemTables* system_tables, const SearchVectors& search_vectors) {
  const auto& plan = std::get<EnginePlan>(bound.plan->body);
  analytics::EngineQuery query;
  KALAM_ASSIGN_OR_RETURN(query.sql, WriteEngineText(plan, context, bound.parameters));
  for (const EngineTable& source : plan.tables) {
    if (source.search) {
      KALAM_ASSIGN_OR_RETURN(auto nearest, search_vectors(*source.table, *source.search));
      query.sources.push_back(tables::MakeBufferSource(std::move(nearest)));
      continue;
    }
    if (source.table->type == TableType::kSystem || source.table->type == TableType::kView) {
      KALAM_ASSIGN_OR_RETURN(auto buffer, ReadSystemTable(*source.table, context, system_tables));
      query.sources.push_back(tables::MakeBufferSource(std::move(buffer)));
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(tables::ReadScope scope, ScopeOf(source.table, context, view, false));
    query.sources.push_back(
        tables::MakeTableSource(reader, std::move(scope), source.include_deleted));
  }
  query.deadline_steady_us = context.deadline_steady_us;
  query.cancelled = context.cancelled;
  return query;
}

}  // namespace kalam::query
