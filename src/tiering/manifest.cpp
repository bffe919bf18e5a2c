// The text of manifest.json.
#include "tiering/manifest.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "base/optional_charge.h"
#include "storage/key_layout.h"
#include "tiering/manifest_reader.h"
#include "types/convert.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

using Json = nlohmann::ordered_json;

/// A value with its type as the key: 64-bit integers as strings, so that no reader rounds them.
Json TaggedScalar(const DataType& type, std::string_view encoded_pk) {
  Arena arena;
  const Result<Datum> value = DecodeKey(type, &encoded_pk, &arena);
  if (!value.ok() || value->is_null) return "Null";
  switch (type.kind) {
    case TypeKind::kBigInt:
      return {{"Int64", std::to_string(value->i)}};
    case TypeKind::kInt:
      return {{"Int32", value->i}};
    case TypeKind::kSmallInt:
      return {{"Int16", value->i}};
    case TypeKind::kBoolean:
      return {{"Boolean", value->i != 0}};
    case TypeKind::kDouble:
      return {{"Float64", value->d}};
    case TypeKind::kFloat:
      return {{"Float32", value->d}};
    case TypeKind::kDate:
      return {{"Date32", value->i}};
    case TypeKind::kTimestamp:
    case TypeKind::kDateTime:
      return {{"TimestampMicrosecond", {{"value", value->i}, {"timezone", nullptr}}}};
    default:
      return {{"Utf8", ToText(*value)}};
  }
}

Json ColumnStats(const catalog::TableDefinition& table, const segments::SegmentRecord& segment) {
  const std::optional<size_t> key = table.PrimaryKey();
  if (!key) return Json::object();
  const catalog::ColumnDefinition& column = (*table.columns)[*key];
  return {{std::to_string(column.column_id),
           {{"min", TaggedScalar(column.type, segment.min_pk)},
            {"max", TaggedScalar(column.type, segment.max_pk)},
            {"null_count", 0}}}};
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

Json SegmentJson(const catalog::TableDefinition& table, const segments::SegmentRecord& segment) {
  return {{"min_seq", segment.min_seq.value},
          {"max_seq", segment.max_seq.value},
          {"row_count", segment.row_count},
          {"size_bytes", segment.size_bytes},
          {"created_at", segment.created_at_us / 1000},
          {"id", segment.FileName()},
          {"path", segment.FileName()},
          {"column_stats", ColumnStats(table, segment)},
          {"schema_version", segment.schema_version},
          {"status", "committed"},
          {"tombstone_count", segment.tombstone_count},
          {"checksum", "xxh3-128:" + Hex(segment.checksum)}};
}

Json FilesJson(const FolderContents& contents) {
  if (!contents.files) return nullptr;
  return {{"subfolder", contents.files->number}, {"count", contents.files->count}};
}

Json VectorIndexesJson(const FolderContents& contents) {
  Json indexes = Json::object();
  for (const FolderContents::VectorIndex& index : contents.vector_indexes) {
    const bool has_snapshot = index.snapshot_version > 0;
    indexes[index.column] = {
        {"column_name", index.column},
        {"enabled", true},
        {"metric", index.metric},
        {"engine", "hnsw"},
        {"dimensions", index.dimension},
        {"snapshot_path", has_snapshot ? Json(index.snapshot_path) : Json(nullptr)},
        {"snapshot_version", index.snapshot_version},
        {"last_applied_seq", index.last_applied.value},
        {"updated_at", index.updated_at_us / 1000},
        {"state", has_snapshot ? "active" : "syncing"}};
  }
  return indexes;
}

/// A manifest without what changes while its segments stay.
Json OfSegments(std::string_view text) {
  Json manifest = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object()) return manifest;
  for (const char* const name : {"files", "vector_indexes", "checksum"}) manifest.erase(name);
  return manifest;
}

}  // namespace

std::string ManifestScope(const segments::SegmentPlace& place) {
  if (place.many) return "_many";
  return place.scope.is_shared() ? "shared" : place.scope.user_id();
}

