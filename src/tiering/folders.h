// Where the files of a table lie in its storage: the templates filled in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "catalog/schema.h"
#include "segments/segment_record.h"

namespace kalam::tiering {

inline constexpr std::string_view kDefaultSharedTemplate = "{namespace}/{tableName}";
inline constexpr std::string_view kDefaultUserTemplate = "{namespace}/{tableName}/{userId}";
/// Folder of the segments of many scopes, beside the folders of users.
inline constexpr std::string_view kManyFolder = "_many";

/// Whether small scopes of the table may share segments: only where the storage leaves the folders
/// of users to us.
bool MayShareSegments(const catalog::TableDefinition& table, const catalog::StorageRecord& storage);

/// The folder of a place, without a `/` at its end: the template filled in. Characters of user ids
/// that a path cannot have are written as %XX. Legacy spellings of the placeholders ({table_name},
/// {user-id}, ...) count. A template that does not keep tables apart gets a last part with the
/// table's id, so that no two tables of a type ever have the same folder.
std::string FolderOf(const catalog::TableDefinition& table, const segments::SegmentPlace& place,
                     const catalog::StorageRecord& storage);

/// What all paths of a table's files and of no other table's begin with: the template up to the
/// last `/` before the first placeholder of a user, or the whole folder of a SHARED table, with a
/// `/` at its end. Whoever has it may delete what is below. Empty when the templates give the table
/// no folder of its own.
std::string TableFolderPrefix(const catalog::TableDefinition& table,
                              const catalog::StorageRecord& storage);

/// The place whose folder that is; nullopt when it is none of the table's.
std::optional<segments::SegmentPlace> PlaceOfFolder(const catalog::TableDefinition& table,
                                                    std::string_view folder,
                                                    const catalog::StorageRecord& storage);

/// What the paths of all folders of the table begin with, and maybe others; empty when that would
/// be everything in the storage.
std::string FolderSearchPrefix(const catalog::TableDefinition& table,
                               const catalog::StorageRecord& storage);

}  // namespace kalam::tiering
