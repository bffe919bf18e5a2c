// What the settings of a remote storage say: the JSON of CONFIG and CREDENTIALS, and where it is.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "objects/storage_settings.h"

namespace kalam::objects {

/// The keys of both objects as text. Values are never repeated in messages.
class RemoteSettings {
 public:
  /// Errors: InvalidOperation when one is not an object, or holds a key that is not among `known`.
  static Result<RemoteSettings> Parse(const StorageSettings& settings,
                                      std::initializer_list<std::string_view> known);
  /// Empty when it is not given.
  const std::string& text(const std::string& key) const;
  bool flag(const std::string& key) const { return text(key) == "true"; }

 private:
  std::map<std::string, std::string> values_;
};

/// `s3://bucket/some/prefix`, with any of `schemes`.
struct BucketLocation {
  std::string bucket;
  std::string prefix;  // without `/` at either end; may be empty
};
/// Errors: InvalidOperation.
Result<BucketLocation> ParseBucketLocation(const StorageSettings& settings,
                                           std::initializer_list<std::string_view> schemes);

/// An endpoint as configured.
struct Endpoint {
  std::string scheme;  // "https"
  std::string host;    // with a port, if one was given
  std::string path;    // "" or "/account": before every path
};
/// Errors: InvalidOperation (no URL; http without "allow_http").
Result<Endpoint> ParseEndpoint(const StorageSettings& settings, const RemoteSettings& remote,
                               std::string_view url);

}  // namespace kalam::objects
