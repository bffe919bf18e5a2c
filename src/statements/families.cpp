// What the statement families share: answers, audit rows, commits, names.
#include "statements/families.h"

#include "base/log.h"
#include "replication/group.h"

namespace kalam::statements {

StatementResult Told(std::string message) {
  StatementResult result;
  result.message = std::move(message);
  return result;
}

StatementResult Shown(std::shared_ptr<const RowBuffer> rows) {
  StatementResult result;
  result.row_count = static_cast<int64_t>(rows->row_count());
  result.rows = OpenStream(std::move(rows));
  return result;
}

AuditEntry MakeAudit(const StatementRun& run, std::string action, std::string target,
                     std::optional<std::string> details) {
  AuditEntry entry;
  entry.timestamp_us = run.now_us;
  entry.actor_user_id = run.actor.user_id;
  entry.action = std::move(action);
  entry.target = std::move(target);
  entry.details = std::move(details);
  entry.ip_address = run.client_address;
  if (run.effective.user_id != run.actor.user_id) entry.subject_user_id = run.effective.user_id;
  return entry;
}

Status AuditRead(AdminContext& context, AuditEntry entry) {
  const std::string action = entry.action;
  Status status = Commit(context.services.group, {AuditWrite(std::move(entry))});
  if (!status.Is(ErrorKind::ReadOnly)) return status;
  Log(LogLevel::kWarn, "audit", "no room for an audit row", {{"action", action}});
  return Status::Ok();
}

Status Commit(replication::ReplicationGroup& group, catalog::RecordWrites records,
              std::vector<TableId> dropped_tables) {
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(records);
  command->dropped_tables = std::move(dropped_tables);
  return replication::ProposeAndWait(group, std::move(command)).status;
}

void Append(catalog::RecordWrites* records, catalog::RecordWrites more) {
  for (catalog::RecordWrite& write : more) records->push_back(std::move(write));
}

sql::QualifiedName Resolve(const StatementRun& run, const sql::QualifiedName& name) {
  return {catalog::FoldName(name.namespace_id.empty() ? run.namespace_id : name.namespace_id),
          catalog::FoldName(name.name)};
}

Status CheckNotSystem(std::string_view verb, const sql::QualifiedName& name) {
  const std::string& ns = name.namespace_id;
  if (ns != "system" && ns != "information_schema" && ns != "pg_catalog" && ns != "datafusion") {
    return Status::Ok();
  }
  return Status(ErrorKind::InvalidOperation, "Cannot " + std::string(verb) + " system table '" +
                                                 ns + "." + name.name +
                                                 "'. System tables are managed internally.");
}

Status NoSuchTable(const sql::QualifiedName& name) {
  return Status(ErrorKind::NotFound,
                "Table '" + name.name + "' not found in namespace '" + name.namespace_id + "'");
}

bool MaySee(const catalog::TableDefinition& table, const catalog::Caller& caller) {
  return catalog::IsAdmin(caller.role) || query::CheckReadAccess(table, caller).ok();
}

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'') quoted.push_back('\'');
    quoted.push_back(c);
  }
  quoted.push_back('\'');
  return quoted;
}

std::string RoleTitle(catalog::Role role) {
  std::string title(catalog::RoleName(role));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  return title;
}

}  // namespace kalam::statements
