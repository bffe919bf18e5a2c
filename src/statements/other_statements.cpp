// SET, KILL, SUBSCRIBE TO, and the statements of features that this release does not have.
#include <nlohmann/json.hpp>

#include "base/id_generators.h"
#include "query/live_query.h"
#include "statements/families.h"
#include "statements/system_tables.h"

namespace kalam::statements {
namespace {

Status NotAvailable(std::string_view what) {
  return Status(ErrorKind::NotAvailable, std::string(what) + " is not available in this release");
}

std::string Word(const sql::OtherStatement& statement, size_t index) {
  return index < statement.words.size() ? statement.words[index] : std::string();
}

Result<StatementResult> ExecuteCluster(const sql::OtherStatement& statement) {
  const std::string action = Word(statement, 1);
  if (action == "LIST" || action == "LS" || action == "STATUS") {
    return Status(
        ErrorKind::InvalidSql,
        "CLUSTER " + action +
            " is a CLI-only command. Use \\cluster list in kalam, or query system.cluster and "
            "system.cluster_groups directly.");
  }
  if (action == "LEAVE") return Status(ErrorKind::InvalidSql, "CLUSTER LEAVE is not supported yet");
  if (action == "PURGE") {
    const std::string last = statement.words.size() > 2 ? statement.words.back() : std::string();
    const bool has_number = !last.empty() && last.find_first_not_of("0123456789") == last.npos;
    if (!has_number) {
      return Status(ErrorKind::InvalidSql,
                    "CLUSTER PURGE requires --upto <index> or a numeric index");
    }
  }
  if (action.empty()) return Status(ErrorKind::InvalidSql, "CLUSTER requires a command");
  return Status(ErrorKind::InvalidOperation,
                "CLUSTER " + action + " requires cluster mode (Raft executor not available)");
}

ResultSchema SubscriptionSchema() {
  const DataType text = DataType::Of(TypeKind::kText);
  return {{.name = "status", .type = text},
          {.name = "ws_url", .type = text},
          {.name = "subscription", .type = DataType::Of(TypeKind::kJson)},
          {.name = "message", .type = text}};
}

/// The SELECT with the request's namespace before an unqualified table: the WebSocket where it is
/// registered has no namespace of its own.
std::string QualifiedSelect(const sql::SubscribeStatement& statement,
                            const sql::QualifiedName& table) {
  std::string text = statement.select_text;
  const auto position = static_cast<size_t>(statement.table_position);
  if (statement.table.namespace_id.empty() && statement.table_position >= 0 &&
      position <= text.size()) {
    text.insert(position, table.namespace_id + ".");
  }
  return text;
}

/// `{"id": .., "sql": .., "options": {..}}`; options only when some were given.
std::string SubscriptionJson(const sql::SubscribeStatement& statement,
                             const sql::QualifiedName& table, const std::string& select_text) {
  nlohmann::json json = {
      {"id", "sub-" + table.namespace_id + "-" + table.name + "-" + RandomHex(12)},
      {"sql", select_text},
  };
  for (const auto& [name, value] : statement.options) json["options"][name] = value;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// `{user}-{connection}-{subscription}`: three parts at least.
bool IsLiveId(std::string_view id) {
  const size_t first = id.find('-');
  if (first == id.npos || first == 0) return false;
  const size_t second = id.find('-', first + 1);
  return second != id.npos && second > first + 1 && second + 1 < id.size();
}

}  // namespace

Result<StatementResult> Execute(AdminContext&, StatementRun&, const sql::SetVariable& statement) {
  return Told("Variable '" + statement.name +
              "' is accepted for compatibility and has no effect on this server");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::KillStatement& statement) {
  if (statement.kind == sql::KillStatement::Kind::kJob) {
    KALAM_RETURN_IF_ERROR(context.jobs.Kill(statement.id));
    KALAM_RETURN_IF_ERROR(
        Commit(context.services.group, {AuditWrite(MakeAudit(run, "KILL_JOB", statement.id))}));
    return Told("Job " + statement.id + " killed: cancelled");
  }
  if (!IsLiveId(statement.id)) {
    return Status(ErrorKind::InvalidOperation,
                  "Invalid live_query_id format: '" + statement.id +
                      "'. Expected {user_id}-{connection_id}-{subscription_id}");
  }
  if (!context.services.kill_live_query || !context.services.kill_live_query(statement.id)) {
    return Status(ErrorKind::NotFound, "Live query '" + statement.id + "' not found");
  }
  KALAM_RETURN_IF_ERROR(Commit(context.services.group,
                               {AuditWrite(MakeAudit(run, "KILL_LIVE_QUERY", statement.id))}));
  return Told("Live query killed: " + statement.id);
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::SubscribeStatement& statement) {
  const sql::QualifiedName table = Resolve(run, statement.table);
  const std::string select_text = QualifiedSelect(statement, table);
  KALAM_ASSIGN_OR_RETURN(
      const auto compiled,
      query::CompileLiveQuery(select_text, context.services.catalog, run.effective, run.now_us,
                              context.services.memory.Child("statements")));
  const std::string url =
      context.services.websocket_url ? context.services.websocket_url() : std::string();
  if (context.services.websocket_url && url.empty()) {
    return Status(ErrorKind::NotAvailable, "This server was built without live queries");
  }
  auto rows = std::make_shared<RowBuffer>(SubscriptionSchema());
  rows->Append({TextCell("active"), TextCell(url),
                JsonCell(SubscriptionJson(statement, table, select_text)),
                TextCell("WebSocket subscription created. Connect to ws_url to receive updates.")});
  KALAM_RETURN_IF_ERROR(AuditRead(
      context, MakeAudit(run, "SUBSCRIBE", compiled->table()->QualifiedName(), select_text)));
  return Shown(std::move(rows));
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::StorageStatement& statement) {
  using Kind = sql::StorageStatement::Kind;
  switch (statement.kind) {
    case Kind::kCreate:
    case Kind::kAlter:
    case Kind::kDrop:
    case Kind::kCheck:
      return ExecuteStorage(context, run, statement);
    case Kind::kFlushTable:
    case Kind::kFlushAll:
    case Kind::kCompactTable:
    case Kind::kCompactAll:
    case Kind::kRebuildTable:
      return ExecuteTiering(context, run, statement);
  }
  return NotAvailable("This storage statement");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::OtherStatement& statement) {
  if (statement.feature == "cluster") return ExecuteCluster(statement);
  if (statement.feature == "backup" || statement.feature == "restore" ||
      statement.feature == "export") {
    return ExecuteBackup(context, run, statement);
  }
  const std::string first = Word(statement, 0);
  const std::string second = Word(statement, 1);
  if (first == "CONSUME" || first == "ACK") return NotAvailable(first);
  return NotAvailable(second.empty() ? first : first + " " + second);
}

}  // namespace kalam::statements
