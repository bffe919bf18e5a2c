// The standard statements: our text through PostgreSQL's grammar into our tree.
#pragma once

#include <string_view>

#include "base/status.h"
#include "sql/statement.h"

namespace kalam::sql {

/// Errors: InvalidSql with PostgreSQL's message and a position in `text`; "Unsupported statement
/// type: X". Thread-safety: any thread (the grammar keeps its memory per thread).
Result<Statement> ParseStandard(std::string_view text);

}  // namespace kalam::sql
