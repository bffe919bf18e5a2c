// Which role a statement needs, told from its first words alone.
#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "statements/admin_statements.h"

namespace kalam::statements {
namespace {

using catalog::Role;
using sql::StatementKind;

/// The first words of a statement in upper case; comments and punctuation are skipped.
std::vector<std::string> FirstWords(std::string_view text, size_t count_max) {
  std::vector<std::string> words;
  size_t i = 0;
  while (i < text.size() && words.size() < count_max) {
    if (text.substr(i, 2) == "--") {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.substr(i, 2) == "/*") {
      const size_t end = text.find("*/", i + 2);
      i = end == text.npos ? text.size() : end + 2;
    } else if (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_') {
      std::string word;
      while (i < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_')) {
        word.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(text[i++]))));
      }
      words.push_back(std::move(word));
    } else {
      ++i;
    }
  }
  words.resize(count_max);
  return words;
}

Status NeedsAdmin(const catalog::Caller& actor, std::string_view action) {
  if (catalog::IsAdmin(actor.role)) return Status::Ok();
  return Status(ErrorKind::Unauthorized, "Insufficient privileges to " + std::string(action) +
                                             ". DBA or System role required.");
}

Status NeedsAdminFor(const catalog::Caller& actor, std::string_view commands) {
  if (catalog::IsAdmin(actor.role)) return Status::Ok();
  return Status(ErrorKind::Unauthorized,
                "Admin privileges (DBA or System role) required for " + std::string(commands));
}

Status NeedsService(const catalog::Caller& actor, ErrorKind kind, std::string message) {
  if (actor.role >= Role::kService) return Status::Ok();
  return Status(kind, std::move(message));
}

Status CheckShow(std::string_view text, const catalog::Caller& actor) {
  const std::vector<std::string> words = FirstWords(text, 2);
  if (words[0] == "SHOW") {
    if (words[1] == "COLUMNS") return NeedsAdminFor(actor, "SHOW COLUMNS");
    if (words[1] == "ALL") return NeedsAdminFor(actor, "SHOW ALL");
    return Status::Ok();
  }
  if (words[1] == "TABLE") return Status::Ok();
  return NeedsAdminFor(actor, words[0]);
}

Status CheckStorage(std::string_view text, const catalog::Caller& actor) {
  const std::vector<std::string> words = FirstWords(text, 3);
  if (words[0] == "STORAGE" &&
      (words[1] == "FLUSH" || words[1] == "COMPACT" || words[1] == "REBUILD")) {
    return NeedsService(
        actor, ErrorKind::Unauthorized,
        "STORAGE " + words[1] + " " + words[2] + " requires Service, DBA, or System role");
  }
  return NeedsAdmin(actor, "manage storages");
}

Status CheckOther(std::string_view text, const catalog::Caller& actor) {
  const std::vector<std::string> words = FirstWords(text, 2);
  if (words[0] == "EXPORT" || words[0] == "SHOW") return Status::Ok();
  if (words[0] == "CONSUME") {
    return NeedsService(actor, ErrorKind::PermissionDenied,
                        "Only service, dba, or system roles can consume from topics");
  }
  if (words[0] == "ACK") {
    return NeedsService(actor, ErrorKind::PermissionDenied,
                        "Only service, dba, or system roles can acknowledge topic offsets");
  }
  if (words[0] == "CLUSTER") return NeedsAdmin(actor, "run cluster commands");
  if (words[0] == "BACKUP") return NeedsAdmin(actor, "back up the database");
  if (words[0] == "RESTORE") return NeedsAdmin(actor, "restore the database");
  return NeedsAdmin(actor, "manage topics");
}

}  // namespace

Status CheckStatementRole(StatementKind kind, std::string_view text, const catalog::Caller& actor) {
  if (actor.role == Role::kAnonymous && kind != StatementKind::kSelect) {
    return Status(
        ErrorKind::PermissionDenied,
        "Anonymous users can only SELECT from public tables. Please authenticate to perform "
        "write operations.");
  }
  switch (kind) {
    case StatementKind::kCreateNamespace:
      return NeedsAdmin(actor, "create namespaces");
    case StatementKind::kAlterNamespace:
      return NeedsAdmin(actor, "alter namespaces");
    case StatementKind::kDropNamespace:
      return NeedsAdmin(actor, "drop namespaces");
    case StatementKind::kDropTable:
      if (catalog::IsAdmin(actor.role)) return Status::Ok();
      return Status(ErrorKind::Unauthorized, "Insufficient privileges to drop this table");
    case StatementKind::kCreateView:
    case StatementKind::kDropView:
      return NeedsAdmin(actor, "manage views");
    case StatementKind::kCreateUser:
      return NeedsAdmin(actor, "create users");
    case StatementKind::kAlterUser:
      if (catalog::IsAdmin(actor.role)) return Status::Ok();
      return Status(ErrorKind::Unauthorized, "ALTER USER requires DBA or System role");
    case StatementKind::kDropUser:
      return NeedsAdmin(actor, "drop users");
    case StatementKind::kShow:
      return CheckShow(text, actor);
    case StatementKind::kSet:
      return NeedsAdminFor(actor, "SET commands");
    case StatementKind::kExplain:
      return NeedsAdminFor(actor, "EXPLAIN commands");
    case StatementKind::kKill: {
      const bool job = FirstWords(text, 2)[1] == "JOB";
      return NeedsAdmin(actor, job ? "kill jobs" : "kill live queries");
    }
    case StatementKind::kStorage:
      return CheckStorage(text, actor);
    case StatementKind::kOther:
      return CheckOther(text, actor);
    case StatementKind::kSelect:
    case StatementKind::kInsert:
    case StatementKind::kUpdate:
    case StatementKind::kDelete:
    case StatementKind::kUseNamespace:
    case StatementKind::kCreateTable:
    case StatementKind::kAlterTable:
    case StatementKind::kTransaction:
    case StatementKind::kSubscribe:
    case StatementKind::kExecuteAs:
      return Status::Ok();
  }
  return Status::Ok();
}

}  // namespace kalam::statements
