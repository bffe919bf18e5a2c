// One namespace, of one moment, as an archive that another server can be filled from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "exports/user_export.h"

namespace kalam::exports {

/// An index beside the tables' own.
struct ExportedIndex {
  std::string table, column, metric, name;
};

struct NamespaceExportRequest {
  std::string namespace_id;
  std::vector<std::string> users;  // beside those that the server knows of
  std::vector<ExportedIndex> indexes;
  bool is_schema_only = false;  // no rows and no files
  std::string archive_path;
  std::string work_folder;                  // of Parquet files on their way; removed at the end
  std::function<bool()> cancelled;          // polled; may be empty
  std::function<void(std::string)> report;  // progress, for people; may be empty
  MemoryAccount* memory = nullptr;          // charged with what is held meanwhile; may be null
};

struct NamespaceExportSummary {
  int64_t table_count = 0, row_count = 0, file_count = 0;
  int64_t archive_bytes = 0;
};

/// Writes the rows of the namespace's USER and SHARED tables as one view shows them. The archive
/// has `rows/{table}.parquet` (SHARED), `rows/{table}/{user}.parquet` (USER; the id as PathPart
/// writes it), `files/{table}/[{user}/]{sub}/{stored name}`, and last `export.json` with the
/// versions of the tables, their indexes, and the last `_seq` that is in it. Users are those of
/// system.users, those whose rows are hot or were written lately, and those that are named. Blocks
/// for long. Errors: NotFound (no such namespace), Cancelled, StorageIo, Corruption, those of
/// Engine::WriteParquet; then there is no archive.
Result<NamespaceExportSummary> ExportNamespace(const ExportServices& services,
                                               const NamespaceExportRequest& request);

}  // namespace kalam::exports
