// Rows of one scope into Parquet and CSV, and the files beside them.
#include "exports/user_export.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "exports/zip_writer.h"
#include "tables/row.h"
#include "tables/scan_source.h"
#include "types/convert.h"

namespace kalam::exports {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFilePieceBytes = 256 << 10;
constexpr size_t kCsvPieceBytes = 64 << 10;
constexpr int64_t kNarrowRowGroup = 2048;
constexpr int64_t kRowsPerPoll = 4096;

/// The columns that a user gets: his own, and `_seq`.
std::vector<uint32_t> ShownColumns(const catalog::TableDefinition& table) {
  std::vector<uint32_t> shown;
  for (uint32_t i = 0; i < table.columns->size(); ++i) {
    if (table.StoragePosition(i)) shown.push_back(i);
  }
  if (const auto seq = table.FindColumn(catalog::kSeqColumn)) {
    shown.push_back(static_cast<uint32_t>(*seq));
  }
  return shown;
}

/// The rows of a scope, decoded; hot and cold as one.
class ScopeRows final : public tables::ScanPart {
 public:
  ScopeRows(std::unique_ptr<tables::RowScan> scan, const catalog::TablePtr& table,
            std::vector<uint32_t> columns)
      : scan_(std::move(scan)),
        decoder_(table),
        columns_(std::move(columns)),
        cells_(columns_.size()) {}

  Result<bool> Next() override {
    KALAM_ASSIGN_OR_RETURN(const bool found, scan_->Next());
    if (!found) return false;
    KALAM_RETURN_IF_ERROR(
        decoder_.Decode(scan_->schema_version(), scan_->row(), scan_->seq(), scan_->deleted()));
    for (size_t i = 0; i < columns_.size(); ++i) cells_[i] = decoder_.cells()[columns_[i]];
    return true;
  }
  std::span<const Datum> cells() const override { return cells_; }

 private:
  const std::unique_ptr<tables::RowScan> scan_;
  tables::RowDecoder decoder_;
  const std::vector<uint32_t> columns_;
  std::vector<Datum> cells_;
};

class ScopeSource final : public tables::ScanSource {
 public:
  ScopeSource(tables::TableReader& reader, tables::ReadScope scope)
      : reader_(reader), scope_(std::move(scope)), shown_(ShownColumns(*scope_.table)) {
    for (const uint32_t index : shown_) {
      const catalog::ColumnDefinition& column = (*scope_.table->columns)[index];
      schema_.push_back({.name = column.name, .type = column.type});
      field_ids_.push_back(static_cast<int32_t>(column.column_id));
    }
  }
  const ResultSchema& columns() const override { return schema_; }
  const std::vector<int32_t>& field_ids() const { return field_ids_; }
  int64_t estimated_rows() const override { return 0; }
  size_t part_count() const override { return 1; }
  Result<std::unique_ptr<tables::ScanPart>> OpenPart(size_t, std::span<const uint32_t> columns,
                                                     std::span<const tables::ScanHint>) override {
    std::vector<uint32_t> wanted;
    for (const uint32_t column : columns) wanted.push_back(shown_[column]);
    KALAM_ASSIGN_OR_RETURN(auto scan, reader_.OpenScan(scope_, {}));
    return std::unique_ptr<tables::ScanPart>(
        std::make_unique<ScopeRows>(std::move(scan), scope_.table, std::move(wanted)));
  }
  Result<std::unique_ptr<tables::ScanPart>> OpenAll() {
    std::vector<uint32_t> all(shown_.size());
    for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    return OpenPart(0, all, {});
  }

 private:
  tables::TableReader& reader_;
  const tables::ReadScope scope_;
  const std::vector<uint32_t> shown_;
  ResultSchema schema_;
  std::vector<int32_t> field_ids_;
};

/// A cell by RFC 4180; NULL is nothing at all, an empty text is "".
void AppendCsv(std::string_view text, std::string* line) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == text.npos) {
    line->append(text);
    return;
  }
  line->push_back('"');
  for (const char c : text) {
    if (c == '"') line->push_back('"');
    line->push_back(c);
  }
  line->push_back('"');
}

class Exporter {
 public:
  Exporter(const ExportServices& services, const ExportRequest& request)
      : services_(services), request_(request), view_(services.group.TakeView()) {}

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
  Status CheckCancelled() const {
    if (!request_.cancelled || !request_.cancelled()) return {};
    return Status(ErrorKind::Cancelled, "The export was cancelled");
  }

