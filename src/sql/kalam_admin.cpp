// Namespaces, users, storages, SHOW, SET, USE, KILL and transactions.
#include "sql/kalam_statements.h"
#include "types/convert.h"

namespace kalam::sql {
namespace {

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return upper;
}

std::string Lower(std::string_view text) {
  std::string lower;
  AppendLower(text, &lower);
  return lower;
}

// The value of an option of ALTER NAMESPACE as JSON text.
Result<std::string> JsonOption(TokenCursor& cursor) {
  const bool is_text = cursor.PeekText();
  const bool is_word = cursor.token().kind == TokenKind::kWord;
  const Status invalid = cursor.Error("Invalid value format: " + std::string(cursor.text()));
  Result<std::string> value = cursor.Scalar();
  if (!value.ok()) return invalid;
  if (is_text) {
    std::string json;
    AppendJsonString(*value, &json);
    return json;
  }
  if (!is_word) return value;
  std::string lower = Lower(*value);
  if (lower != "true" && lower != "false") return invalid;
  return lower;
}

Status ParseNamespaceOptions(TokenCursor& cursor, AlterNamespace* alter) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("set"));
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("options"));
  if (!cursor.AcceptPunctuation("("))
    return cursor.Error("Options must be enclosed in parentheses");
  while (!cursor.PeekPunctuation(")")) {
    const Status invalid = cursor.Error("Invalid option format: " + std::string(cursor.text()));
    Result<std::string> key = cursor.PeekText() ? cursor.Text() : cursor.RawName();
    if (!key.ok() || !cursor.AcceptOperator("=")) return invalid;
    KALAM_ASSIGN_OR_RETURN(std::string value, JsonOption(cursor));
    alter->options.emplace_back(std::move(*key), std::move(value));
    if (!cursor.AcceptPunctuation(",")) break;
  }
  if (!cursor.AcceptPunctuation(")"))
    return cursor.Error("Options must be enclosed in parentheses");
  return {};
}

// A namespace's name: checked by whoever executes, so anything that looks like one name is taken.
Result<std::string> NamespaceName(TokenCursor& cursor) {
  KALAM_ASSIGN_OR_RETURN(std::string name, cursor.Id());
  return Lower(name);
}

Status ParseCreateUser(TokenCursor& cursor, CreateUser* user) {
  user->if_not_exists = cursor.AcceptWords({"if", "not", "exists"});
  KALAM_ASSIGN_OR_RETURN(user->user_id, cursor.Id());
  if (!cursor.AcceptWord("with")) {
    return cursor.Error(
        "Expected WITH after username. Hint: Syntax: CREATE USER <id> WITH PASSWORD '<password>' "
        "ROLE <role>");
  }
  bool has_kind = false;
  while (!cursor.AtEnd()) {
    if (!has_kind && cursor.AcceptWord("password")) {
      has_kind = true;
      user->kind = CreateUser::Kind::kPassword;
      KALAM_ASSIGN_OR_RETURN(user->password, cursor.Text());
    } else if (!has_kind && cursor.AcceptWord("oauth")) {
      has_kind = true;
      user->kind = CreateUser::Kind::kOAuth;
      if (cursor.PeekText()) {
        KALAM_ASSIGN_OR_RETURN(user->oauth_json, cursor.Text());
      }
    } else if (!has_kind && cursor.AcceptWord("internal")) {
      has_kind = true;
      user->kind = CreateUser::Kind::kInternal;
    } else if (user->role.empty() && cursor.AcceptWord("role")) {
      KALAM_ASSIGN_OR_RETURN(user->role, cursor.Id());
    } else if (user->email.empty() && cursor.AcceptWord("email")) {
      KALAM_ASSIGN_OR_RETURN(user->email, cursor.Text());
    } else {
      return cursor.SyntaxError();
    }
  }
  if (!has_kind) return cursor.Error("Expected PASSWORD, OAUTH or INTERNAL after WITH");
  if (user->role.empty())
    return cursor.Error("Expected ROLE. Hint: ROLE user, service, dba or system");
  return {};
}

