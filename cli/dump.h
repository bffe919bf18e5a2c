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
/// columns only the references are written. Needs the role dba. Errors: what the server answers;
/// StorageIo when `output` cannot be written.
Status Dump(Session& session, const DumpOptions& options, std::FILE* output);

/// The same as a zip archive with `schema.sql`, `after.sql` (indexes and views), a Parquet file for
/// every scope, and the files of FILE columns. What is left at `path` after an error is of no use.
Status DumpArchive(Session& session, const DumpOptions& options, const std::string& path);

}  // namespace kalam::cli
