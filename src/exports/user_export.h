// A user's own rows and files as one zip archive.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "analytics/engine.h"
#include "catalog/catalog.h"
#include "files/file_store.h"
#include "replication/group.h"
#include "tables/table_reader.h"

namespace kalam::exports {

struct ExportServices {
  catalog::Catalog& catalog;
  replication::ReplicationGroup& group;
  tables::TableReader& reader;
  analytics::Engine& engine;
  files::FileStore* files = nullptr;  // null: there are no files
};

struct ExportRequest {
  std::string user_id;
  std::string archive_path;
  std::string work_folder;                  // of Parquet files on their way; removed at the end
  std::function<bool()> cancelled;          // polled; may be empty
  std::function<void(std::string)> report;  // progress, for people; may be empty
  MemoryAccount* memory = nullptr;          // charged with what is held meanwhile; may be null
};

struct ExportSummary {
  int64_t user_table_count = 0;  // of the server
  int64_t table_count = 0;       // that had rows of the user
  int64_t row_count = 0;
  int64_t file_count = 0;     // of FILE columns
  int64_t archive_bytes = 0;  // 0: there was nothing to export, and there is no archive
};

/// Writes the rows that the user has in USER tables, as one view shows them, and the files of
/// their FILE columns. For every table with rows the archive has, below `{namespace}/{table}`:
/// `batch-0.parquet` and `rows.csv` with the same rows by key, and `files/{folder}/{name}`. Blocks
/// for long. Errors: Cancelled, StorageIo, Corruption, those of Engine::WriteParquet; then there is
/// no archive.
Result<ExportSummary> ExportUser(const ExportServices& services, const ExportRequest& request);

/// Where an archive lies; different users have different folders, whatever their ids hold.
std::string ExportPath(const std::string& data_directory, std::string_view user_id,
                       std::string_view export_id);
/// Removes archives that are older. Returns how many.
int64_t RemoveOldExports(const std::string& data_directory, int64_t seconds);

}  // namespace kalam::exports