Status ParseAlterUser(TokenCursor& cursor, AlterUser* user) {
  KALAM_ASSIGN_OR_RETURN(user->user_id, cursor.Id());
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("set"));
  if (cursor.AcceptWord("password")) {
    user->kind = AlterUser::Kind::kPassword;
    KALAM_ASSIGN_OR_RETURN(user->value, cursor.Text());
  } else if (cursor.AcceptWord("role")) {
    user->kind = AlterUser::Kind::kRole;
    KALAM_ASSIGN_OR_RETURN(user->value, cursor.Id());
  } else if (cursor.AcceptWord("email")) {
    user->kind = AlterUser::Kind::kEmail;
    KALAM_ASSIGN_OR_RETURN(user->value, cursor.Text());
  } else {
    return cursor.SyntaxError();
  }
  return cursor.ExpectEnd();
}

Status ParseStorageClauses(TokenCursor& cursor, StorageStatement* storage) {
  const bool is_alter = storage->kind == StorageStatement::Kind::kAlter;
  if (is_alter && cursor.AtEnd()) return cursor.SyntaxError();
  while (!cursor.AtEnd()) {
    if (is_alter) cursor.AcceptWord("set");
    bool is_known = false;
    for (std::string_view clause :
         {"type", "name", "description", "path", "base_directory", "bucket", "region",
          "shared_tables_template", "user_tables_template", "credentials", "config"}) {
      if (!cursor.AcceptWord(clause)) continue;
      cursor.AcceptOperator("=");
      KALAM_ASSIGN_OR_RETURN(std::string value, cursor.Scalar());
      storage->clauses.emplace_back(Upper(clause), std::move(value));
      is_known = true;
      break;
    }
    if (!is_known) return cursor.SyntaxError();
  }
  return {};
}

// STORAGE FLUSH|COMPACT { TABLE ns.t | ALL [IN [NAMESPACE] ns] }
Status ParseStorageWork(TokenCursor& cursor, StorageStatement* storage, bool is_flush) {
  if (cursor.AcceptWord("table")) {
    storage->kind =
        is_flush ? StorageStatement::Kind::kFlushTable : StorageStatement::Kind::kCompactTable;
    KALAM_ASSIGN_OR_RETURN(storage->table, cursor.Qualified());
    if (storage->table.namespace_id.empty()) {
      return cursor.Error(
          std::string("Table name must be qualified (namespace.table) for STORAGE ") +
          (is_flush ? "FLUSH" : "COMPACT") + " TABLE");
    }
    return {};
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("all"));
  storage->kind =
      is_flush ? StorageStatement::Kind::kFlushAll : StorageStatement::Kind::kCompactAll;
  if (!cursor.AcceptWord("in")) return {};
  cursor.AcceptWord("namespace");
  KALAM_ASSIGN_OR_RETURN(storage->namespace_id, cursor.Name());
  return {};
}

// STORAGE REBUILD TABLE ns.t
Status ParseStorageRebuild(TokenCursor& cursor, StorageStatement* storage) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("table"));
  storage->kind = StorageStatement::Kind::kRebuildTable;
  KALAM_ASSIGN_OR_RETURN(storage->table, cursor.Qualified());
  if (!storage->table.namespace_id.empty()) return {};
  return cursor.Error("Table name must be qualified (namespace.table) for STORAGE REBUILD TABLE");
}

