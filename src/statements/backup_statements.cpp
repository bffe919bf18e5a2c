// BACKUP DATABASE, RESTORE DATABASE and EXPORT USER DATA: each queues a job.
#include "statements/backup_statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "backup/namespace_restore.h"
#include "base/id_generators.h"
#include "base/log.h"
#include "jobs/backup_jobs.h"
#include "jobs/export_jobs.h"
#include "objects/object_path.h"
#include "objects/storage_set.h"
#include "segments/segment_store.h"
#include "sql/token_cursor.h"
#include "statements/families.h"
#include "statements/local_folders.h"
#include "tables/lost_history.h"
#include "tables/table_writer.h"
#include "tiering/tiering.h"

namespace kalam::statements {
namespace {

// Nothing else is committed for longer between a look at the clock and the command that swaps.
constexpr int64_t kSwapMaxUs = 60'000'000;

struct BackupStatement {
  enum class Kind : uint8_t { kBackup, kRestore, kExport, kExportNamespace };
  Kind kind = Kind::kBackup;
  std::string namespace_id;  // empty: all of them
  std::string storage_id;    // empty: `path` is a folder of this machine
  std::string path;
  std::vector<std::string> users;  // of EXPORT NAMESPACE
  bool is_schema_only = false;     // of it, too
};

/// `'a,b'` as ids.
std::vector<std::string> SplitIds(const std::string& text) {
  std::vector<std::string> ids;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) ids.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return ids;
}

/// Errors: InvalidSql with a position.
Result<BackupStatement> Parse(const sql::OtherStatement& statement) {
  KALAM_ASSIGN_OR_RETURN(sql::TokenCursor cursor, sql::TokenCursor::Open(statement.text));
  BackupStatement backup;
  if (cursor.AcceptWords({"export", "user", "data"})) {
    backup.kind = BackupStatement::Kind::kExport;
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return backup;
  }
  if (cursor.AcceptWords({"export", "namespace"})) {
    backup.kind = BackupStatement::Kind::kExportNamespace;
    KALAM_ASSIGN_OR_RETURN(backup.namespace_id, cursor.Name());
    backup.is_schema_only = cursor.AcceptWords({"schema", "only"});
    if (cursor.AcceptWords({"for", "users"})) {
      KALAM_ASSIGN_OR_RETURN(const std::string users, cursor.Text());
      backup.users = SplitIds(users);
    }
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return backup;
  }
  const bool is_backup = cursor.AcceptWord("backup");
  if (!is_backup) {
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("restore"));
    backup.kind = BackupStatement::Kind::kRestore;
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("database"));
  if (cursor.AcceptWord("in")) {
    cursor.AcceptWord("namespace");
    KALAM_ASSIGN_OR_RETURN(backup.namespace_id, cursor.Name());
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord(is_backup ? "to" : "from"));
  if (cursor.AcceptWord("storage")) {
    KALAM_ASSIGN_OR_RETURN(backup.storage_id, cursor.Id());
  }
  KALAM_ASSIGN_OR_RETURN(backup.path, cursor.Text());
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return backup;
}

/// A folder of this machine, or one in a storage that is there.
Result<jobs::BackupPlace> PlaceOf(const AdminContext& context, const BackupStatement& statement) {
  if (statement.storage_id.empty()) {
    KALAM_ASSIGN_OR_RETURN(
        std::string folder,
        CheckLocalFolder(statement.path, {.allowed = context.services.allowed_directories,
                                          .data_directory = context.services.data_directory}));
    return jobs::BackupPlace{.storage_id = "", .path = std::move(folder)};
  }
  if (statement.storage_id == "local") {
    return Status(ErrorKind::InvalidOperation,
                  "Storage 'local' lies in the data directory itself; choose another one");
  }
  KALAM_RETURN_IF_ERROR(objects::CheckObjectPath(statement.path));
  KALAM_RETURN_IF_ERROR(context.services.storages->Find(statement.storage_id).status());
  return jobs::BackupPlace{.storage_id = statement.storage_id, .path = statement.path};
}

Status CheckFolderIsThere(const jobs::BackupPlace& place, const std::string& path) {
  if (!place.storage_id.empty()) return {};
  std::error_code error;
  const auto status = std::filesystem::status(place.path, error);
  if (!std::filesystem::exists(status)) {
    return Status(ErrorKind::NotFound, fmt::format("Backup directory '{}' not found", path));
  }
  if (std::filesystem::is_directory(status)) return {};
  return Status(
      ErrorKind::InvalidOperation,
      fmt::format("'{}' is not a directory; RESTORE takes what BACKUP DATABASE wrote", path));
}

