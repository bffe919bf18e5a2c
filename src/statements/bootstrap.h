// What a data directory holds from its first start on: root, the storage `local`, namespaces, the
// tables of `dba`.
#pragma once

#include <string>

#include "base/status.h"
#include "statements/sql_request.h"

namespace kalam::statements {

/// Creates what is missing and leaves alone what is there; one command, so that a crash leaves all
/// of it or nothing. A root without password gets `root_password_hash` if that is not empty.
/// Blocks.
Status BootstrapCatalog(const StatementServices& services, const std::string& root_password_hash);

}  // namespace kalam::statements
