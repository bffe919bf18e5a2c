// DROP TABLE: the definition goes with the rows of the same command; a cleanup job gives the space
// back.
#include <nlohmann/json.hpp>

#include "statements/families.h"
#include "tiering/tiering.h"

namespace kalam::statements {
namespace {

std::string CleanupParameters(const catalog::TableDefinition& table,
                              const std::string& folder_prefix) {
  std::string type(catalog::TableTypeName(table.type));
  type.front() = static_cast<char>(type.front() - 'a' + 'A');
  return nlohmann::json{
      {"table_id", table.QualifiedName()},
      {"table_type", type},
      {"operation", "drop_table"},
      {"storage",
       {{"storage_id", table.options.storage_id}, {"relative_path_template", folder_prefix}}},
      {"internal_id", table.id.value}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Status AddTableDrop(AdminContext& context, const StatementRun& run,
                    const catalog::TableDefinition& table, TableDrop* drop) {
  std::string key = "drop-" + table.namespace_id + "-" + table.name;
  // A table of this name that was dropped just before may still be cleaned up; its rows have
  // another id.
  if (context.jobs.HasActive(key)) key += "-" + std::to_string(table.id.value);
  tiering::TableFiles files;
  if (context.services.tiering != nullptr) {
    KALAM_ASSIGN_OR_RETURN(files, context.services.tiering->PrepareDrop(table));
  }
  KALAM_ASSIGN_OR_RETURN(
      jobs::JobRecord job,
      context.jobs.Prepare(jobs::JobType::kCleanup, CleanupParameters(table, files.folder_prefix),
                           std::move(key)));
  Append(&drop->records, std::move(files.writes));
  Append(&drop->records, context.services.catalog.DropTable(table));
  drop->records.push_back(jobs::JobQueue::Write(job));
  drop->records.push_back(AuditWrite(MakeAudit(run, "DROP_TABLE", table.QualifiedName())));
  drop->tables.push_back(table.id);
  drop->cleanup_jobs.push_back(std::move(job));
  return Status::Ok();
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropTable& statement) {
  const sql::QualifiedName name = Resolve(run, statement.table);
  KALAM_RETURN_IF_ERROR(CheckNotSystem("drop", name));
  std::lock_guard lock(context.ddl_mutex);
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         context.services.catalog.FindTable(name.namespace_id, name.name));
  const std::string subject = "Table " + name.namespace_id + "." + name.name;
  if (!table) {
    if (statement.if_exists) return Told(subject + " does not exist (skipped)");
    return NoSuchTable(name);
  }
  TableDrop drop;
  KALAM_RETURN_IF_ERROR(AddTableDrop(context, run, *table, &drop));
  KALAM_RETURN_IF_ERROR(
      Commit(context.services.group, std::move(drop.records), std::move(drop.tables)));
  const jobs::JobRecord& job = drop.cleanup_jobs.front();
  context.jobs.Activate(job);
  return Told(subject + " dropped successfully. Cleanup job: " + job.job_id);
}

}  // namespace kalam::statements