/// Of the namespaces of the server itself there is no backup of their own.
Status CheckNamespace(const AdminContext& context, const BackupStatement& statement) {
  const std::string& name = statement.namespace_id;
  if (name == "system" || name == "dba" || catalog::IsReservedNamespace(name)) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Namespace '{}' is backed up with the whole database only", name));
  }
  const bool is_backup = statement.kind == BackupStatement::Kind::kBackup;
  if (!is_backup || context.services.catalog.NamespaceExists(name)) return {};
  return Status(ErrorKind::NotFound, fmt::format("Namespace '{}' not found", name));
}

Result<StatementResult> QueueExport(AdminContext& context, const StatementRun& run) {
  if (context.exports == nullptr) {
    return Status(ErrorKind::NotAvailable, "Exports are not available on this server");
  }
  KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                         context.exports->QueueExport(run.effective.user_id));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group,
                               {AuditWrite(MakeAudit(run, "EXPORT_USER_DATA", run.effective.user_id,
                                                     "Job: " + job.job_id))}));
  return Told(
      fmt::format("User data export started. Job ID: {}. Use SHOW EXPORT to check status "
                  "and get the download link.",
                  job.job_id));
}

Result<StatementResult> QueueNamespaceExport(AdminContext& context, const StatementRun& run,
                                             const BackupStatement& statement) {
  if (!catalog::IsAdmin(run.actor.role)) {
    return Status(ErrorKind::PermissionDenied,
                  "Only dba or system roles can export a namespace, whose rows are of all users");
  }
  if (context.exports == nullptr) {
    return Status(ErrorKind::NotAvailable, "Exports are not available on this server");
  }
  const std::string& name = statement.namespace_id;
  if (!context.services.catalog.NamespaceExists(name) || catalog::IsReservedNamespace(name))
    return Status(ErrorKind::NotFound, fmt::format("Namespace '{}' not found", name));
  KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                         context.exports->QueueNamespaceExport(
                             run.actor.user_id, name, statement.users, statement.is_schema_only));
  KALAM_RETURN_IF_ERROR(
      Commit(context.services.group,
             {AuditWrite(MakeAudit(run, "EXPORT_NAMESPACE", name, "Job: " + job.job_id))}));
  return Told(fmt::format("Namespace export started. Job ID: {}. Download: {}", job.job_id,
                          jobs::ExportJobs::DownloadPath(job)));
}

std::string Target(const BackupStatement& statement) {
  return statement.storage_id.empty() ? statement.path
                                      : statement.storage_id + ":" + statement.path;
}

/// A row in dba.stats takes a number of its own, so that views cover the restored rows at once.
Status WriteRestoreSample(AdminContext& context, int64_t now_us) {
  const StatementServices& services = context.services;
  KALAM_ASSIGN_OR_RETURN(const auto table, services.catalog.FindTable("dba", "stats"));
  if (table == nullptr || table->columns->size() < 6) return {};
  tables::ReadScope scope{table, storage::Scope::Shared(), services.group.TakeView(), nullptr};
  tables::TableWriter writer(services.query.reader());
  const std::string id = fmt::format("{}:restores:{}", now_us, RandomHex(8));
  std::vector<Datum> cells(table->columns->size());
  cells[0] = Datum::Text(id);
  cells[1] = Datum::Text("1");
  cells[2] = Datum::Text("restores");
  cells[3] = Datum::Double(1);
  cells[4] = Datum::Text("count");
  cells[5] = Datum::OfInt(TypeKind::kTimestamp, now_us);
  KALAM_RETURN_IF_ERROR(writer.Insert(scope, cells));
  return replication::ProposeAndWait(services.group, writer.Finish(scope.view.seq)).status;
}

/// Clients that have seen more of the tables than was restored begin anew when they come back.
void NoteLost(const backup::PreparedNamespace& prepared, Seq before,
              catalog::RecordWrites* records) {
  for (const TableId table : prepared.tables)
    records->push_back(tables::SetLostHistory(table, {.after = prepared.newest, .before = before}));
}

/// No flush has written them: the files came out of a backup.
void WriteManifests(AdminContext& context, const std::vector<TableId>& tables) {
  if (context.services.tiering == nullptr) return;
  for (const TableId table : tables) {
    const Status written = context.services.tiering->WriteManifests(table);
    if (written.ok()) continue;
    Log(LogLevel::kWarn, "backup", "the manifests of a restored table could not be written",
        {{"table", table.value}, {"error", written.ToString()}});
  }
}

}  // namespace

