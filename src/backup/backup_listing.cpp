// Reading and writing backup.json.
#include "backup/backup_listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "objects/object_path.h"

namespace kalam::backup {
namespace {

Status Broken(std::string_view what) {
  return Status(ErrorKind::Corruption, fmt::format("backup.json is damaged: {}", what));
}

bool IsSha256(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string Text(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t Number(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : -1;
}

}  // namespace

int64_t MemoryOf(const BackupFile& file) {
  return static_cast<int64_t>(sizeof(file) + file.path.size() + file.stored.size() +
                              file.sha256.size());
}

int64_t MemoryOf(const BackupListing& listing) {
  int64_t bytes = 0;
  for (const BackupFile& file : listing.files) bytes += MemoryOf(file);
  return bytes;
}

std::string EncodeListing(const BackupListing& listing) {
  nlohmann::json files = nlohmann::json::array();
  for (const BackupFile& file : listing.files) {
    files.push_back({{"path", file.path},
                     {"stored", file.stored},
                     {"size", file.size_bytes},
                     {"modified_at_us", file.modified_at_us},
                     {"sha256", file.sha256}});
  }
  const nlohmann::json json = {{"format", kBackupFormat},
                               {"backup_id", listing.backup_id},
                               {"namespace_id", listing.namespace_id},
                               {"created_at_ms", listing.created_at_ms},
                               {"files", std::move(files)}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<BackupListing> DecodeListing(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("files") || !json["files"].is_array()) {
    return Broken("it is not a listing of files");
  }
  if (const int64_t format = Number(json, "format"); format != kBackupFormat) {
    return Status(ErrorKind::NotAvailable,
                  fmt::format("This backup has format {}; this server reads format {}", format,
                              kBackupFormat));
  }
  BackupListing listing{.backup_id = Text(json, "backup_id"),
                        .namespace_id = Text(json, "namespace_id"),
                        .created_at_ms = Number(json, "created_at_ms"),
                        .files = {}};
  for (const auto& entry : json["files"]) {
    if (!entry.is_object()) return Broken("an entry is no object");
    BackupFile file{.path = Text(entry, "path"),
                    .stored = Text(entry, "stored"),
                    .sha256 = Text(entry, "sha256"),
                    .size_bytes = Number(entry, "size"),
                    .modified_at_us = Number(entry, "modified_at_us")};
    const bool is_ours =
        std::any_of(std::begin(kBackupFolders), std::end(kBackupFolders),
                    [&](std::string_view folder) { return file.path.starts_with(folder); });
    if (!is_ours || !objects::CheckObjectPath(file.path).ok() ||
        !objects::CheckObjectPath(file.stored).ok() || !IsSha256(file.sha256) ||
        file.size_bytes < 0) {
      return Broken(fmt::format("the entry of '{}'", file.path));
    }
    listing.files.push_back(std::move(file));
  }
  return listing;
}

}  // namespace kalam::backup
