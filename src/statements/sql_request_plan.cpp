// See sql_request_plan.h.
#include "statements/sql_request_plan.h"

#include <unordered_set>

#include "statements/admin_statements.h"
#include "statements/families.h"

namespace kalam::statements {
namespace {

using sql::StatementKind;

/// A statement of a batch, parsed, and its result without the rows.
constexpr int64_t kBatchStatementBytes = 1 << 10;

bool IsQueryOrDml(StatementKind kind) {
  return kind == StatementKind::kSelect || kind == StatementKind::kInsert ||
         kind == StatementKind::kUpdate || kind == StatementKind::kDelete;
}

Status Shift(Status status, int offset) {
  if (status.ok() || status.position() < 0) return status;
  const int position = status.position() + offset;
  return std::move(status).WithPosition(position);
}

class Planner {
 public:
  Planner(const catalog::Caller& actor, const catalog::Catalog& catalog, MemoryAccount& memory)
      : actor_(actor), catalog_(catalog), memory_(memory) {}

  Status Plan(const sql::StatementText& piece, bool is_single, RequestPlan* plan) {
    RequestStatement statement;
    statement.source = piece.text;
    statement.text = piece.text;
    statement.offset = piece.offset;
    statement.kind = sql::ClassifyStatement(piece.text);
    if (statement.kind == StatementKind::kExecuteAs) {
      KALAM_RETURN_IF_ERROR(OpenEnvelope(&statement, plan));
    }
    // Words that begin no statement of ours are a question of syntax, not of roles.
    if (statement.kind == StatementKind::kOther) KALAM_RETURN_IF_ERROR(Parse(&statement));
    KALAM_RETURN_IF_ERROR(CheckStatementRole(statement.kind, statement.text, actor_));
    if (!IsQueryOrDml(statement.kind)) {
      if (!statement.parsed) KALAM_RETURN_IF_ERROR(Parse(&statement));
    } else if (!is_single) {
      KALAM_RETURN_IF_ERROR(CheckSyntax(statement));
    }
    plan->statements.push_back(std::move(statement));
    return {};
  }

 private:
  Status OpenEnvelope(RequestStatement* statement, RequestPlan* plan) {
    Result<sql::ExecuteAs> envelope = sql::ParseExecuteAsEnvelope(statement->text);
    if (!envelope.ok()) return Shift(std::move(envelope).status(), statement->offset);
    // The id becomes part of keys and of names on disk, whether or not such a user exists.
    const std::string problem = catalog::UserIdProblem(envelope->user_id, true);
    if (!problem.empty()) return Status(ErrorKind::InvalidInput, "EXECUTE AS USER: " + problem);
    statement->execute_as = envelope->user_id;
    statement->text = statement->text.substr(static_cast<size_t>(envelope->inner_offset),
                                             envelope->inner_text.size());
    statement->offset += envelope->inner_offset;
    statement->kind = sql::ClassifyStatement(statement->text);
    if (statement->kind == StatementKind::kTransaction) {
      return Status(ErrorKind::InvalidInput,
                    "EXECUTE AS USER cannot wrap BEGIN, COMMIT or ROLLBACK");
    }
    KALAM_RETURN_IF_ERROR(CheckStatementRole(statement->kind, statement->text, actor_));
    Status allowed = CheckExecuteAs(catalog_, actor_, *statement->execute_as);
    if (!allowed.ok()) plan->denied_user_id = *statement->execute_as;
    return allowed;
  }

  Result<sql::Statement> ParseText(std::string_view text) {
    return sql::ParseWithin(memory_, text);
  }

  Status Parse(RequestStatement* statement) {
    Result<sql::Statement> parsed = ParseText(statement->text);
    if (!parsed.ok()) return Shift(std::move(parsed).status(), statement->offset);
    statement->parsed = std::move(*parsed);
    return {};
  }

  // Statements of one shape, as a batch of inserts has them, are parsed once.
  Status CheckSyntax(const RequestStatement& statement) {
    Result<sql::LiftedStatement> lifted = sql::LiftLiterals(statement.text);
    if (!lifted.ok()) return Shift(std::move(lifted).status(), statement.offset);
    if (!shapes_.insert(lifted->key).second) return {};
    if (ParseText(lifted->key).ok()) return {};
    // Once more for the positions of the caller's text.
    Result<sql::Statement> parsed = ParseText(statement.text);
    return parsed.ok() ? Status() : Shift(std::move(parsed).status(), statement.offset);
  }