Status SwapNamespace(AdminContext& context, backup::PreparedNamespace prepared,
                     const std::string& user_id) {
  StatementRun run;
  run.actor = run.effective = {.user_id = user_id, .role = catalog::Role::kSystem};
  run.now_us = context.services.clock.NowUs();
  const std::string& name = prepared.namespace_id;
  catalog::Catalog& catalog = context.services.catalog;
  if (context.services.segments != nullptr) {
    for (const TableId table : prepared.tables) context.services.segments->NoteTable(table);
  }
  TableDrop drop;
  {
    std::lock_guard lock(context.ddl_mutex);
    KALAM_ASSIGN_OR_RETURN(const auto tables, catalog.ListTables(name));
    for (const catalog::TablePtr& table : tables) {
      KALAM_RETURN_IF_ERROR(AddTableDrop(context, run, *table, &drop));
    }
    for (const catalog::ViewDefinition& view : catalog.ListViews()) {
      if (view.namespace_id == name) Append(&drop.records, catalog.DropView(name, view.name));
    }
    Append(&drop.records, std::move(prepared.records));
    // Until it is known what was published last, as much as can be by then.
    NoteLost(prepared, tables::FirstSeqOf(run.now_us + kSwapMaxUs), &drop.records);
    drop.records.push_back(AuditWrite(MakeAudit(run, "RESTORE_NAMESPACE", name)));
    KALAM_RETURN_IF_ERROR(
        Commit(context.services.group, std::move(drop.records), std::move(drop.tables)));
  }
  catalog::RecordWrites lost;
  NoteLost(prepared, Seq{context.services.group.published_seq().value + 1}, &lost);
  if (const Status noted = Commit(context.services.group, std::move(lost)); !noted.ok()) {
    Log(LogLevel::kWarn, "backup", "cursors of the next minute will count as those of lost rows",
        {{"error", noted.ToString()}});
  }
  for (const jobs::JobRecord& job : drop.cleanup_jobs) context.jobs.Activate(job);
  WriteManifests(context, prepared.tables);
  if (context.services.group.published_seq() >= prepared.newest) return {};
  const Status written = WriteRestoreSample(context, run.now_us);
  if (!written.ok()) {
    Log(LogLevel::kWarn, "backup", "live queries see restored rows after the next write",
        {{"error", written.ToString()}});
  }
  return {};
}

Result<StatementResult> ExecuteBackup(AdminContext& context, const StatementRun& run,
                                      const sql::OtherStatement& other) {
  KALAM_ASSIGN_OR_RETURN(const BackupStatement statement, Parse(other));
  if (statement.kind == BackupStatement::Kind::kExport) return QueueExport(context, run);
  if (statement.kind == BackupStatement::Kind::kExportNamespace)
    return QueueNamespaceExport(context, run, statement);
  if (context.backups == nullptr) {
    return Status(ErrorKind::NotAvailable, "Backups are not available on this server");
  }
  if (!statement.namespace_id.empty()) {
    KALAM_RETURN_IF_ERROR(CheckNamespace(context, statement));
  }
  KALAM_ASSIGN_OR_RETURN(const jobs::BackupPlace place, PlaceOf(context, statement));
  if (statement.kind == BackupStatement::Kind::kBackup) {
    KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                           context.backups->Queue(jobs::JobType::kBackup, statement.namespace_id,
                                                  place, run.actor.user_id));
    KALAM_RETURN_IF_ERROR(Commit(
        context.services.group,
        {AuditWrite(MakeAudit(run, "BACKUP_DATABASE", Target(statement), "Job: " + job.job_id))}));
    return Told(
        fmt::format("Database backup started to '{}'. Job ID: {}", statement.path, job.job_id));
  }
  KALAM_RETURN_IF_ERROR(CheckFolderIsThere(place, statement.path));
  KALAM_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                         context.backups->Queue(jobs::JobType::kRestore, statement.namespace_id,
                                                place, run.actor.user_id));
  KALAM_RETURN_IF_ERROR(Commit(
      context.services.group,
      {AuditWrite(MakeAudit(run, "RESTORE_DATABASE", Target(statement), "Job: " + job.job_id))}));
  // A namespace comes back while the server runs.
  const std::string_view then =
      statement.namespace_id.empty() ? ". Server restart required after completion." : "";
  return Told(fmt::format("Database restore started from '{}'. Job ID: {}{}", statement.path,
                          job.job_id, then));
}

}  // namespace kalam::statements
