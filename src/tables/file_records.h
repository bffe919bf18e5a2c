// Which rows refer to which files: records that travel in the command of the rows themselves.
//
// All in kSystem; `scope` is a ScopePrefix, ids are 8 bytes BE, column ids 4 bytes BE:
//   file/entry/<scope><id>                  -> what is known of the file (src/files)
//   file/reference/<scope><id><column><pk>  -> empty: that row's cell refers to the file
//   file/released/<scope><id><nonce: 8>     -> microseconds, varint: a cell ceased to refer to it
//   file/pending/<id>                       -> scope: uploaded, but no committed row refers to it
//   file/folder/<scope>                     -> folder number and count of files (src/files)
//
// A file without a reference belongs to nobody and goes; so a count can never be wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "replication/command.h"

namespace kalam::tables {

inline constexpr std::string_view kFileEntryPrefix = "file/entry/";
inline constexpr std::string_view kFileReferencePrefix = "file/reference/";
inline constexpr std::string_view kFileReleasedPrefix = "file/released/";
inline constexpr std::string_view kFilePendingPrefix = "file/pending/";
inline constexpr std::string_view kFileFolderPrefix = "file/folder/";

std::string FileEntryKey(std::string_view scope_prefix, int64_t id);
/// The common prefix of all references to one file.
std::string FileReferencesKey(std::string_view scope_prefix, int64_t id);
std::string FileReferenceKey(std::string_view scope_prefix, int64_t id, uint32_t column_id,
                             std::string_view encoded_pk);
std::string FileReleasedKey(std::string_view scope_prefix, int64_t id, uint64_t nonce);
std::string FilePendingKey(int64_t id);

/// The columns of type FILE, as positions in the layout; empty for nearly every table.
std::vector<uint32_t> FilePositions(const catalog::TableDefinition& table);

/// Appends what `mutation` changes about who refers to which file: a reference for every FileRef
/// that a cell now holds, a release for every one that it held before. `table` is the version that
/// the mutation is encoded with. Errors: Corruption.
Status AppendFileRecords(const catalog::TableDefinition& table,
                         const std::vector<uint32_t>& file_positions,
                         const replication::RowMutation& mutation, int64_t now_us,
                         catalog::RecordWrites* records);

}  // namespace kalam::tables
