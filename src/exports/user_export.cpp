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
        work_{services, request.work_folder, request.cancelled},
        view_(services.group.TakeView()) {}

  Result<ExportSummary> Run() {
    KALAM_ASSIGN_OR_RETURN(const auto tables, services_.catalog.ListTables(""));
    for (const catalog::TablePtr& table : tables) {
      if (table->type != catalog::TableType::kUser) continue;
      ++summary_.user_table_count;
      KALAM_RETURN_IF_ERROR(AddTable(table));
    }
    if (zip_ == nullptr) return summary_;
    KALAM_RETURN_IF_ERROR(zip_->Close());
    std::error_code error;
    summary_.archive_bytes = static_cast<int64_t>(fs::file_size(request_.archive_path, error));
    return summary_;
  }

 private:
  Status AddTable(const catalog::TablePtr& table) {
    KALAM_RETURN_IF_ERROR(work_.CheckCancelled());
    const storage::Scope scope = tables::ScopeFor(*table, request_.user_id);
    auto source = std::make_shared<ScopeSource>(services_.reader,
                                                tables::ReadScope{table, scope, view_, nullptr});
    KALAM_ASSIGN_OR_RETURN(const bool has_rows, source->HasRows());
    if (!has_rows) return {};
    if (zip_ == nullptr) {
      KALAM_ASSIGN_OR_RETURN(zip_, ZipWriter::Create(request_.archive_path));
    }
    ++summary_.table_count;
    const std::string folder = table->namespace_id + "/" + table->name + "/";
    KALAM_ASSIGN_OR_RETURN(const int64_t rows,
                           AddParquet(work_, source, folder + "batch-0.parquet", *zip_));
    summary_.row_count += rows;
    KALAM_RETURN_IF_ERROR(AddCsv(work_, *source, folder + "rows.csv", *zip_));
    if (request_.report) {
      request_.report(
          fmt::format("{} rows of {} tables so far", summary_.row_count, summary_.table_count));
    }
    KALAM_ASSIGN_OR_RETURN(const int64_t files,
                           AddFiles(work_, {table, scope}, folder + "files/", *zip_));
    summary_.file_count += files;
    return {};
  }

  const ExportServices& services_;
  const ExportRequest& request_;
  const ArchiveWork work_;
  const replication::View view_;
  std::unique_ptr<ZipWriter> zip_;
  ExportSummary summary_;
};

}  // namespace

Result<ExportSummary> ExportUser(const ExportServices& services, const ExportRequest& request) {
  std::error_code error;
  fs::remove_all(request.work_folder, error);
  fs::create_directories(request.work_folder, error);
  if (error) {
    return Status(ErrorKind::StorageIo,
                  fmt::format("Cannot create {}: {}", request.work_folder, error.message()));
  }
  auto summary = Exporter(services, request).Run();
  fs::remove_all(request.work_folder, error);
  return summary;
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
