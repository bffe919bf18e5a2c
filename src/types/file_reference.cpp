// See file_reference.h.
#include "types/file_reference.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "types/convert.h"

namespace kalam {
namespace {

// A FileRef has a few hundred bytes; nobody parses megabytes of somebody's text for an id.
constexpr size_t kCellBytesMax = 16 << 10;

}  // namespace

std::string FormatFileReference(const FileReference& reference) {
  std::string json = fmt::format(R"({{"id":"{}","sub":)", reference.id);
  AppendJsonString(reference.sub, &json);
  json += ",\"name\":";
  AppendJsonString(reference.name, &json);
  fmt::format_to(std::back_inserter(json), ",\"size\":{},\"mime\":", reference.size_bytes);
  AppendJsonString(reference.mime, &json);
  json += ",\"sha256\":";
  AppendJsonString(reference.sha256, &json);
  json += '}';
  return json;
}

std::optional<int64_t> FileIdOf(std::string_view cell) {
  if (cell.size() > kCellBytesMax || !cell.starts_with('{')) return std::nullopt;
  const auto json = nlohmann::json::parse(cell, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto id = json.find("id");
  if (id == json.end() || !id->is_string()) return std::nullopt;
  const std::string& text = id->get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0) return std::nullopt;
  return number;
}

}  // namespace kalam
