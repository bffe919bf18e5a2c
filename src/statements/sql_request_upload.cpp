// See sql_request_upload.h.
#include "statements/sql_request_upload.h"

#include <algorithm>

#include "query/query_engine.h"
#include "tables/file_records.h"
#include "tables/table_reader.h"

namespace kalam::statements {
namespace {

Status Invalid(std::string message) { return Status(ErrorKind::InvalidInput, std::move(message)); }

// Where the files go: everything that is wrong with the statement should be found before.
Result<files::FileScope> TargetOf(const StatementServices& services, const RequestInput& input,
                                  const RequestPlan& plan) {
  if (input.staging == nullptr) return Invalid("FILE placeholders require multipart/form-data");
  if (services.files == nullptr) {
    return Status(ErrorKind::NotAvailable, "File uploads are not available in this server");
  }
  if (plan.statements.size() != 1) return Invalid("File uploads require a single SQL statement");
  const RequestStatement& statement = plan.statements[0];
  const bool writes = statement.kind == sql::StatementKind::kInsert ||
                      statement.kind == sql::StatementKind::kUpdate ||
                      statement.kind == sql::StatementKind::kDelete;
  if (!writes) {
    return Invalid(
        "Could not determine target table from SQL. Use fully qualified table name "
        "(namespace.table).");
  }
  catalog::Caller caller = input.caller;
  if (statement.execute_as) {
    caller = {*statement.execute_as, catalog::Role::kUser};
    KALAM_RETURN_IF_ERROR(CheckNotSharedDml(services.catalog, input.namespace_id, statement,
                                            services.memory.Child("statements")));
  }
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         FindDmlTarget(services.catalog, input.namespace_id, statement,
                                       services.memory.Child("statements")));
  if (table == nullptr) {
    return Status(ErrorKind::UploadTableNotFound, "the table of the upload does not exist");
  }
  if (table->type != catalog::TableType::kUser && table->type != catalog::TableType::kShared) {
    return Invalid("File uploads are not supported for stream or system tables");
  }
  KALAM_RETURN_IF_ERROR(query::CheckWriteAccess(*table, caller));
  if (tables::FilePositions(*table).empty()) {
    return Invalid("Table '" + table->QualifiedName() + "' has no FILE column");
  }
  return files::FileScope{table, tables::ScopeFor(*table, caller.user_id)};
}

}  // namespace

Result<UploadedStatement> StoreStatementFiles(
    const StatementServices& services, const RequestInput& input, const RequestPlan& plan,
    const std::vector<sql::FilePlaceholder>& placeholders) {
  KALAM_ASSIGN_OR_RETURN(const files::FileScope target, TargetOf(services, input, plan));
  std::vector<const files::StagedFile*> named;
  for (const sql::FilePlaceholder& placeholder : placeholders) {
    const files::StagedFile* file = input.staging->Find(placeholder.name);
    if (file == nullptr) {
      return Status(ErrorKind::MissingFile,
                    "The statement names FILE('" + placeholder.name +
                        "'), but the form has no part 'file:" + placeholder.name + "'");
    }
    // One file may stand in several places.
    if (std::find(named.begin(), named.end(), file) == named.end()) named.push_back(file);
  }
  UploadedStatement uploaded;
  KALAM_ASSIGN_OR_RETURN(uploaded.upload, services.files->Store(target, named));
  std::vector<std::string> cells;
  for (const sql::FilePlaceholder& placeholder : placeholders) {
    cells.push_back(
        FormatFileReference(uploaded.upload->references.find(placeholder.name)->second));
  }
  uploaded.sql = sql::ReplaceFilePlaceholders(input.sql, placeholders, cells);
  return uploaded;
}

}  // namespace kalam::statements
