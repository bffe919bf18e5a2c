// The one declaration of every configuration key: parsing, checks, example file, documents and
// system.settings come from it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace kalam::server {

/// How the value of a key is written in TOML.
enum class SettingType : uint8_t {
  kBoolean,
  kInteger,
  kBytes,  // an integer, or a text such as "64MiB"
  kText,
  kTextList,
  kTextMap,  // a table of texts
};

enum class SettingStatus : uint8_t {
  kActive,
  kRetired,  // known from older files: accepted with a warning, without effect
};

/// One key. `name` may hold one alternative group, "oauth.providers.{google,github}.issuer".
struct SettingKey {
  std::string_view name;
  SettingType type = SettingType::kText;
  std::string_view default_value;  // as TOML without quotes; lists as comma-separated texts
  int64_t minimum = 0;             // kInteger, kBytes
  int64_t maximum = 0;
  std::string_view choices;  // kText: allowed words separated by '|', empty for any
  std::string_view
      environment;  // variable names without KALAMDB_, the preferred one first, separated by ','
  SettingStatus status = SettingStatus::kActive;
  bool secret = false;  // never shown
  std::string_view help;
};

/// All keys, grouped by section in the order of the documents.
std::span<const SettingKey> SettingKeys();

/// The first part of a name: "server" of "server.port"; empty for a top-level key.
std::string_view SectionOf(std::string_view name);

/// True when `key.name` (with its alternatives) stands for `name`.
bool NameMatches(const SettingKey& key, std::string_view name);

}  // namespace kalam::server
