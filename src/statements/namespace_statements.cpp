// CREATE, ALTER and DROP NAMESPACE, and USE.
#include <nlohmann/json.hpp>

#include "statements/families.h"

namespace kalam::statements {
namespace {

std::string Subject(std::string_view name) { return "Namespace '" + std::string(name) + "'"; }

Status NoSuchNamespace(std::string_view name) {
  return Status(ErrorKind::NotFound, Subject(name) + " not found");
}

/// Namespaces that the server itself lives on: they are made at start and stay.
bool IsBuiltIn(std::string_view name) {
  return name == "system" || name == "default" || name == "dba" || name == "information_schema" ||
         name == "pg_catalog" || name == "datafusion";
}

/// The stored options with the statement's keys laid over them.
Result<std::string> MergeOptions(const std::string& stored,
                                 const std::vector<std::pair<std::string, std::string>>& options) {
  auto merged = nlohmann::json::parse(stored.empty() ? "{}" : stored, nullptr, false);
  if (!merged.is_object()) merged = nlohmann::json::object();
  for (const auto& [key, value_json] : options) {
    auto value = nlohmann::json::parse(value_json, nullptr, false);
    if (value.is_discarded()) {
      return Status(ErrorKind::InvalidSql, "Invalid value format: " + value_json);
    }
    merged[key] = std::move(value);
  }
  return merged.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateNamespace& statement) {
  const std::string name = catalog::FoldName(statement.name);
  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  const bool exists = catalog.NamespaceExists(name);
  if (exists && statement.if_not_exists) return Told(Subject(name) + " already exists");
  // Clients take "already exists" for success; a reserved name is told as such before that.
  KALAM_RETURN_IF_ERROR(catalog::ValidateNamespaceName(statement.name));
  if (exists) return Status(ErrorKind::AlreadyExists, Subject(name) + " already exists");
  catalog::RecordWrites records =
      catalog.PutNamespace({.id = name, .options_json = "", .created_at_us = run.now_us});
  records.push_back(AuditWrite(MakeAudit(run, "CREATE_NAMESPACE", name)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(Subject(name) + " created successfully");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterNamespace& statement) {
  const std::string name = catalog::FoldName(statement.name);
  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  KALAM_ASSIGN_OR_RETURN(auto definition, catalog.FindNamespace(name));
  if (!definition) return NoSuchNamespace(name);
  KALAM_ASSIGN_OR_RETURN(definition->options_json,
                         MergeOptions(definition->options_json, statement.options));
  catalog::RecordWrites records = catalog.PutNamespace(*definition);
  records.push_back(AuditWrite(MakeAudit(run, "ALTER_NAMESPACE", name)));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(Subject(name) + " altered successfully");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropNamespace& statement) {
  const std::string name = catalog::FoldName(statement.name);
  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  if (IsBuiltIn(name)) {
    return Status(ErrorKind::InvalidOperation, "Cannot drop system namespace '" + name + "'");
  }
  if (!catalog.NamespaceExists(name)) {
    if (statement.if_exists) return Told(Subject(name) + " does not exist");
    return NoSuchNamespace(name);
  }
  TableDrop drop;
  KALAM_ASSIGN_OR_RETURN(std::vector<catalog::TablePtr> tables, catalog.ListTables(name));
  for (const catalog::TablePtr& table : tables) {
    KALAM_RETURN_IF_ERROR(AddTableDrop(context, run, *table, &drop));
  }
  for (const catalog::ViewDefinition& view : catalog.ListViews()) {
    if (view.namespace_id == name) Append(&drop.records, catalog.DropView(name, view.name));
  }
  Append(&drop.records, catalog.DropNamespace(name));
  drop.records.push_back(AuditWrite(MakeAudit(run, "DROP_NAMESPACE", name)));
  KALAM_RETURN_IF_ERROR(
      Commit(context.services.group, std::move(drop.records), std::move(drop.tables)));
  for (const jobs::JobRecord& job : drop.cleanup_jobs) context.jobs.Activate(job);
  return Told(Subject(name) + " dropped successfully");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::UseNamespace& statement) {
  const std::string name = catalog::FoldName(statement.name);
  if (!context.services.catalog.NamespaceExists(name)) {
    return Status(ErrorKind::NotFound, Subject(name) + " does not exist");
  }
  run.namespace_id = name;
  return Told("Namespace switched to '" + name + "'");
}

}  // namespace kalam::statements