std::string ManifestCacheKey(const catalog::TableDefinition& table,
                             const segments::SegmentPlace& place) {
  return table.namespace_id + ":" + table.name + ":" + ManifestScope(place);
}

std::string ManifestJson(const catalog::TableDefinition& table,
                         const segments::FolderRecord& folder,
                         const std::vector<segments::SegmentRecord>& segments,
                         const FolderContents& contents) {
  const bool has_user = !folder.place.many && !folder.place.scope.is_shared();
  Json list = Json::array();
  for (const segments::SegmentRecord& segment : segments)
    list.push_back(SegmentJson(table, segment));
  const Json manifest = {
      {"table_id", table.QualifiedName()},
      {"user_id", has_user ? Json(folder.place.scope.user_id()) : Json(nullptr)},
      {"version", folder.manifest_version},
      {"created_at", folder.created_at_us / 1000},
      {"updated_at", folder.updated_at_us / 1000},
      {"segments", std::move(list)},
      {"last_sequence_number", folder.next_batch == 0 ? 0 : folder.next_batch - 1},
      {"files", FilesJson(contents)},
      {"vector_indexes", VectorIndexesJson(contents)}};
  return manifest.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::optional<Manifest>> ReadManifest(const TieringServices& services,
                                             const catalog::TableDefinition& table,
                                             const segments::SegmentPlace& place) {
  const storage::SnapshotPtr snapshot = services.store.TakeSnapshot();
  KALAM_ASSIGN_OR_RETURN(auto folder,
                         segments::ReadFolder(services.store, table.id, place, snapshot));
  if (!folder) return std::optional<Manifest>();
  KALAM_ASSIGN_OR_RETURN(const auto segments,
                         segments::ListSegments(services.store, table.id, place, snapshot));
  Manifest manifest;
  FolderContents contents;
  if (services.contents_of) {
    KALAM_ASSIGN_OR_RETURN(contents, services.contents_of(table, place));
  }
  manifest.json = ManifestJson(table, *folder, segments, contents);
  manifest.etag = fmt::format("{:016x}", XXH3_64bits(manifest.json.data(), manifest.json.size()));
  manifest.folder = *std::move(folder);
  return std::optional<Manifest>(std::move(manifest));
}

Status WriteManifest(const TieringServices& services, const catalog::TableDefinition& table,
                     const segments::SegmentPlace& place, objects::ObjectStorage& storage,
                     MemoryAccount* memory) {
  KALAM_ASSIGN_OR_RETURN(const auto manifest, ReadManifest(services, table, place));
  if (!manifest) return Status::Ok();
  // As it is, and sealed.
  const MemoryCharge charge = ChargeIfAny(memory, 2 * static_cast<int64_t>(manifest->json.size()));
  const std::string path = manifest->folder.folder + "/" + std::string(kManifestFile);
  KALAM_ASSIGN_OR_RETURN(const auto segments,
                         segments::ListSegments(services.store, table.id, place));
  if (segments.empty()) return storage.Delete(path);
  return storage.Put(path, SealManifest(manifest->json));
}

Result<std::string> FindManifestProblem(const TieringServices& services,
                                        const catalog::TableDefinition& table,
                                        const segments::SegmentPlace& place,
                                        objects::ObjectStorage& storage) {
  KALAM_ASSIGN_OR_RETURN(const auto manifest, ReadManifest(services, table, place));
  if (!manifest) return std::string();
  const std::string path = manifest->folder.folder + "/" + std::string(kManifestFile);
  const auto text = storage.Read(path, 0, -1);
  if (text.status().Is(ErrorKind::NotFound)) {
    KALAM_ASSIGN_OR_RETURN(const auto segments,
                           segments::ListSegments(services.store, table.id, place));
    return segments.empty() ? std::string() : std::string("is missing");
  }
  KALAM_RETURN_IF_ERROR(text.status());
  const Result<ManifestCopy> copy = ParseManifest(*text);
  if (!copy.ok()) return copy.status().message();
  if (OfSegments(*text) == OfSegments(manifest->json)) return std::string();
  return fmt::format("is out of date: it has version {}, the index {}", copy->version,
                     manifest->folder.manifest_version);
}

}  // namespace kalam::tiering