  const catalog::Caller& actor_;
  const catalog::Catalog& catalog_;
  MemoryAccount& memory_;
  std::unordered_set<std::string> shapes_;
};

Status AskForBatch(size_t statement_count, MemoryAccount& memory, MemoryCharge* charge) {
  const auto bytes = static_cast<int64_t>(statement_count) * kBatchStatementBytes;
  if (memory.limit_bytes() > 0 && bytes > memory.limit_bytes()) {
    return Status(ErrorKind::MemoryExceeded,
                  "the batch has " + std::to_string(statement_count) +
                      " statements, more than there is memory for; send it in parts");
  }
  *charge = MemoryCharge(memory, 0);
  if (charge->TryResize(bytes)) return {};
  return Status(ErrorKind::MemoryPressure,
                "The server is short of memory and cannot run so many statements now; try again");
}

const sql::TableName* TargetOf(const sql::Statement& statement) {
  if (auto* insert = std::get_if<std::unique_ptr<sql::InsertStatement>>(&statement.body))
    return &(*insert)->table;
  if (auto* update = std::get_if<std::unique_ptr<sql::UpdateStatement>>(&statement.body))
    return &(*update)->table;
  if (auto* deletion = std::get_if<std::unique_ptr<sql::DeleteStatement>>(&statement.body)) {
    return &(*deletion)->table;
  }
  return nullptr;
}

}  // namespace

bool RequestStatement::is_query_or_dml() const { return IsQueryOrDml(kind); }

RequestPlan PlanRequest(std::string_view sql, const catalog::Caller& actor,
                        const catalog::Catalog& catalog, MemoryAccount& memory) {
  RequestPlan plan;
  Result<std::vector<sql::StatementText>> pieces = sql::SplitStatements(sql);
  if (!pieces.ok()) {
    plan.status = std::move(pieces).status();
    return plan;
  }
  if (pieces->size() > 1) {
    plan.status = AskForBatch(pieces->size(), memory, &plan.memory);
    if (!plan.status.ok()) return plan;
  }
  Planner planner(actor, catalog, memory);
  plan.statements.reserve(pieces->size());
  for (const sql::StatementText& piece : *pieces) {
    plan.status = planner.Plan(piece, pieces->size() == 1, &plan);
    if (plan.status.ok()) continue;
    plan.failed_source = piece.text;
    break;
  }
  return plan;
}

Status CheckExecuteAs(const catalog::Catalog& catalog, const catalog::Caller& actor,
                      const std::string& target_user_id) {
  using catalog::Role;
  if (target_user_id == actor.user_id) return {};
  KALAM_ASSIGN_OR_RETURN(std::optional<catalog::UserRecord> user, catalog.FindUser(target_user_id));
  const Role target_role = user && !user->deleted_at_us ? user->role : Role::kUser;
  const bool allowed =
      actor.role == Role::kSystem || (actor.role >= Role::kService && target_role <= actor.role);
  if (allowed) return {};
  return Status(ErrorKind::Unauthorized,
                "EXECUTE AS USER is not authorized: actor '" + actor.user_id + "' with role " +
                    RoleTitle(actor.role) + " cannot target '" + target_user_id + "' with role " +
                    RoleTitle(target_role));
}

Result<catalog::TablePtr> FindDmlTarget(const catalog::Catalog& catalog,
                                        std::string_view namespace_id,
                                        const RequestStatement& statement, MemoryAccount& memory) {
  Result<sql::LiftedStatement> lifted = sql::LiftLiterals(statement.text);
  Result<sql::Statement> parsed =
      sql::ParseWithin(memory, lifted.ok() ? std::string_view(lifted->key) : statement.text);
  if (!parsed.ok()) parsed = sql::ParseWithin(memory, statement.text);
  if (!parsed.ok()) return Shift(std::move(parsed).status(), statement.offset);
  const sql::TableName* target = TargetOf(*parsed);
  if (target == nullptr || target->parts.empty()) return catalog::TablePtr();
  const std::string ns = target->parts.size() > 1 ? target->parts[target->parts.size() - 2]
                                                  : std::string(namespace_id);
  return catalog.FindTable(ns, target->parts.back());
}

Status CheckNotSharedDml(const catalog::Catalog& catalog, std::string_view namespace_id,
                         const RequestStatement& statement, MemoryAccount& memory) {
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         FindDmlTarget(catalog, namespace_id, statement, memory));
  if (table == nullptr || table->type != catalog::TableType::kShared) return {};
  return Status(ErrorKind::InvalidOperation,
                "EXECUTE AS USER is not allowed on SHARED tables (table '" + table->namespace_id +
                    ":" + table->name +
                    "'). AS USER impersonation is only supported for USER and STREAM tables.");
}

}  // namespace kalam::statements
