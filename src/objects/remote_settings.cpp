// Reading the settings of remote storages.
#include "objects/remote_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "objects/object_path.h"

namespace kalam::objects {
namespace {

Status Invalid(const StorageSettings& settings, std::string_view what) {
  return Status(ErrorKind::InvalidOperation,
                fmt::format("Storage '{}': {}", settings.storage_id, what));
}

}  // namespace

Result<RemoteSettings> RemoteSettings::Parse(const StorageSettings& settings,
                                             std::initializer_list<std::string_view> known) {
  RemoteSettings parsed;
  for (const auto& [text, title] : {std::pair(&settings.config_json, "CONFIG"),
                                    std::pair(&settings.credentials_json, "Credentials")}) {
    if (text->empty()) continue;
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    if (!json.is_object()) return Invalid(settings, std::string(title) + " must be a JSON object");
    for (const auto& [key, value] : json.items()) {
      if (key == "type") continue;
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        return Invalid(settings, fmt::format("{} has an unknown key '{}'; known are: {}", title,
                                             key.substr(0, 64), fmt::join(known, ", ")));
      }
      if (!value.is_null()) {
        parsed.values_[key] = value.is_string() ? value.get<std::string>() : value.dump();
      }
    }
  }
  return parsed;
}

const std::string& RemoteSettings::text(const std::string& key) const {
  static const std::string kNone;
  const auto found = values_.find(key);
  return found == values_.end() ? kNone : found->second;
}

Result<BucketLocation> ParseBucketLocation(const StorageSettings& settings,
                                           std::initializer_list<std::string_view> schemes) {
  for (const std::string_view scheme : schemes) {
    if (!settings.base_directory.starts_with(scheme)) continue;
    const std::string_view rest = std::string_view(settings.base_directory).substr(scheme.size());
    const size_t slash = std::min(rest.find('/'), rest.size());
    BucketLocation location{.bucket = std::string(rest.substr(0, slash)), .prefix = ""};
    std::string_view prefix = rest.substr(slash);
    while (prefix.starts_with('/')) prefix.remove_prefix(1);
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (!prefix.empty()) KALAM_RETURN_IF_ERROR(CheckObjectPath(prefix));
    location.prefix = prefix;
    const bool is_name = !location.bucket.empty() && location.bucket.size() <= 255 &&
                         std::all_of(location.bucket.begin(), location.bucket.end(), [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                  (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
                                  c == '$';
                         });
    if (!is_name || location.bucket == "." || location.bucket == "..") break;
    return location;
  }
  return Invalid(settings,
                 fmt::format("its place must be written as {}bucket/prefix", *schemes.begin()));
}

Result<Endpoint> ParseEndpoint(const StorageSettings& settings, const RemoteSettings& remote,
                               std::string_view url) {
  Endpoint endpoint;
  const size_t scheme = url.find("://");
  if (scheme != url.npos) {
    endpoint.scheme = url.substr(0, scheme);
    const std::string_view rest = url.substr(scheme + 3);
    const size_t slash = std::min(rest.find('/'), rest.size());
    endpoint.host = rest.substr(0, slash);
    endpoint.path = rest.substr(slash);
    while (endpoint.path.ends_with('/')) endpoint.path.pop_back();
  }
  const bool is_web = endpoint.scheme == "http" || endpoint.scheme == "https";
  if (!is_web || endpoint.host.empty() || url.find_first_of("?#@ \"<>\\") != url.npos) {
    return Invalid(settings, "endpoint must be a URL like https://host:port");
  }
  if (endpoint.scheme == "http" && !remote.flag("allow_http")) {
    return Invalid(settings,
                   "its endpoint speaks HTTP without TLS; add \"allow_http\": true to CONFIG to "
                   "accept that");
  }
  return endpoint;
}

}  // namespace kalam::objects
