// The files of a multipart request: from its staging area into the storage of the statement's
// table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "files/file_store.h"
#include "sql/file_placeholders.h"
#include "statements/sql_request.h"
#include "statements/sql_request_plan.h"

namespace kalam::statements {

struct UploadedStatement {
  std::string sql;  // with FileRefs in place of the placeholders
  std::unique_ptr<files::Upload> upload;
};

/// Checks that the request is one statement that may write a USER or SHARED table with a FILE
/// column, then stores the files that it names. Blocks. Errors: InvalidInput, UploadTableNotFound,
/// PermissionDenied, MissingFile, NotAvailable; those of FileStore::Store.
Result<UploadedStatement> StoreStatementFiles(
    const StatementServices& services, const RequestInput& input, const RequestPlan& plan,
    const std::vector<sql::FilePlaceholder>& placeholders);

}  // namespace kalam::statements
