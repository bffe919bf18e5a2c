// STORAGE FLUSH, STORAGE COMPACT and STORAGE REBUILD: jobs for tables whose rows may be in cold
// storage.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "statements/families.h"
#include "tiering/tiering.h"

namespace kalam::statements {
namespace {

using sql::StorageStatement;

bool IsOfFlush(const StorageStatement& statement) {
  return statement.kind == StorageStatement::Kind::kFlushTable ||
         statement.kind == StorageStatement::Kind::kFlushAll;
}

bool IsOfRebuild(const StorageStatement& statement) {
  return statement.kind == StorageStatement::Kind::kRebuildTable;
}

std::string_view Verb(const StorageStatement& statement) {
  if (IsOfRebuild(statement)) return "REBUILD";
  return IsOfFlush(statement) ? "FLUSH" : "COMPACT";
}
std::string_view Noun(const StorageStatement& statement) {
  return IsOfFlush(statement) ? "flush" : "compaction";
}

bool HasColdTier(const catalog::TableDefinition& table) {
  return table.type == catalog::TableType::kUser || table.type == catalog::TableType::kShared;
}

Result<StatementResult> ExecuteOnTable(AdminContext& context, const StatementRun& run,
                                       const StorageStatement& statement) {
  const sql::QualifiedName name = Resolve(run, statement.table);
  const std::string qualified = name.namespace_id + "." + name.name;
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         context.services.catalog.FindTable(name.namespace_id, name.name));
  if (table == nullptr || !MaySee(*table, run.actor))
    return Status(ErrorKind::NotFound, "Table " + qualified + " not found");
  if (!HasColdTier(*table)) {
    std::string type(catalog::TableTypeName(table->type));
    for (char& c : type) c = static_cast<char>(c - 'a' + 'A');
    return Status(
        ErrorKind::InvalidOperation,
        fmt::format("STORAGE {} TABLE is not supported for {} tables", Verb(statement), type));
  }
  if (IsOfRebuild(statement)) {
    KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job, context.tiering->QueueRebuild(*table));
    return Told(
        fmt::format("Storage rebuild started for table '{}'. Job ID: {}", qualified, job.job_id));
  }
  if (!IsOfFlush(statement)) {
    KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job, context.tiering->QueueCompaction(*table));
    return Told(fmt::format("Storage compaction started for table '{}'. Job ID: {}", qualified,
                            job.job_id));
  }
  KALAM_ASSIGN_OR_RETURN(const bool has_rows, context.services.tiering->HasHotRows(table->id));
  if (!has_rows) {
    return Told(fmt::format("Storage flush skipped: no pending writes for table '{}'", qualified));
  }
  const Result<jobs::JobRecord> job = context.tiering->QueueFlush(*table);
  if (job.status().Is(ErrorKind::IdempotentConflict)) {
    return Told(fmt::format(
        "Storage flush skipped: a flush is already queued or running for table '{}'", qualified));
  }
  KALAM_RETURN_IF_ERROR(job.status());
  return Told(
      fmt::format("Storage flush started for table '{}'. Job ID: {}", qualified, job->job_id));
}

Result<StatementResult> ExecuteOnNamespace(AdminContext& context, const StatementRun& run,
                                           const StorageStatement& statement) {
  const std::string ns = statement.namespace_id.empty() ? run.namespace_id : statement.namespace_id;
  if (!context.services.catalog.NamespaceExists(ns))
    return Status(ErrorKind::NotFound, "Namespace '" + ns + "' not found");
  KALAM_ASSIGN_OR_RETURN(const auto tables, context.services.catalog.ListTables(ns));
  std::vector<std::string> job_ids;
  Status busy;
  for (const catalog::TablePtr& table : tables) {
    if (!HasColdTier(*table)) continue;
    if (IsOfFlush(statement)) {
      KALAM_ASSIGN_OR_RETURN(const bool has_rows, context.services.tiering->HasHotRows(table->id));
      if (!has_rows) continue;
    }
    const Result<jobs::JobRecord> job = IsOfFlush(statement)
                                            ? context.tiering->QueueFlush(*table)
                                            : context.tiering->QueueCompaction(*table);
    if (job.status().Is(ErrorKind::IdempotentConflict)) {
      busy = job.status();
      continue;
    }
    KALAM_RETURN_IF_ERROR(job.status());
    job_ids.push_back(job->job_id);
  }
  if (!job_ids.empty()) {
    return Told(fmt::format("Storage {} started for {} table(s) in namespace '{}'. Job IDs: [{}]",
                            Noun(statement), job_ids.size(), ns, fmt::join(job_ids, ", ")));
  }
  // Everything that there is to do is being done.
  KALAM_RETURN_IF_ERROR(busy);
  if (IsOfFlush(statement))
    return Told(fmt::format("Storage flush skipped: no pending writes in namespace '{}'", ns));
  return Status(ErrorKind::NotFound, "No compactable tables found in namespace " + ns);
}

}  // namespace

Result<StatementResult> ExecuteTiering(AdminContext& context, StatementRun& run,
                                       const StorageStatement& statement) {
  if (context.tiering == nullptr) {
    return Status(ErrorKind::NotAvailable,
                  fmt::format("STORAGE {} is not available on this server", Verb(statement)));
  }
  // Before anything is looked at: no job is made that could only fail.
  if (!IsOfRebuild(statement)) KALAM_RETURN_IF_ERROR(context.services.tiering->CheckCanWrite());
  const bool is_of_table = statement.kind == StorageStatement::Kind::kFlushTable ||
                           statement.kind == StorageStatement::Kind::kCompactTable ||
                           IsOfRebuild(statement);
  return is_of_table ? ExecuteOnTable(context, run, statement)
                     : ExecuteOnNamespace(context, run, statement);
}

}  // namespace kalam::statements
