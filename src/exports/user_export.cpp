// All that one user has, table by table.
#include "exports/user_export.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "exports/scope_archive.h"
#include "exports/zip_writer.h"

namespace kalam::exports {
namespace {

namespace fs = std::filesystem;

class Exporter {
 public:
  Exporter(const ExportServices& services, const ExportRequest& request)
      : services_(services),
        request_(request),
        work_{services, request.work_folder, request.cancelled, request.report, request.memory} {}

  Result<ExportSummary> Run() {
    KALAM_ASSIGN_OR_RETURN(const auto tables, services_.catalog.ListTables(""));
    for (const catalog::TablePtr& table : tables) {
      if (table->type != catalog::TableType::kUser) continue;
      ++summary_.user_table_count;
      KALAM_RETURN_IF_ERROR(AddTable(table));
    }
    if (zip_ == nullptr) return summary_;
    KALAM_ASSIGN_OR_RETURN(summary_.archive_bytes, zip_->Close());
    return summary_;
  }

 private:
  Status AddTable(const catalog::TablePtr& table) {
    const storage::Scope scope = tables::ScopeFor(*table, request_.user_id);
    KALAM_ASSIGN_OR_RETURN(const auto source, work_.FindRows(table, scope));
    if (source == nullptr) return {};
    if (zip_ == nullptr) {
      KALAM_ASSIGN_OR_RETURN(zip_, ZipWriter::Create(request_.archive_path, request_.memory));
    }
    ++summary_.table_count;
    const std::string folder = table->namespace_id + "/" + table->name + "/";
    KALAM_ASSIGN_OR_RETURN(const int64_t rows,
                           AddParquet(work_, source, folder + "batch-0.parquet", *zip_));
    summary_.row_count += rows;
    KALAM_RETURN_IF_ERROR(AddCsv(work_, *source, folder + "rows.csv", *zip_));
    work_.Report(summary_.row_count, summary_.table_count);
    KALAM_ASSIGN_OR_RETURN(const int64_t files,
                           AddFiles(work_, {table, scope}, folder + "files/", *zip_));
    summary_.file_count += files;
    return {};
  }

  const ExportServices& services_;
  const ExportRequest& request_;
  const ArchiveWork work_;
  std::unique_ptr<ZipWriter> zip_;
  ExportSummary summary_;
};

}  // namespace

Result<ExportSummary> ExportUser(const ExportServices& services, const ExportRequest& request) {
  KALAM_ASSIGN_OR_RETURN(const auto folder, WorkFolder::Make(request.work_folder));
  return Exporter(services, request).Run();
}

std::string ExportPath(const std::string& data_directory, std::string_view user_id,
                       std::string_view export_id) {
  return fmt::format("{}/exports/{}/{}.zip", data_directory, PathPart(user_id), export_id);
}

int64_t RemoveOldExports(const std::string& data_directory, int64_t seconds) {
  const auto oldest = fs::file_time_type::clock::now() - std::chrono::seconds(seconds);
  std::vector<fs::path> old;
  std::error_code error;
  fs::recursive_directory_iterator entry(data_directory + "/exports", error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && entry->last_write_time(ignored) < oldest) {
      old.push_back(entry->path());
    }
  }
  for (const fs::path& path : old) fs::remove(path, error);
  return static_cast<int64_t>(old.size());
}

}  // namespace kalam::exports
