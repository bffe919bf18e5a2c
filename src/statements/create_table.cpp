// CREATE TABLE: type, columns, primary key, options and every check of them.
#include <algorithm>
#include <unordered_set>

#include "statements/column_definitions.h"
#include "statements/families.h"
#include "statements/table_options.h"

namespace kalam::statements {
namespace {

using catalog::ColumnDefinition;
using catalog::TableType;

Status Invalid(std::string message) { return Status(ErrorKind::InvalidSql, std::move(message)); }

/// "User", "Shared", "Stream".
std::string TypeTitle(TableType type) {
  std::string title(catalog::TableTypeName(type));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  return title;
}

/// The type from the keyword before TABLE and the TYPE option; SHARED without both.
Result<TableType> TypeOf(const sql::CreateTable& statement, const GivenTableOptions& given) {
  const std::optional<TableType> keyword = ParseTableType(statement.type_keyword);
  if (keyword && given.type && *keyword != *given.type) {
    return Invalid("Conflicting table type definitions: CREATE " + TypeTitle(*keyword) +
                   " TABLE vs TYPE option " + TypeTitle(*given.type));
  }
  if (keyword) return *keyword;
  return given.type.value_or(TableType::kShared);
}

Status CheckColumnSpelling(const std::string& name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (plain) return Status::Ok();
  return Invalid("Invalid column name '" + name +
                 "'. Only alphanumeric characters and underscores are allowed.");
}

/// The name of the primary key column, folded; empty without one.
Result<std::string> PrimaryKeyOf(const sql::CreateTable& statement) {
  std::vector<std::string> keys;
  for (const sql::ColumnSpec& column : statement.columns) {
    if (column.primary_key) keys.push_back(catalog::FoldName(column.name));
  }
  if (statement.primary_key_columns.size() > 1)
    return Invalid("Composite PRIMARY KEYs are not supported yet");
  for (const std::string& name : statement.primary_key_columns) {
    const std::string folded = catalog::FoldName(name);
    const bool known = std::any_of(
        statement.columns.begin(), statement.columns.end(),
        [&](const sql::ColumnSpec& column) { return catalog::FoldName(column.name) == folded; });
    if (!known) return Invalid("PRIMARY KEY column '" + name + "' not found in column list");
    keys.push_back(folded);
  }
  if (keys.size() > 1) return Invalid("Multiple PRIMARY KEY definitions found");
  return keys.empty() ? std::string() : keys.front();
}

Status CheckKeyType(const ColumnDefinition& column) {
  if (column.type.kind != TypeKind::kEmbedding) return Status::Ok();
  return Invalid("Column '" + column.name + "' of type " + SqlName(column.type) +
                 " cannot be a PRIMARY KEY");
}

Result<std::vector<ColumnDefinition>> ColumnsOf(const sql::CreateTable& statement, TableType type) {
  if (statement.columns.empty()) return Invalid("Table must have at least one column");
  KALAM_ASSIGN_OR_RETURN(const std::string primary_key, PrimaryKeyOf(statement));
  if (primary_key.empty() && type != TableType::kStream) {
    return Status(ErrorKind::InvalidOperation,
                  TypeTitle(type) + " tables require a PRIMARY KEY column");
  }
  std::vector<ColumnDefinition> columns;
  std::unordered_set<std::string> names;
  for (const sql::ColumnSpec& spec : statement.columns) {
    KALAM_RETURN_IF_ERROR(CheckColumnSpelling(spec.name));
    KALAM_RETURN_IF_ERROR(catalog::ValidateColumnName(spec.name));
    KALAM_ASSIGN_OR_RETURN(ColumnDefinition column, ColumnFromSpec(spec));
    if (!names.insert(column.name).second) {
      return Invalid("Duplicate column name '" + spec.name +
                     "'. Column names are case-insensitive.");
    }
    if (column.name == primary_key) {
      column.primary_key = true;
      column.nullable = false;
      KALAM_RETURN_IF_ERROR(CheckKeyType(column));
    }
    column.column_id = static_cast<uint32_t>(columns.size() + 1);
    columns.push_back(std::move(column));
  }
  const auto next_id = static_cast<uint32_t>(columns.size() + 1);
  columns.push_back(SeqColumn(next_id));
  columns.push_back(DeletedColumn(next_id + 1));
  return columns;
}

Status CheckMayCreate(const catalog::Caller& caller, TableType type) {
  if (caller.role == catalog::Role::kAnonymous) {
    return Status(
        ErrorKind::PermissionDenied,
        "Anonymous users can only SELECT from public tables. Please authenticate to perform "
        "write operations.");
  }
  if (type == TableType::kShared && caller.role < catalog::Role::kService) {
    return Status(ErrorKind::Unauthorized, "Insufficient privileges to create shared tables");
  }
  return Status::Ok();
}

std::string CreatedMessage(TableType type, const sql::QualifiedName& name) {
  return "CREATE TABLE via Raft consensus: " + std::string(catalog::TableTypeName(type)) +
         " table " + name.namespace_id + "." + name.name + " created successfully";
}

Status CheckPlace(AdminContext& context, const sql::QualifiedName& name) {
  if (context.services.catalog.NamespaceExists(name.namespace_id)) return Status::Ok();
  return Status(ErrorKind::InvalidOperation,
                "Namespace '" + name.namespace_id +
                    "' does not exist. Create it first with CREATE NAMESPACE " + name.namespace_id);
}

/// Everything that the statement's text decides, checked; without id and times.
Result<catalog::TableDefinition> Define(const StatementRun& run, const sql::CreateTable& statement,
                                        const sql::QualifiedName& name) {
  KALAM_ASSIGN_OR_RETURN(GivenTableOptions given, ParseTableOptions(statement.options));
  KALAM_ASSIGN_OR_RETURN(TableType type, TypeOf(statement, given));
  // A shared table in the namespace that bears the caller's own id is meant to be the caller's.
  if (type == TableType::kShared && !catalog::IsAdmin(run.effective.role) &&
      name.namespace_id == run.effective.user_id) {
    type = TableType::kUser;
  }
  KALAM_RETURN_IF_ERROR(CheckMayCreate(run.effective, type));
  KALAM_RETURN_IF_ERROR(CheckTableOptions(given, type));
  KALAM_RETURN_IF_ERROR(catalog::ValidateTableName(statement.table.name));
  KALAM_ASSIGN_OR_RETURN(std::vector<ColumnDefinition> columns, ColumnsOf(statement, type));

  catalog::TableDefinition definition;
  definition.namespace_id = name.namespace_id;
  definition.name = name.name;
  definition.type = type;
  definition.next_column_id = static_cast<uint32_t>(columns.size() + 1);
  definition.layouts = std::make_shared<const std::vector<RowLayout>>(
      std::vector<RowLayout>{catalog::LayoutOf(columns)});
  definition.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(columns));
  definition.options = given.options;
  definition.created_at_us = definition.updated_at_us = run.now_us;
  return definition;
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::CreateTable& statement) {
  const sql::QualifiedName name = Resolve(run, statement.table);
  KALAM_RETURN_IF_ERROR(CheckNotSystem("create", name));
  Result<catalog::TableDefinition> defined = Define(run, statement, name);
  if (!defined.ok()) {
    Status status = std::move(defined).status();
    if (!status.Is(ErrorKind::InvalidSql)) return status;
    return std::move(status).WithContext("Invalid CREATE TABLE statement");
  }
  catalog::TableDefinition definition = *std::move(defined);

  std::lock_guard lock(context.ddl_mutex);
  catalog::Catalog& catalog = context.services.catalog;
  KALAM_RETURN_IF_ERROR(CheckPlace(context, name));
  KALAM_ASSIGN_OR_RETURN(const auto existing, catalog.FindTable(name.namespace_id, name.name));
  KALAM_ASSIGN_OR_RETURN(const auto view, catalog.FindView(name.namespace_id, name.name));
  if (existing && statement.if_not_exists) return Told(CreatedMessage(existing->type, name));
  if (existing || view) {
    return Status(ErrorKind::AlreadyExists, std::string(existing ? "Table " : "View ") +
                                                name.namespace_id + "." + name.name +
                                                " already exists");
  }
  KALAM_ASSIGN_OR_RETURN(const auto storage, catalog.FindStorage(definition.options.storage_id));
  if (!storage) {
    return Status(ErrorKind::InvalidOperation,
                  "Storage '" + definition.options.storage_id + "' does not exist");
  }
  definition.id = catalog.AllocateTableId();
  catalog::RecordWrites records = catalog.PutTable(definition);
  records.push_back(
      AuditWrite(MakeAudit(run, "CREATE_TABLE", definition.QualifiedName(),
                           "Type: " + std::string(catalog::TableTypeName(definition.type)))));
  KALAM_RETURN_IF_ERROR(Commit(context.services.group, std::move(records)));
  return Told(CreatedMessage(definition.type, name));
}

}  // namespace kalam::statements