  Status AddTable(const catalog::TablePtr& table) {
    KALAM_RETURN_IF_ERROR(CheckCancelled());
    const storage::Scope scope = tables::ScopeFor(*table, request_.user_id);
    auto source = std::make_shared<ScopeSource>(services_.reader,
                                                tables::ReadScope{table, scope, view_, nullptr});
    KALAM_ASSIGN_OR_RETURN(const auto first, source->OpenAll());
    KALAM_ASSIGN_OR_RETURN(const bool has_rows, first->Next());
    if (!has_rows) return {};
    if (zip_ == nullptr) {
      KALAM_ASSIGN_OR_RETURN(zip_, ZipWriter::Create(request_.archive_path));
    }
    ++summary_.table_count;
    const std::string folder = table->namespace_id + "/" + table->name + "/";
    KALAM_RETURN_IF_ERROR(AddParquet(source, folder));
    KALAM_RETURN_IF_ERROR(AddCsv(*source, folder));
    if (request_.report) {
      request_.report(
          fmt::format("{} rows of {} tables so far", summary_.row_count, summary_.table_count));
    }
    return AddFiles({table, scope}, folder);
  }

  Status AddParquet(const std::shared_ptr<ScopeSource>& source, const std::string& folder) {
    analytics::ParquetFile file;
    file.local_path = request_.work_folder + "/rows.parquet";
    file.source = source;
    file.field_ids = source->field_ids();
    file.cancelled = request_.cancelled;
    auto written = services_.engine.WriteParquet(file);
    if (written.status().Is(ErrorKind::MemoryExceeded)) {
      file.row_group_rows = kNarrowRowGroup;
      written = services_.engine.WriteParquet(file);
    }
    KALAM_RETURN_IF_ERROR(written.status());
    summary_.row_count += written->row_count;
    // Its pages are compressed already.
    const Status added =
        zip_->AddFile(folder + "batch-0.parquet", file.local_path, ZipWriter::Compression::kStore);
    std::error_code ignored;
    fs::remove(file.local_path, ignored);
    return added;
  }

  Status AddCsv(ScopeSource& source, const std::string& folder) {
    KALAM_RETURN_IF_ERROR(zip_->BeginEntry(folder + "rows.csv", ZipWriter::Compression::kDeflate));
    std::string lines;
    for (size_t i = 0; i < source.columns().size(); ++i) {
      if (i > 0) lines += ',';
      AppendCsv(source.columns()[i].name, &lines);
    }
    lines += "\r\n";
    KALAM_ASSIGN_OR_RETURN(const auto rows, source.OpenAll());
    for (int64_t count = 0;; ++count) {
      KALAM_ASSIGN_OR_RETURN(const bool found, rows->Next());
      if (!found) break;
      if (count % kRowsPerPoll == 0) KALAM_RETURN_IF_ERROR(CheckCancelled());
      for (size_t i = 0; i < rows->cells().size(); ++i) {
        if (i > 0) lines += ',';
        if (!rows->cells()[i].is_null) AppendCsv(ToText(rows->cells()[i]), &lines);
      }
      lines += "\r\n";
      if (lines.size() < kCsvPieceBytes) continue;
      KALAM_RETURN_IF_ERROR(zip_->Write(lines));
      lines.clear();
    }
    return zip_->Write(lines);
  }

  Status AddFiles(const files::FileScope& scope, const std::string& folder) {
    if (services_.files == nullptr) return {};
    std::vector<files::FileEntry> entries;
    KALAM_RETURN_IF_ERROR(services_.files->List(scope, [&](const files::FileEntry& entry) {
      entries.push_back(entry);
      return true;
    }));
    for (const files::FileEntry& entry : entries) {
      KALAM_RETURN_IF_ERROR(CheckCancelled());
      KALAM_RETURN_IF_ERROR(AddFile(entry, folder));
    }
    return {};
  }

  Status AddFile(const files::FileEntry& entry, const std::string& folder) {
    const int64_t size = entry.reference.size_bytes;
    auto bytes = services_.files->Read(entry, 0, std::min(size, kFilePieceBytes));
    // Its row went since the view was taken.
    if (bytes.status().Is(ErrorKind::FileNotFound)) return {};
    KALAM_RETURN_IF_ERROR(bytes.status());
    KALAM_RETURN_IF_ERROR(zip_->BeginEntry(
        fmt::format("{}files/{}/{}", folder, entry.reference.sub, entry.stored_name),
        ZipWriter::Compression::kDeflate));
    for (int64_t at = 0; at < size;) {
      if (at > 0) {
        bytes = services_.files->Read(entry, at, std::min(size - at, kFilePieceBytes));
        KALAM_RETURN_IF_ERROR(bytes.status());
      }
      if (bytes->empty()) return Status(ErrorKind::Corruption, "a file is cut short");
      KALAM_RETURN_IF_ERROR(zip_->Write(*bytes));
      at += static_cast<int64_t>(bytes->size());
    }
    ++summary_.file_count;
    return {};
  }

  const ExportServices& services_;
  const ExportRequest& request_;
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
  std::string folder;
  for (const char c : user_id) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    if (plain) {
      folder += c;
    } else {
      folder += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return fmt::format("{}/exports/{}/{}.zip", data_directory, folder, export_id);
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
