// CREATE and DROP VIEW: stored text that runs with the reader's own scope.
#include <algorithm>

#include "statements/families.h"

namespace kalam::statements {
namespace {

/// Plans the view's query as its creator, so that a view that can never work is refused now.
Status CheckQuery(AdminContext& context, const StatementRun& run,
                  const sql::CreateView& statement) {
  query::StatementContext statement_context;
  statement_context.caller = run.effective;
  statement_context.default_namespace = run.namespace_id;
  statement_context.now_us = run.now_us;
  statement_context.deadline_steady_us = run.deadline_steady_us;
  statement_context.cancelled = run.cancelled;
  statement_context.memory = &context.services.memory.Child("statements");
  statement_context.on_worker = true;
  KALAM_ASSIGN_OR_RETURN(query::BoundPlan plan, context.services.query.Prepare(
                                                    statement.query_text, {}, statement_context));
  if (query::KindOf(*plan.plan) != query::PlanKind::kSelect) {
    return Status(ErrorKind::InvalidSql, "A view must be a SELECT");
  }
  if (statement.column_names.empty()) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(auto rows, context.services.query.OpenSelect(plan, statement_context));
  if (rows->schema().size() == statement.column_names.size()) return Status::Ok();
  return Status(ErrorKind::InvalidSql, "View has " + std::to_string(statement.column_names.size()) +
                                           " column names but its query gives " +
                                           std::to_string(rows->schema().size()) + " columns");
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateView& statement) {
  const sql::QualifiedName name = Resolve(run, statement.view);
  KALAM_RETURN_IF_ERROR(CheckNotSystem("create", name));
  KALAM_RETURN_IF_ERROR(catalog::ValidateTableName(statement.view.name));
  catalog::ViewDefinition view{.namespace_id = name.namespace_id,
                               .name = name.name,
                               .query = statement.query_text,
                               .column_names = {},
                               .default_namespace = run.namespace_id,
                               .created_at_us = run.now_us};
  for (const std::string& column : statement.column_names) {
    KALAM_RETURN_IF_ERROR(catalog::ValidateColumnName(column));
    view.column_names.push_back(catalog::FoldName(column));
    const bool twice = std::count(view.column_names.begin(), view.column_names.end(),
                                  view.column_names.back()) > 1;
    if (twice) return Status(ErrorKind::InvalidSql, "Duplicate column name '" + column + "'");
  }

  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  const std::string qualified = name.namespace_id + "." + name.name;
  if (!catalog.NamespaceExists(name.namespace_id)) {
    return Status(ErrorKind::InvalidOperation,
                  "Namespace '" + name.namespace_id +
                      "' does not exist. Create it first with CREATE NAMESPACE " +
                      name.namespace_id);
  }
  KALAM_ASSIGN_OR_RETURN(const auto table, catalog.FindTable(name.namespace_id, name.name));
  if (table) return Status(ErrorKind::AlreadyExists, "Table " + qualified + " already exists");
  KALAM_ASSIGN_OR_RETURN(const auto existing, catalog.FindView(name.namespace_id, name.name));
  if (existing && !statement.or_replace) {
    return Status(ErrorKind::AlreadyExists, "View " + qualified + " already exists");
  }
  KALAM_RETURN_IF_ERROR(CheckQuery(context, run, statement));
  catalog::RecordWrites records = catalog.PutView(view);
  records.push_back(AuditWrite(MakeAudit(run, "CREATE_VIEW", qualified)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told("View " + qualified + " created successfully");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropView& statement) {
  const sql::QualifiedName name = Resolve(run, statement.view);
  KALAM_RETURN_IF_ERROR(CheckNotSystem("drop", name));
  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  const std::string qualified = name.namespace_id + "." + name.name;
  KALAM_ASSIGN_OR_RETURN(const auto existing, catalog.FindView(name.namespace_id, name.name));
  if (!existing) {
    if (statement.if_exists) return Told("View " + qualified + " does not exist (skipped)");
    return Status(ErrorKind::NotFound,
                  "View '" + name.name + "' not found in namespace '" + name.namespace_id + "'");
  }
  catalog::RecordWrites records = catalog.DropView(name.namespace_id, name.name);
  records.push_back(AuditWrite(MakeAudit(run, "DROP_VIEW", qualified)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told("View " + qualified + " dropped successfully");
}

}  // namespace kalam::statements