Status ParseStorageBody(TokenCursor& cursor, StorageStatement* storage) {
  if (cursor.AcceptWord("storage")) {
    if (cursor.AcceptWord("rebuild")) return ParseStorageRebuild(cursor, storage);
    if (cursor.AcceptWord("flush")) return ParseStorageWork(cursor, storage, true);
    if (cursor.AcceptWord("compact")) return ParseStorageWork(cursor, storage, false);
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("check"));
    storage->kind = StorageStatement::Kind::kCheck;
    KALAM_ASSIGN_OR_RETURN(storage->storage_id, cursor.Id());
    storage->extended = cursor.AcceptWord("extended");
    return {};
  }
  storage->kind = cursor.PeekWord("create")  ? StorageStatement::Kind::kCreate
                  : cursor.PeekWord("alter") ? StorageStatement::Kind::kAlter
                                             : StorageStatement::Kind::kDrop;
  cursor.Skip();
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("storage"));
  if (storage->kind == StorageStatement::Kind::kDrop)
    storage->if_exists = cursor.AcceptWords({"if", "exists"});
  KALAM_ASSIGN_OR_RETURN(storage->storage_id, cursor.Id());
  if (storage->kind == StorageStatement::Kind::kDrop) return {};
  return ParseStorageClauses(cursor, storage);
}

Status ParseDescribe(TokenCursor& cursor, ShowStatement* show) {
  cursor.Skip();
  const bool is_table = cursor.PeekWord("table") && !(cursor.token(1).kind == TokenKind::kEnd);
  if (is_table) cursor.Skip();
  show->kind = is_table ? ShowStatement::Kind::kDescribeTable : ShowStatement::Kind::kDescribe;
  KALAM_ASSIGN_OR_RETURN(show->table, cursor.Qualified());
  if (is_table && cursor.AcceptWord("history")) show->kind = ShowStatement::Kind::kHistory;
  return cursor.ExpectEnd();
}

Status ParseShowBody(TokenCursor& cursor, ShowStatement* show) {
  using Kind = ShowStatement::Kind;
  if (!cursor.AcceptWord("show")) return ParseDescribe(cursor, show);
  const std::string what = Upper(cursor.text());
  if (cursor.AcceptWord("namespaces")) {
    show->kind = Kind::kNamespaces;
  } else if (cursor.AcceptWord("tables")) {
    show->kind = Kind::kTables;
    if (cursor.AcceptWord("in")) {
      cursor.AcceptWord("namespace");
      KALAM_ASSIGN_OR_RETURN(show->namespace_id, cursor.Name());
    }
  } else if (cursor.AcceptWord("storages")) {
    show->kind = Kind::kStorages;
  } else if (cursor.AcceptWords({"stats", "for", "table"})) {
    show->kind = Kind::kStats;
    KALAM_ASSIGN_OR_RETURN(show->table, cursor.Qualified());
  } else if (cursor.AcceptWord("manifest")) {
    show->kind = Kind::kManifest;
  } else if (cursor.AcceptWord("export")) {
    show->kind = Kind::kExport;
  } else if (cursor.AcceptWord("columns")) {
    show->kind = Kind::kColumns;
    if (!cursor.AcceptWord("from")) KALAM_RETURN_IF_ERROR(cursor.ExpectWord("in"));
    KALAM_ASSIGN_OR_RETURN(show->table, cursor.Qualified());
  } else if (cursor.AcceptWord("all")) {
    show->kind = Kind::kAll;
  } else {
    return cursor.Error("Unsupported statement type: SHOW " + what);
  }
  return cursor.ExpectEnd();
}

}  // namespace

Result<Statement> ParseNamespaceStatement(TokenCursor& cursor, StatementKind kind) {
  if (kind == StatementKind::kUseNamespace) {
    UseNamespace use;
    cursor.Skip();  // USE or SET
    if (!(cursor.PeekWord("namespace") && cursor.token(1).kind == TokenKind::kEnd))
      cursor.AcceptWord("namespace");
    KALAM_ASSIGN_OR_RETURN(use.name, NamespaceName(cursor));
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return MakeStatement(kind, std::move(use));
  }
  cursor.Skip();
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("namespace"));
  if (kind == StatementKind::kCreateNamespace) {
    CreateNamespace create;
    create.if_not_exists = cursor.AcceptWords({"if", "not", "exists"});
    KALAM_ASSIGN_OR_RETURN(create.name, NamespaceName(cursor));
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return MakeStatement(kind, std::move(create));
  }
  if (kind == StatementKind::kAlterNamespace) {
    AlterNamespace alter;
    KALAM_ASSIGN_OR_RETURN(alter.name, NamespaceName(cursor));
    KALAM_RETURN_IF_ERROR(ParseNamespaceOptions(cursor, &alter));
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return MakeStatement(kind, std::move(alter));
  }
  DropNamespace drop;
  drop.if_exists = cursor.AcceptWords({"if", "exists"});
  KALAM_ASSIGN_OR_RETURN(drop.name, NamespaceName(cursor));
  drop.cascade = cursor.AcceptWord("cascade");
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(kind, std::move(drop));
}

