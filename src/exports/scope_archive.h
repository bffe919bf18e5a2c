// What one scope of a table gives an archive: its rows as Parquet and CSV, and its files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "analytics/engine.h"
#include "exports/user_export.h"
#include "exports/zip_writer.h"
#include "tables/scan_source.h"
#include "tables/table_reader.h"

namespace kalam::exports {

/// The rows of one scope, hot and cold as one, with the user's columns and `_seq`.
class ScopeSource final : public tables::ScanSource {
 public:
  ScopeSource(tables::TableReader& reader, tables::ReadScope scope);
  const ResultSchema& columns() const override { return schema_; }
  const std::vector<int32_t>& field_ids() const { return field_ids_; }
  int64_t estimated_rows() const override { return 0; }
  size_t part_count() const override { return 1; }
  Result<std::unique_ptr<tables::ScanPart>> OpenPart(size_t, std::span<const uint32_t> columns,
                                                     std::span<const tables::ScanHint>) override;
  Result<std::unique_ptr<tables::ScanPart>> OpenAll();
  /// Whether there is any row.
  Result<bool> HasRows();

 private:
  tables::TableReader& reader_;
  const tables::ReadScope scope_;
  const std::vector<uint32_t> shown_;
  ResultSchema schema_;
  std::vector<int32_t> field_ids_;
};

/// What the making of every archive goes by: all of it shows one view.
struct ArchiveWork {
  const ExportServices& services;
  std::string work_folder;                  // of Parquet files on their way
  std::function<bool()> cancelled;          // may be empty
  std::function<void(std::string)> report;  // may be empty
  MemoryAccount* memory = nullptr;          // may be null
  replication::View view = services.group.TakeView();

  /// Errors: Cancelled.
  Status CheckCancelled() const;
  /// The rows of a scope; null when there are none. Errors: Cancelled, StorageIo, Corruption.
  Result<std::shared_ptr<ScopeSource>> FindRows(const catalog::TablePtr& table,
                                                const storage::Scope& scope) const;
  void Report(int64_t row_count, int64_t table_count) const;
};

/// An empty folder, gone with it.
class WorkFolder {
 public:
  /// What lies there goes. Errors: StorageIo.
  static Result<std::unique_ptr<WorkFolder>> Make(const std::string& path);
  explicit WorkFolder(std::string path) : path_(std::move(path)) {}
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder();

 private:
  const std::string path_;
};

/// Adds the rows as one Parquet file; returns how many. Errors: those of Engine::WriteParquet,
/// StorageIo.
Result<int64_t> AddParquet(const ArchiveWork& work, const std::shared_ptr<ScopeSource>& source,
                           const std::string& entry, ZipWriter& zip);
/// The same as CSV. Errors: Cancelled, StorageIo, Corruption.
Status AddCsv(const ArchiveWork& work, ScopeSource& source, const std::string& entry,
              ZipWriter& zip);
/// Adds the files of FILE columns as `{folder}{sub}/{stored name}`; returns how many. Those whose
/// rows went since the view was taken may be missing.
Result<int64_t> AddFiles(const ArchiveWork& work, const files::FileScope& scope,
                         const std::string& folder, ZipWriter& zip);

/// A user id as one part of a path: letters, digits, `_` and `-` as they are, the rest as %XX.
std::string PathPart(std::string_view user_id);

}  // namespace kalam::exports
