// A manifest is taken whole or not at all: its checksum covers every byte before it.
#include "tiering/manifest_reader.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "segments/segment_rebuild.h"
#include "tiering/manifest.h"

namespace kalam::tiering {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSealBegin = R"(,"checksum":"xxh3-128:)";
constexpr std::string_view kSealEnd = R"("})";
constexpr std::string_view kChecksumKind = "xxh3-128:";
constexpr size_t kHexDigits = 32;
constexpr size_t kSealSize = kSealBegin.size() + kHexDigits + kSealEnd.size();

Status Damaged(std::string reason) { return {ErrorKind::Corruption, std::move(reason)}; }

/// The canonical bytes of a hash, most significant first, as hex digits.
std::string HexOfHash(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::optional<std::string> BytesOfHex(std::string_view digits) {
  if (digits.size() != kHexDigits) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    unsigned char byte = 0;
    const auto [end, error] = std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
    if (error != std::errc() || end != digits.data() + i + 2) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

/// The text that was sealed. Errors: Corruption.
Result<std::string> OpenSeal(std::string_view text) {
  if (text.size() <= kSealSize || !text.ends_with(kSealEnd))
    return Damaged("is cut off or was written by an older version: it does not end in a checksum");
  const std::string_view seal = text.substr(text.size() - kSealSize);
  if (!seal.starts_with(kSealBegin))
    return Damaged("is cut off or was written by an older version: it does not end in a checksum");
  std::string sealed(text.substr(0, text.size() - kSealSize));
  sealed += '}';
  if (seal.substr(kSealBegin.size(), kHexDigits) != HexOfHash(sealed))
    return Damaged("does not match its checksum");
  return sealed;
}

/// A member that must be there and be a number of at least 0.
template <typename T>
bool TakeNumber(const Json& object, const char* name, T* number) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return false;
  if (!found->is_number_unsigned() && found->template get<int64_t>() < 0) return false;
  *number = found->template get<T>();
  return true;
}

bool TakeText(const Json& object, const char* name, std::string* text) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return false;
  *text = found->get<std::string>();
  return true;
}

Result<ListedSegment> TakeSegment(const Json& json) {
  ListedSegment segment;
  std::string checksum;
  if (!json.is_object() || !TakeText(json, "path", &segment.file_name) ||
      !TakeText(json, "checksum", &checksum) ||
      !TakeNumber(json, "row_count", &segment.row_count) ||
      !TakeNumber(json, "size_bytes", &segment.size_bytes)) {
    return Damaged("lacks a field of a segment");
  }
  const auto batch = segments::BatchOfFileName(segment.file_name);
  if (!batch) return Damaged("names a file that is none of a segment");
  segment.batch = *batch;
  const auto bytes = checksum.starts_with(kChecksumKind)
                         ? BytesOfHex(std::string_view(checksum).substr(kChecksumKind.size()))
                         : std::nullopt;
  if (!bytes) return Damaged("has a checksum that is none for " + segment.file_name);
  segment.checksum = *bytes;
  return segment;
}

}  // namespace

const ListedSegment* ManifestCopy::Find(uint64_t batch) const {
  const auto found = std::find_if(segments.begin(), segments.end(),
                                  [&](const ListedSegment& each) { return each.batch == batch; });
  return found == segments.end() ? nullptr : &*found;
}

std::string SealManifest(std::string json) {
  const std::string hex = HexOfHash(json);
  json.pop_back();
  json += kSealBegin;
  json += hex;
  json += kSealEnd;
  return json;
}

Result<ManifestCopy> ParseManifest(std::string_view text) {
  KALAM_ASSIGN_OR_RETURN(const std::string sealed, OpenSeal(text));
  const Json json = Json::parse(sealed, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Damaged("is no JSON object");
  ManifestCopy manifest;
  const auto user = json.find("user_id");
  const auto list = json.find("segments");
  if (!TakeText(json, "table_id", &manifest.table_name) ||
      !TakeNumber(json, "version", &manifest.version) ||
      !TakeNumber(json, "last_sequence_number", &manifest.last_batch) || user == json.end() ||
      !(user->is_null() || user->is_string()) || list == json.end() || !list->is_array()) {
    return Damaged("lacks a field");
  }
  if (user->is_string()) manifest.user_id = user->get<std::string>();
  std::set<uint64_t> batches;
  for (const Json& each : *list) {
    KALAM_ASSIGN_OR_RETURN(ListedSegment segment, TakeSegment(each));
    if (!batches.insert(segment.batch).second)
      return Damaged("lists " + segment.file_name + " twice");
    manifest.segments.push_back(std::move(segment));
  }
  return manifest;
}

Result<ManifestCopy> ReadManifestFile(objects::ObjectStorage& storage, const std::string& folder) {
  auto text = storage.Read(folder + "/" + std::string(kManifestFile), 0, -1);
  if (text.status().Is(ErrorKind::NotFound)) return Status(ErrorKind::NotFound, "is missing");
  KALAM_RETURN_IF_ERROR(text.status());
  return ParseManifest(*text);
}

}  // namespace kalam::tiering