Result<Statement> ParseUserStatement(TokenCursor& cursor, StatementKind kind) {
  cursor.Skip();
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("user"));
  if (kind == StatementKind::kCreateUser) {
    CreateUser create;
    KALAM_RETURN_IF_ERROR(ParseCreateUser(cursor, &create));
    return MakeStatement(kind, std::move(create));
  }
  if (kind == StatementKind::kAlterUser) {
    AlterUser alter;
    KALAM_RETURN_IF_ERROR(ParseAlterUser(cursor, &alter));
    return MakeStatement(kind, std::move(alter));
  }
  DropUser drop;
  drop.if_exists = cursor.AcceptWords({"if", "exists"});
  KALAM_ASSIGN_OR_RETURN(drop.user_id, cursor.Id());
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(kind, std::move(drop));
}

Result<Statement> ParseStorage(TokenCursor& cursor) {
  StorageStatement storage;
  KALAM_RETURN_IF_ERROR(ParseStorageBody(cursor, &storage));
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(StatementKind::kStorage, std::move(storage));
}

Result<Statement> ParseShow(TokenCursor& cursor) {
  ShowStatement show;
  KALAM_RETURN_IF_ERROR(ParseShowBody(cursor, &show));
  return MakeStatement(StatementKind::kShow, std::move(show));
}

Result<Statement> ParseSet(TokenCursor& cursor) {
  SetVariable set;
  cursor.Skip();
  for (;;) {
    KALAM_ASSIGN_OR_RETURN(std::string part, cursor.Name());
    set.name.append(part);
    if (!cursor.AcceptPunctuation(".")) break;
    set.name.push_back('.');
  }
  if (!cursor.AcceptOperator("=") && !cursor.AcceptWord("to")) return cursor.SyntaxError();
  KALAM_ASSIGN_OR_RETURN(set.value, cursor.Scalar());
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(StatementKind::kSet, std::move(set));
}

Result<Statement> ParseTransaction(TokenCursor& cursor) {
  TransactionStatement transaction;
  if (cursor.PeekWord("commit")) transaction.kind = TransactionStatement::Kind::kCommit;
  if (cursor.PeekWord("rollback")) transaction.kind = TransactionStatement::Kind::kRollback;
  return MakeStatement(StatementKind::kTransaction, transaction);
}

Result<Statement> ParseKill(TokenCursor& cursor) {
  KillStatement kill;
  cursor.Skip();
  if (cursor.AcceptWord("job")) {
    kill.kind = KillStatement::Kind::kJob;
    KALAM_ASSIGN_OR_RETURN(kill.id, cursor.Id());
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return MakeStatement(StatementKind::kKill, std::move(kill));
  }
  if (!cursor.AcceptWords({"live", "query"}))
    return cursor.Error("Expected JOB or LIVE QUERY after KILL");
  kill.kind = KillStatement::Kind::kLiveQuery;
  if (cursor.AtEnd()) return cursor.SyntaxError();
  if (cursor.PeekText() || cursor.token().kind == TokenKind::kQuotedName) {
    KALAM_ASSIGN_OR_RETURN(kill.id, cursor.Id());
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  } else {
    kill.id = cursor.Rest();
  }
  return MakeStatement(StatementKind::kKill, std::move(kill));
}

}  // namespace kalam::sql
