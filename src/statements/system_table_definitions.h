// Names and columns of the system tables, views and information_schema.
#pragma once

#include <string_view>
#include <vector>

#include "catalog/schema.h"

namespace kalam::statements {

/// Definitions of all system objects, aliases (`system.system_users`) among them under their own
/// names; their columns are what SELECT * gives: no `_seq`, no `_deleted`. Ids count from
/// catalog::kFirstSystemTableId.
std::vector<catalog::TablePtr> MakeSystemTableDefinitions(int64_t created_at_us);

/// `name` without an alias' prefix: the table that a definition's rows come from.
std::string_view CanonicalSystemName(std::string_view name);
/// True for a second name of a system table.
bool IsSystemAlias(const catalog::TableDefinition& table);

}  // namespace kalam::statements
