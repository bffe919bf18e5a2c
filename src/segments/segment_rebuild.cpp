// Reading keys back out of segment files.
#include "segments/segment_rebuild.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "base/optional_charge.h"
#include "segments/parquet_chunk.h"
#include "segments/segment_file.h"

namespace kalam::segments {
namespace {

constexpr std::string_view kPrefix = "batch-";
constexpr std::string_view kSuffix = ".parquet";

/// A number that takes up the whole text.
template <typename T>
bool ParseNumber(std::string_view text, T* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

Result<ParquetFooter> ReadFooter(objects::ObjectStorage& storage, const std::string& path) {
  KALAM_ASSIGN_OR_RETURN(objects::ObjectEntry entry, storage.Stat(path));
  const int64_t size = entry.size_bytes;
  if (size <= kParquetTailBytes) return Status(ErrorKind::Corruption, "it is too short");
  KALAM_ASSIGN_OR_RETURN(std::string tail,
                         storage.Read(path, size - kParquetTailBytes, kParquetTailBytes));
  KALAM_ASSIGN_OR_RETURN(int64_t footer_size, ParquetFooterSize(tail, size));
  KALAM_ASSIGN_OR_RETURN(std::string bytes,
                         storage.Read(path, size - kParquetTailBytes - footer_size, footer_size));
  return ParseParquetFooter(bytes, size);
}

/// What the metadata of the file says of its table. Errors: Corruption.
Result<uint32_t> SchemaVersionOf(const ParquetFooter& footer,
                                 const catalog::TableDefinition& table) {
  uint32_t schema_version = 0;
  const auto id = footer.metadata.find(std::string(kTableIdMetadata));
  const auto version = footer.metadata.find(std::string(kSchemaVersionMetadata));
  if (id == footer.metadata.end() || version == footer.metadata.end() ||
      !ParseNumber(version->second, &schema_version)) {
    return Status(ErrorKind::Corruption, "it does not say which table it belongs to");
  }
  if (id->second != std::to_string(table.id.value) && id->second != table.QualifiedName()) {
    return Status(ErrorKind::Corruption, "it belongs to the table " + id->second);
  }
  return schema_version;
}

/// Decodes the columns of one row group that keys and order are made of.
Result<GroupColumns> ReadKeys(objects::ObjectStorage& storage, const std::string& path,
                              const std::shared_ptr<const SegmentFile>& file, size_t group) {
  GroupColumns columns{file, group, {}};
  columns.columns.resize(file->footer.columns.size());
  const SegmentColumns& shape = file->columns;
  std::vector<uint32_t> wanted{shape.cells[shape.pk_cell].column, shape.seq_column,
                               shape.deleted_column};
  if (shape.user_column) wanted.push_back(*shape.user_column);
  const ParquetRowGroup& written = file->footer.row_groups[group];
  Decompressor decompressor;
  for (uint32_t column : wanted) {
    const ParquetChunk& chunk = written.chunks[column];
    KALAM_ASSIGN_OR_RETURN(std::string bytes, storage.Read(path, chunk.offset, chunk.size));
    KALAM_ASSIGN_OR_RETURN(columns.columns[column],
                           DecodeChunk(file->footer.columns[column], chunk, bytes,
                                       written.row_count, 0, decompressor));
    if (columns.columns[column]->has_nulls()) {
      return Status(ErrorKind::Corruption,
                    "its column " + file->footer.columns[column].name + " has a NULL");
    }
  }
  return columns;
}

Result<BuiltSegment> Rebuild(objects::ObjectStorage& storage, const std::string& path,
                             const catalog::TablePtr& table, const SegmentPlace& place,
                             std::string_view expected_checksum, MemoryAccount* memory) {
  auto file = std::make_shared<SegmentFile>();
  KALAM_ASSIGN_OR_RETURN(file->footer, ReadFooter(storage, path));
  KALAM_ASSIGN_OR_RETURN(uint32_t schema_version, SchemaVersionOf(file->footer, *table));
  KALAM_ASSIGN_OR_RETURN(file->columns,
                         MapColumns(*table, schema_version, place.many, file->footer));
  file->record.place = place;
  for (const ParquetRowGroup& group : file->footer.row_groups) {
    file->groups.push_back({"", group.row_count, {}, {}, {}});
  }
  if (file->groups.empty()) return Status(ErrorKind::Corruption, "it has no rows");
  SegmentBuilderOptions options{table, place, file->groups.front().row_count, schema_version,
                                memory};
  SegmentBuilder builder(std::move(options));
  MemoryCharge keys_charge = ChargeIfAny(memory);
  std::string key;
  for (size_t group = 0; group < file->groups.size(); ++group) {
    KALAM_ASSIGN_OR_RETURN(GroupColumns columns, ReadKeys(storage, path, file, group));
    keys_charge.Resize(static_cast<int64_t>(columns.memory_bytes()));
    for (size_t row = 0; row < columns.row_count(); ++row) {
      columns.Key(row, &key);
      storage::Scope scope;
      std::string_view encoded_pk;
      if (!ParseSegmentKey(key, &scope, &encoded_pk)) {
        return Status(ErrorKind::Corruption, "one of its rows has no key");
      }
      KALAM_RETURN_IF_ERROR(builder.Add(scope, encoded_pk, columns.seq(row), columns.deleted(row)));
    }
  }
  KALAM_ASSIGN_OR_RETURN(BuiltSegment built, builder.Finish(storage, path));
  if (!expected_checksum.empty() && built.record.checksum != expected_checksum)
    return Status(ErrorKind::Corruption, "it does not match its checksum in manifest.json");
  return built;
}

}  // namespace

std::optional<uint64_t> BatchOfFileName(std::string_view file_name) {
  if (file_name.size() < kPrefix.size() + kSuffix.size() || !file_name.starts_with(kPrefix) ||
      !file_name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  file_name.remove_prefix(kPrefix.size());
  file_name.remove_suffix(kSuffix.size());
  uint64_t batch = 0;
  return ParseNumber(file_name, &batch) ? std::optional(batch) : std::nullopt;
}

Result<std::vector<FoundBatch>> FindBatches(objects::ObjectStorage& storage,
                                            const std::string& folder) {
  std::vector<FoundBatch> found;
  KALAM_RETURN_IF_ERROR(
      storage.List(folder + "/" + std::string(kPrefix), [&](const objects::ObjectEntry& entry) {
        const auto batch = BatchOfFileName(std::string_view(entry.path).substr(folder.size() + 1));
        if (batch) found.push_back({*batch, entry.path, entry.size_bytes});
        return true;
      }));
  std::sort(found.begin(), found.end(),
            [](const FoundBatch& a, const FoundBatch& b) { return a.batch < b.batch; });
  return found;
}

Result<std::string> TableOfFile(objects::ObjectStorage& storage, const std::string& path) {
  KALAM_ASSIGN_OR_RETURN(const ParquetFooter footer, ReadFooter(storage, path));
  const auto found = footer.metadata.find(std::string(kTableIdMetadata));
  if (found == footer.metadata.end())
    return Status(ErrorKind::Corruption, "it does not say which table it belongs to");
  return found->second;
}

Result<BuiltSegment> RebuildSegment(objects::ObjectStorage& storage, const std::string& path,
                                    const catalog::TablePtr& table, const SegmentPlace& place,
                                    std::string_view expected_checksum, MemoryAccount* memory) {
  Result<BuiltSegment> built = Rebuild(storage, path, table, place, expected_checksum, memory);
  if (built.ok() || built.status().Is(ErrorKind::StorageIo)) return built;
  return Status(ErrorKind::Corruption, "segment " + path + " of table " + table->QualifiedName() +
                                           ": " + built.status().message());
}

}  // namespace kalam::segments
