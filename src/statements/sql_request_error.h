// From a Status to what a caller may be told.
#pragma once

#include <string>
#include <string_view>

#include "catalog/role.h"
#include "statements/sql_request.h"

namespace kalam::statements {

/// Where an error happened, for its text.
struct ErrorPlace {
  std::string_view source;      // the statement's text; empty: none
  size_t statement_number = 0;  // 1-based, in a batch; 0: the request has one statement
};

/// Callers below dba do not learn facts about objects that they may not see: they get a fixed
/// sentence instead. Their own mistakes keep text and position. Dba and system always see
/// everything, and the statement.
RequestError MakeRequestError(Status status, catalog::Role role, const ErrorPlace& place);

}  // namespace kalam::statements
