// Statements: the standard ones as trees (ast.h), the Kalam ones as plain structures.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "sql/ast.h"

namespace kalam::sql {

// ---- Kalam statements (sql.md section 1). Names are folded; texts are unquoted.

struct QualifiedName {
  std::string namespace_id;  // empty: the request's namespace
  std::string name;
};

struct ColumnSpec {
  std::string name;  // as written; folded by the catalog
  TypeSpelling type;
  int position = -1;
  bool primary_key = false;
  std::optional<bool> nullable;
  bool auto_increment = false;  // AUTO_INCREMENT, SERIAL types, IDENTITY
  std::string default_text;     // source text of the DEFAULT expression; empty: none
};

struct CreateNamespace {
  bool if_not_exists = false;
  std::string name;
};
struct AlterNamespace {
  std::string name;
  std::vector<std::pair<std::string, std::string>> options; /* value as JSON text */
};
struct DropNamespace {
  bool if_exists = false;
  bool cascade = false;
  std::string name;
};
struct UseNamespace {
  std::string name;
};

struct CreateTable {
  std::string type_keyword;  // "USER", "SHARED", "STREAM", or empty
  bool if_not_exists = false;
  QualifiedName table;
  std::vector<ColumnSpec> columns;
  std::vector<std::string> primary_key_columns;  // of a table-level PRIMARY KEY
  std::vector<std::pair<std::string, std::string>>
      options;  // key in upper case, value as written without quotes
};

struct AlterTable {
  enum class Operation : uint8_t {
    kAddColumn,
    kDropColumn,
    kModifyColumn,
    kSetNotNull,
    kDropNotNull,
    kSetDefault,
    kDropDefault,
    kRenameColumn,
    kSetAccessLevel,
    kSetMaxBuffer,
    kCreateVectorIndex,
    kDropVectorIndex,
  };
  QualifiedName table;
  Operation operation = Operation::kAddColumn;
  ColumnSpec column;         // add, modify; `name` for the others
  std::string new_name;      // rename
  std::string default_text;  // set default
  std::string access_level;  // "PUBLIC", ...
  std::string max_buffer;    // rows, or NONE
  std::string metric;        // COSINE, L2, DOT
  // CREATE INDEX and DROP INDEX as statements of their own; such a DROP INDEX has `table` empty but
  // for the namespace.
  bool is_standalone = false;
  bool if_exists = false;      // DROP INDEX IF EXISTS
  bool if_not_exists = false;  // CREATE INDEX IF NOT EXISTS
  std::string index_name;      // empty: <table>_<column>_idx
};
struct DropTable {
  std::string type_keyword;
  bool if_exists = false;
  QualifiedName table;
};

struct CreateView {
  bool or_replace = false;
  QualifiedName view;
  std::vector<std::string> column_names;
  std::string query_text;
  QueryPtr query;
};
struct DropView {
  bool if_exists = false;
  QualifiedName view;
};

struct ShowStatement {
  enum class Kind : uint8_t {
    kNamespaces,
    kTables,
    kStorages,
    kStats,
    kManifest,
    kExport,
    kColumns,
    kAll,
    kDescribeTable,
    kDescribe,
    kHistory,
  };
  Kind kind = Kind::kNamespaces;
  std::string namespace_id;  // kTables
  QualifiedName table;       // kStats, kColumns, kDescribe*, kHistory (DESCRIBE TABLE t HISTORY)
};
struct SetVariable {
  std::string name;
  std::string value;
};

struct CreateUser {
  enum class Kind : uint8_t { kPassword, kOAuth, kInternal };
  bool if_not_exists = false;
  std::string user_id;
  Kind kind = Kind::kPassword;
  std::string password, oauth_json, role, email;  // role as written
};
struct AlterUser {
  enum class Kind : uint8_t { kPassword, kRole, kEmail };
  std::string user_id;
  Kind kind = Kind::kPassword;
  std::string value;
};
struct DropUser {
  bool if_exists = false;
  std::string user_id;
};

struct TransactionStatement {
  enum class Kind : uint8_t { kBegin, kCommit, kRollback };
  Kind kind = Kind::kBegin;
};
struct KillStatement {
  enum class Kind : uint8_t { kJob, kLiveQuery };
  Kind kind = Kind::kJob;
  std::string id;
};

struct SubscribeStatement {
  std::string select_text;  // the SELECT to register over the WebSocket
  QualifiedName table;
  int table_position = -1;  // where the table's name begins in select_text
  std::vector<std::pair<std::string, int64_t>> options;  // last_rows, batch_size, from
};

struct StorageStatement {
  enum class Kind : uint8_t {
    kCreate,
    kAlter,
    kDrop,
    kCheck,
    kFlushTable,
    kFlushAll,
    kCompactTable,
    kCompactAll,
    kRebuildTable
  };
  Kind kind = Kind::kCreate;
  bool if_exists = false;
  bool extended = false;
  std::string storage_id;
  std::vector<std::pair<std::string, std::string>> clauses;  // TYPE, NAME, PATH, ...
  QualifiedName table;
  std::string namespace_id;
};

/// Statements of features that a build or release does not have, and CLUSTER: kept as words.
struct OtherStatement {
  std::string feature;             // "topics", "backup", "restore", "export", "cluster"
  std::vector<std::string> words;  // the statement's words in upper case, literals as written
  std::string text;
};

struct Statement;

struct Explain {
  bool analyze = false;
  bool verbose = false;
  std::string inner_text;
  int inner_offset = 0;  // of inner_text in the statement's text; positions in `inner` count from
                         // the statement's begin
  std::unique_ptr<Statement> inner;
};

struct ExecuteAs {
  std::string user_id;
  std::string inner_text;
  int inner_offset = 0;
  std::unique_ptr<Statement> inner;
};

enum class StatementKind : uint8_t {
  kSelect,
  kInsert,
  kUpdate,
  kDelete,
  kCreateNamespace,
  kAlterNamespace,
  kDropNamespace,
  kUseNamespace,
  kCreateTable,
  kAlterTable,
  kDropTable,
  kCreateView,
  kDropView,
  kShow,
  kSet,
  kCreateUser,
  kAlterUser,
  kDropUser,
  kTransaction,
  kKill,
  kSubscribe,
  kStorage,
  kOther,
  kExplain,
  kExecuteAs,
};

/// One parsed statement.
struct Statement {
  using Body =
      std::variant<QueryPtr, std::unique_ptr<InsertStatement>, std::unique_ptr<UpdateStatement>,
                   std::unique_ptr<DeleteStatement>, CreateNamespace, AlterNamespace, DropNamespace,
                   UseNamespace, CreateTable, AlterTable, DropTable, CreateView, DropView,
                   ShowStatement, SetVariable, CreateUser, AlterUser, DropUser,
                   TransactionStatement, KillStatement, SubscribeStatement, StorageStatement,
                   OtherStatement, Explain, ExecuteAs>;
  StatementKind kind = StatementKind::kSelect;
  Body body;
  int parameter_count = 0;  // the highest $n
};

}  // namespace kalam::sql
