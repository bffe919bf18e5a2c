// The end of a restore of one namespace: it takes the place of the one that has its name.
#pragma once

#include <string>

#include "backup/namespace_restore.h"
#include "statements/families.h"

namespace kalam::statements {

/// Drops what the namespace holds and names the restored tables, in one command.
Status SwapNamespace(AdminContext& context, backup::PreparedNamespace prepared,
                     const std::string& user_id);

}  // namespace kalam::statements
