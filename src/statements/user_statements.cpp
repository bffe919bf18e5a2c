// CREATE, ALTER and DROP USER.
#include <nlohmann/json.hpp>

#include "statements/families.h"
#include "types/datetime.h"

namespace kalam::statements {
namespace {

using catalog::Role;
using catalog::UserRecord;

constexpr int64_t kDayUs = int64_t{86'400} * 1'000'000;

std::string Subject(std::string_view id) { return "User '" + std::string(id) + "'"; }

Result<Role> RoleOf(const std::string& text) {
  const auto role = catalog::ParseRole(text);
  // `anonymous` is what a caller without credentials has, never what a user is given.
  if (role && *role != Role::kAnonymous) return *role;
  return Status(ErrorKind::InvalidSql, "Invalid role '" + text +
                                           "'. Hint: Valid roles: dba (admin), service (developer, "
                                           "analyst), user (viewer, readonly), system");
}

/// Only the system role may make, change or remove users of the system role: a dba could otherwise
/// become one.
Status CheckMayGrant(const catalog::Caller& actor, Role role) {
  if (role != Role::kSystem || actor.role == Role::kSystem) return Status::Ok();
  return Status(ErrorKind::Unauthorized, "DBA cannot grant System role");
}
Status CheckMayTouch(const catalog::Caller& actor, const UserRecord& user) {
  if (user.role != Role::kSystem || actor.role == Role::kSystem) return Status::Ok();
  return Status(ErrorKind::Unauthorized, "DBA cannot change a user with the System role");
}

/// The stored form of `OAUTH '{"provider": .., "subject": ..}'`.
Result<std::string> OAuthData(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return Status(ErrorKind::InvalidSql,
                  "OAuth user requires JSON payload with provider and subject");
  }
  for (const char* field : {"provider", "subject"}) {
    if (!json.contains(field) || !json[field].is_string() ||
        json[field].get<std::string>().empty()) {
      return Status(ErrorKind::InvalidSql,
                    "OAuth user requires '" + std::string(field) + "' field");
    }
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Why the id of a record cannot be a new user's, and what to do when the record is of a user who
/// was dropped.
std::string TakenBy(const AdminContext& context, const UserRecord& user) {
  std::string text = Subject(user.user_id) + " already exists";
  if (!user.deleted_at_us) return text;
  const int64_t free_at_us = *user.deleted_at_us + context.limits.user_grace_seconds * 1'000'000;
  return text + ": dropped, but the rows are kept until " +
         FormatDate(static_cast<int32_t>(free_at_us / kDayUs)) +
         " (user_management.deletion_grace_period_days); use another id, or create it again after "
         "the user_cleanup job";
}

/// A user that exists and is not dropped.
Result<UserRecord> LiveUser(AdminContext& context, const std::string& id) {
  KALAM_ASSIGN_OR_RETURN(auto user, context.services.catalog.FindUser(id));
  if (!user || user->deleted_at_us) return Status(ErrorKind::NotFound, Subject(id) + " not found");
  return *std::move(user);
}

Status CommitUser(AdminContext& context, const UserRecord& user, AuditEntry audit) {
  catalog::RecordWrites records = context.services.catalog.PutUser(user);
  records.push_back(AuditWrite(std::move(audit)));
  return Commit(context.services.group, std::move(records));
}

Status FillCredentials(AdminContext& context, const sql::CreateUser& statement, UserRecord* user) {
  switch (statement.kind) {
    case sql::CreateUser::Kind::kPassword: {
      user->auth_type = catalog::AuthType::kPassword;
      KALAM_ASSIGN_OR_RETURN(user->password_hash,
                             context.services.auth.HashPasswordNow(statement.password));
      return Status::Ok();
    }
    case sql::CreateUser::Kind::kOAuth: {
      user->auth_type = catalog::AuthType::kOAuth;
      KALAM_ASSIGN_OR_RETURN(user->auth_data_json, OAuthData(statement.oauth_json));
      return Status::Ok();
    }
    case sql::CreateUser::Kind::kInternal:
      user->auth_type = catalog::AuthType::kInternal;
      return Status::Ok();
  }
  return Status::Ok();
}

/// Applies one SET of ALTER USER; what it did as the audit row shows it. Hashing happens before the
/// lock is taken.
Result<std::string> Modify(const StatementRun& run, const sql::AlterUser& statement,
                           const std::string& new_hash, UserRecord* user) {
  switch (statement.kind) {
    case sql::AlterUser::Kind::kPassword:
      if (user->auth_type == catalog::AuthType::kOAuth) {
        return Status(ErrorKind::InvalidOperation, "OAuth users cannot have a password");
      }
      user->password_hash = new_hash;
      user->tokens_valid_from_us = run.now_us;
      user->failed_login_attempts = 0;
      user->locked_until_us.reset();
      return std::string("SetPassword([REDACTED])");
    case sql::AlterUser::Kind::kRole: {
      KALAM_ASSIGN_OR_RETURN(const Role role, RoleOf(statement.value));
      KALAM_RETURN_IF_ERROR(CheckMayGrant(run.actor, role));
      if (user->role != role) user->tokens_valid_from_us = run.now_us;
      user->role = role;
      return "SetRole(" + RoleTitle(role) + ")";
    }
    case sql::AlterUser::Kind::kEmail:
      user->email = statement.value;
      return "SetEmail(" + statement.value + ")";
  }
  return Status(ErrorKind::InvalidSql, "Unsupported ALTER USER");
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateUser& statement) {
  const std::string& id = statement.user_id;
  if (std::string problem = catalog::UserIdProblem(id, false); !problem.empty()) {
    return Status(ErrorKind::InvalidOperation, std::move(problem));
  }
  if (statement.role.empty()) {
    return Status(
        ErrorKind::InvalidSql,
        "Expected ROLE. Hint: Syntax: CREATE USER id WITH PASSWORD 'pw' ROLE role [EMAIL 'e']");
  }
  KALAM_ASSIGN_OR_RETURN(const Role role, RoleOf(statement.role));
  KALAM_RETURN_IF_ERROR(CheckMayGrant(run.actor, role));
  KALAM_ASSIGN_OR_RETURN(const auto present, context.services.catalog.FindUser(id));
  if (present) {
    if (statement.if_not_exists) return Told(TakenBy(context, *present) + " (skipped)");
    return Status(ErrorKind::AlreadyExists, TakenBy(context, *present));
  }
  UserRecord user;
  user.user_id = id;
  user.role = role;
  user.email = statement.email;
  user.storage_id = "local";
  user.created_at_us = user.updated_at_us = run.now_us;
  // Hashing takes half a second: it must not hold the lock. The check is therefore made again under
  // it.
  KALAM_RETURN_IF_ERROR(FillCredentials(context, statement, &user));

  std::lock_guard lock(context.ddl_mutex);
  const auto users = context.services.auth.LockUsers();
  KALAM_ASSIGN_OR_RETURN(const auto existing, context.services.catalog.FindUser(id));
  if (existing) return Status(ErrorKind::AlreadyExists, TakenBy(context, *existing));
  KALAM_RETURN_IF_ERROR(
      CommitUser(context, user, MakeAudit(run, "CREATE_USER", id, "Role: " + RoleTitle(role))));
  context.services.auth.UserChanged(id);
  return Told(Subject(id) + " created");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::AlterUser& statement) {
  const std::string& id = statement.user_id;
  {
    KALAM_ASSIGN_OR_RETURN(const UserRecord user, LiveUser(context, id));
    KALAM_RETURN_IF_ERROR(CheckMayTouch(run.actor, user));
  }
  std::string new_hash;
  if (statement.kind == sql::AlterUser::Kind::kPassword) {
    KALAM_ASSIGN_OR_RETURN(new_hash, context.services.auth.HashPasswordNow(statement.value));
  }
  std::lock_guard lock(context.ddl_mutex);
  const auto users = context.services.auth.LockUsers();
  KALAM_ASSIGN_OR_RETURN(UserRecord user, LiveUser(context, id));
  KALAM_RETURN_IF_ERROR(CheckMayTouch(run.actor, user));
  KALAM_ASSIGN_OR_RETURN(const std::string modification, Modify(run, statement, new_hash, &user));
  user.updated_at_us = run.now_us;
  KALAM_RETURN_IF_ERROR(
      CommitUser(context, user, MakeAudit(run, "ALTER_USER", id, "Modification: " + modification)));
  context.services.auth.UserChanged(id);
  return Told(Subject(id) + " updated");
}

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::DropUser& statement) {
  const std::string& id = statement.user_id;
  std::lock_guard lock(context.ddl_mutex);
  const auto users = context.services.auth.LockUsers();
  Result<UserRecord> found = LiveUser(context, id);
  if (!found.ok()) {
    if (found.status().Is(ErrorKind::NotFound) && statement.if_exists) {
      return Told(Subject(id) + " does not exist (skipped)");
    }
    return std::move(found).status();
  }
  UserRecord user = *std::move(found);
  KALAM_RETURN_IF_ERROR(CheckMayTouch(run.actor, user));
  if (id == "root") return Status(ErrorKind::InvalidOperation, "User 'root' cannot be dropped");
  user.deleted_at_us = run.now_us;
  user.updated_at_us = run.now_us;
  user.tokens_valid_from_us = run.now_us;
  KALAM_RETURN_IF_ERROR(CommitUser(context, user, MakeAudit(run, "DROP_USER", id)));
  context.services.auth.UserChanged(id);
  return Told(Subject(id) + " dropped (soft delete)");
}

}  // namespace kalam::statements
