// Where the files of one scope of a table lie in its storage: the storage's templates, filled in.
#pragma once

#include <string>
#include <string_view>

#include "catalog/catalog.h"

namespace kalam::catalog {

/// The folder of a scope, relative to the storage's base, without slashes at its ends: by default
/// `{namespace}/{tableName}` (SHARED) and `{namespace}/{tableName}/{userId}` (USER). `user_id` is
/// empty for SHARED tables. A user id is written with `%xx` for every byte but letters, digits and
/// `-_.@+=` (and for a leading point
/// or underscore, which mark folders of our own), so that it is one path part on every file system
/// and object store. The legacy spellings of the placeholders are understood, `{shard}` is nothing.
std::string ScopeFolder(const StorageRecord& storage, const TableDefinition& table,
                        std::string_view user_id);

}  // namespace kalam::catalog
