// Rows of one scope into Parquet and CSV, and the files beside them.
#include "exports/scope_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/optional_charge.h"
#include "tables/row.h"
#include "types/convert.h"

namespace kalam::exports {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFilePieceBytes = 256 << 10;
constexpr size_t kCsvPieceBytes = 64 << 10;
// Row groups, from the largest to what is tried when the engine has no memory for larger ones.
constexpr int64_t kRowGroups[] = {16'384, 2048, 256, 32};
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

/// Whether the file was still there.
Result<bool> AddFile(const ArchiveWork& work, const files::FileEntry& entry,
                     const std::string& folder, ZipWriter& zip) {
  const int64_t size = entry.reference.size_bytes;
  auto bytes = work.services.files->Read(entry, 0, std::min(size, kFilePieceBytes));
  // Its row went since the view was taken.
  if (bytes.status().Is(ErrorKind::FileNotFound)) return false;
  KALAM_RETURN_IF_ERROR(bytes.status());
  KALAM_RETURN_IF_ERROR(
      zip.BeginEntry(fmt::format("{}{}/{}", folder, entry.reference.sub, entry.stored_name),
                     ZipWriter::Compression::kDeflate));
  const MemoryCharge charge = ChargeIfAny(work.memory, static_cast<int64_t>(bytes->capacity()));
  for (int64_t at = 0; at < size;) {
    if (at > 0) {
      bytes = work.services.files->Read(entry, at, std::min(size - at, kFilePieceBytes));
      KALAM_RETURN_IF_ERROR(bytes.status());
    }
    if (bytes->empty()) return Status(ErrorKind::Corruption, "a file is cut short");
    KALAM_RETURN_IF_ERROR(zip.Write(*bytes));
    at += static_cast<int64_t>(bytes->size());
  }
  return true;
}

}  // namespace

ScopeSource::ScopeSource(tables::TableReader& reader, tables::ReadScope scope)
    : reader_(reader), scope_(std::move(scope)), shown_(ShownColumns(*scope_.table)) {
  for (const uint32_t index : shown_) {
    const catalog::ColumnDefinition& column = (*scope_.table->columns)[index];
    schema_.push_back({.name = column.name, .type = column.type});
    field_ids_.push_back(static_cast<int32_t>(column.column_id));
  }
}

Result<std::unique_ptr<tables::ScanPart>> ScopeSource::OpenPart(size_t,
                                                                std::span<const uint32_t> columns,
                                                                std::span<const tables::ScanHint>) {
  std::vector<uint32_t> wanted;
  for (const uint32_t column : columns) wanted.push_back(shown_[column]);
  KALAM_ASSIGN_OR_RETURN(auto scan, reader_.OpenScan(scope_, {}));
  return std::unique_ptr<tables::ScanPart>(
      std::make_unique<ScopeRows>(std::move(scan), scope_.table, std::move(wanted)));
}

Result<std::unique_ptr<tables::ScanPart>> ScopeSource::OpenAll() {
  std::vector<uint32_t> all(shown_.size());
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  return OpenPart(0, all, {});
}

Result<bool> ScopeSource::HasRows() {
  KALAM_ASSIGN_OR_RETURN(const auto rows, OpenAll());
  return rows->Next();
}

Status ArchiveWork::CheckCancelled() const {
  if (!cancelled || !cancelled()) return {};
  return Status(ErrorKind::Cancelled, "The export was cancelled");
}

Result<std::shared_ptr<ScopeSource>> ArchiveWork::FindRows(const catalog::TablePtr& table,
                                                           const storage::Scope& scope) const {
  KALAM_RETURN_IF_ERROR(CheckCancelled());
  auto source = std::make_shared<ScopeSource>(services.reader,
                                              tables::ReadScope{table, scope, view, nullptr});
  KALAM_ASSIGN_OR_RETURN(const bool has_rows, source->HasRows());
  return has_rows ? std::move(source) : nullptr;
}

void ArchiveWork::Report(int64_t row_count, int64_t table_count) const {
  if (report) report(fmt::format("{} rows of {} tables so far", row_count, table_count));
}

Result<std::unique_ptr<WorkFolder>> WorkFolder::Make(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  fs::create_directories(path, error);
  if (!error) return std::make_unique<WorkFolder>(path);
  return Status(ErrorKind::StorageIo, fmt::format("Cannot create {}: {}", path, error.message()));
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Result<int64_t> AddParquet(const ArchiveWork& work, const std::shared_ptr<ScopeSource>& source,
                           const std::string& entry, ZipWriter& zip) {
  analytics::ParquetFile file;
  file.local_path = work.work_folder + "/rows.parquet";
  file.source = source;
  file.field_ids = source->field_ids();
  file.cancelled = work.cancelled;
  Result<analytics::ParquetFileSummary> written = Status(ErrorKind::MemoryExceeded, "");
  for (const int64_t rows : kRowGroups) {
    file.row_group_rows = rows;
    written = work.services.engine.WriteParquet(file);
    if (!written.status().Is(ErrorKind::MemoryExceeded)) break;
  }
  KALAM_RETURN_IF_ERROR(written.status());
  // Its pages are compressed already.
  const Status added = zip.AddFile(entry, file.local_path, ZipWriter::Compression::kStore);
  std::error_code ignored;
  fs::remove(file.local_path, ignored);
  KALAM_RETURN_IF_ERROR(added);
  return written->row_count;
}

Status AddCsv(const ArchiveWork& work, ScopeSource& source, const std::string& entry,
              ZipWriter& zip) {
  KALAM_RETURN_IF_ERROR(zip.BeginEntry(entry, ZipWriter::Compression::kDeflate));
  std::string lines;
  MemoryCharge charge = ChargeIfAny(work.memory);
  for (size_t i = 0; i < source.columns().size(); ++i) {
    if (i > 0) lines += ',';
    AppendCsv(source.columns()[i].name, &lines);
  }
  lines += "\r\n";
  KALAM_ASSIGN_OR_RETURN(const auto rows, source.OpenAll());
  for (int64_t count = 0;; ++count) {
    KALAM_ASSIGN_OR_RETURN(const bool found, rows->Next());
    if (!found) break;
    if (count % kRowsPerPoll == 0) KALAM_RETURN_IF_ERROR(work.CheckCancelled());
    for (size_t i = 0; i < rows->cells().size(); ++i) {
      if (i > 0) lines += ',';
      if (!rows->cells()[i].is_null) AppendCsv(ToText(rows->cells()[i]), &lines);
    }
    lines += "\r\n";
    if (const auto held = static_cast<int64_t>(lines.capacity()); held != charge.bytes())
      charge.Resize(held);
    if (lines.size() < kCsvPieceBytes) continue;
    KALAM_RETURN_IF_ERROR(zip.Write(lines));
    lines.clear();
  }
  return zip.Write(lines);
}

Result<int64_t> AddFiles(const ArchiveWork& work, const files::FileScope& scope,
                         const std::string& folder, ZipWriter& zip) {
  int64_t count = 0;
  if (work.services.files == nullptr) return count;
  std::vector<files::FileEntry> entries;
  size_t entry_bytes = 0;
  KALAM_RETURN_IF_ERROR(work.services.files->List(scope, [&](const files::FileEntry& entry) {
    entries.push_back(entry);
    entry_bytes += sizeof(entry) + entry.path.size() + entry.stored_name.size();
    return true;
  }));
  const MemoryCharge charge = ChargeIfAny(work.memory, static_cast<int64_t>(entry_bytes));
  for (const files::FileEntry& entry : entries) {
    KALAM_RETURN_IF_ERROR(work.CheckCancelled());
    KALAM_ASSIGN_OR_RETURN(const bool added, AddFile(work, entry, folder, zip));
    count += added ? 1 : 0;
  }
  return count;
}

std::string PathPart(std::string_view user_id) {
  std::string part;
  for (const char c : user_id) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    if (plain) {
      part += c;
    } else {
      part += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return part;
}

}  // namespace kalam::exports
