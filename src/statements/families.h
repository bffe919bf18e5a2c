// The statement families behind AdminStatements: one function a family, and what they share.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "jobs/job_queue.h"
#include "jobs/tiering_jobs.h"
#include "sql/statement.h"
#include "statements/admin_statements.h"
#include "statements/audit.h"
#include "statements/system_tables.h"

namespace kalam::jobs {
class BackupJobs;
class ExportJobs;
}  // namespace kalam::jobs

namespace kalam::statements {

/// What every family works with. Lives as long as the server.
struct AdminContext {
  const StatementServices& services;
  const StatementLimits& limits;
  const TransactionRegistry& transactions;
  jobs::JobQueue& jobs;
  jobs::TieringJobs* tiering;  // null: rows are not moved to cold storage
  jobs::ExportJobs* exports;   // null: users cannot export their rows
  jobs::BackupJobs* backups;   // null: there is no place for backups
  SystemTableRows& system;
  /// Held from the check that an object (does not) exist until the change is durable, so that two
  /// DDL statements never meet.
  std::mutex& ddl_mutex;
};

// Each executes one statement of its family. Errors carry the texts of docs/sql.md.
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateNamespace& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterNamespace& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropNamespace& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::UseNamespace& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateTable& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterTable& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropTable& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateView& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropView& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateUser& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterUser& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropUser& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::ShowStatement& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::SetVariable& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::KillStatement& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::SubscribeStatement& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::StorageStatement& statement);
Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::OtherStatement& statement);
/// CREATE, ALTER, DROP STORAGE and STORAGE CHECK.
Result<StatementResult> ExecuteStorage(AdminContext& context, const StatementRun& run,
                                       const sql::StorageStatement& statement);

/// BACKUP DATABASE, RESTORE DATABASE and EXPORT USER DATA.
Result<StatementResult> ExecuteBackup(AdminContext& context, const StatementRun& run,
                                      const sql::OtherStatement& statement);

/// STORAGE FLUSH and STORAGE COMPACT.
Result<StatementResult> ExecuteTiering(AdminContext& context, StatementRun& run,
                                       const sql::StorageStatement& statement);

// ---- What the families share (families.cpp).

/// An answer that is a sentence, and one that is rows.
StatementResult Told(std::string message);
StatementResult Shown(std::shared_ptr<const RowBuffer> rows);

/// The audit row of `run` doing `action` to `target`.
AuditEntry MakeAudit(const StatementRun& run, std::string action, std::string target,
                     std::optional<std::string> details = std::nullopt);

/// Records that something was read. A disk without room does not stop reads: then the row is left
/// out and logged.
Status AuditRead(AdminContext& context, AuditEntry entry);

/// Makes records durable as one command, with the tables whose rows go with it. Blocks.
Status Commit(replication::ReplicationGroup& group, catalog::RecordWrites records,
              std::vector<TableId> dropped_tables = {});
void Append(catalog::RecordWrites* records, catalog::RecordWrites more);

/// `name` with the request's namespace filled in.
sql::QualifiedName Resolve(const StatementRun& run, const sql::QualifiedName& name);
/// Refuses DDL in the namespaces of the system. `verb`: "create", "alter", "drop".
Status CheckNotSystem(std::string_view verb, const sql::QualifiedName& name);
/// NotFound with the text of missing tables.
Status NoSuchTable(const sql::QualifiedName& name);
/// True when `caller` may know that the table exists: own-scope tables, readable shared ones,
/// everything for dba and system.
bool MaySee(const catalog::TableDefinition& table, const catalog::Caller& caller);
/// `text` between single quotes, quotes doubled.
std::string Quoted(std::string_view text);
/// The role as messages write it: "User", "Dba".
std::string RoleTitle(catalog::Role role);

/// Removes tables, together with their cleanup jobs and audit rows, in the command that is being
/// built.
struct TableDrop {
  catalog::RecordWrites records;
  std::vector<TableId> tables;
  std::vector<jobs::JobRecord> cleanup_jobs;  // to be activated after the commit
};
Status AddTableDrop(AdminContext& context, const StatementRun& run,
                    const catalog::TableDefinition& table, TableDrop* drop);

}  // namespace kalam::statements
