// Writing a namespace so that another server can be filled with it.
#pragma once

#include <cstdio>
#include <string>

#include "session.h"

namespace kalam::cli {

struct DumpOptions {
  std::string namespace_id;
  std::string users;         // ids beside those that the server knows of, separated by commas
  bool schema_only = false;  // no rows
};

/// Writes statements that make the namespace again: tables, rows of all users, indexes, views. The
/// rows are those of one moment: the server makes an archive of them first. Of files in FILE
/// columns only the references are written; returns how many files there are. Needs the role dba.
/// Errors: what the server answers; StorageIo when `output` cannot be written.
Result<int64_t> Dump(Session& session, const DumpOptions& options, std::FILE* output);

/// The same to a file, which appears when it is whole. Files of FILE columns go to the folder
/// `{path}.files`, which takes the place of one of an earlier dump, and the statements name them
/// relative to `path`. Returns how many files are missing, because their rows went meanwhile.
/// Errors: as Dump; InvalidInput when something else lies at the folder's place.
Result<int64_t> DumpFile(Session& session, const DumpOptions& options, const std::string& path);

/// The same as a zip archive with `schema.sql`, `after.sql` (indexes and views), a Parquet file for
/// every scope, and the files of FILE columns.
Status DumpArchive(Session& session, const DumpOptions& options, const std::string& path);

}  // namespace kalam::cli
