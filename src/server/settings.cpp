// Values of the configuration: defaults, checks of single values, rules across keys.
#include "server/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <span>

#include "base/check.h"

namespace kalam::server {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> ParseFlag(std::string_view text) {
  const std::string lower = Lower(text);
  if (lower == "true" || lower == "1" || lower == "yes" || lower == "on") return true;
  if (lower == "false" || lower == "0" || lower == "no" || lower == "off") return false;
  return std::nullopt;
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = Trim(text.substr(0, comma));
    if (!part.empty()) list.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

std::string JoinWords(std::string_view choices) {
  std::string joined;
  for (const char c : choices) {
    if (c == '|') {
      joined += ", ";
    } else {
      joined += c;
    }
  }
  return joined;
}

bool HasWord(std::string_view choices, std::string_view word) {
  while (!choices.empty()) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, bar) == word) return true;
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return false;
}

// Secrets that older example files shipped: a server that is reachable must not run with one.
constexpr std::string_view kKnownSecrets[] = {
    "CHANGE_ME_IN_PRODUCTION", "kalamdb-dev-secret-key-change-in-production",
    "your-secret-key-at-least-32-chars-change-me-in-production", "secret", "changeme"};

}  // namespace

std::optional<int64_t> ParseByteSize(std::string_view text) {
  text = Trim(text);
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  const std::optional<int64_t> number = ParseInteger(text.substr(0, digits));
  if (!number) return std::nullopt;
  const std::string unit = Lower(Trim(text.substr(digits)));
  struct Unit {
    std::string_view name;
    int64_t factor;
  };
  static constexpr Unit kUnits[] = {{"", 1},          {"b", 1},           {"kb", 1000},
                                    {"mb", 1000000},  {"gb", 1000000000}, {"kib", 1 << 10},
                                    {"mib", 1 << 20}, {"gib", 1 << 30}};
  for (const Unit& candidate : kUnits) {
    int64_t bytes = 0;
    if (candidate.name == unit && !__builtin_mul_overflow(*number, candidate.factor, &bytes)) {
      return bytes;
    }
  }
  return std::nullopt;
}

Settings::Settings() {
  const std::span<const SettingKey> keys = SettingKeys();
  values_.resize(keys.size());
  for (const SettingKey& key : keys) {
    if (key.status == SettingStatus::kRetired || key.type == SettingType::kTextMap) continue;
    KALAM_CHECK(SetFromText(key, key.default_value, SettingOrigin::kDefault).ok());
  }
}

const Settings::Value& Settings::Find(std::string_view name, SettingType type) const {
  const std::span<const SettingKey> keys = SettingKeys();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].name != name) continue;
    const bool same = keys[i].type == type ||
                      (type == SettingType::kInteger && keys[i].type == SettingType::kBytes);
    KALAM_CHECK(same && keys[i].status == SettingStatus::kActive);
    return values_[i];
  }
  CheckFailed(__FILE__, __LINE__, "a configuration key that is not in the table");
}

bool Settings::flag(std::string_view name) const { return Find(name, SettingType::kBoolean).flag; }
int64_t Settings::number(std::string_view name) const {
  return Find(name, SettingType::kInteger).number;
}
const std::string& Settings::text(std::string_view name) const {
  return Find(name, SettingType::kText).text;
}
const std::vector<std::string>& Settings::list(std::string_view name) const {
  return Find(name, SettingType::kTextList).list;
}
const std::map<std::string, std::string>& Settings::map(std::string_view name) const {
  return Find(name, SettingType::kTextMap).map;
}

SettingOrigin Settings::origin(std::string_view name) const {
  const std::span<const SettingKey> keys = SettingKeys();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].name == name) return values_[i].origin;
  }
  return SettingOrigin::kDefault;
}

bool Settings::has_section(std::string_view section) const {
  return std::find(sections_.begin(), sections_.end(), section) != sections_.end();
}

Status Settings::Assign(const SettingKey& key, Value value) {
  const bool is_number = key.type == SettingType::kInteger || key.type == SettingType::kBytes;
  if (is_number && (value.number < key.minimum || value.number > key.maximum)) {
    if (key.maximum == std::numeric_limits<int64_t>::max()) {
      return Status(ErrorKind::Config,
                    fmt::format("{} must be at least {}: {}", key.name, key.minimum, value.number));
    }
    return Status(ErrorKind::Config, fmt::format("{} must be between {} and {}: {}", key.name,
                                                 key.minimum, key.maximum, value.number));
  }
  if (!key.choices.empty() && !HasWord(key.choices, value.text)) {
    return Status(ErrorKind::Config, fmt::format("{} must be one of {}: {}", key.name,
                                                 JoinWords(key.choices), value.text));
  }
  values_[static_cast<size_t>(&key - SettingKeys().data())] = std::move(value);
  return Status::Ok();
}

Status Settings::SetFromText(const SettingKey& key, std::string_view text, SettingOrigin origin) {
  Value value;
  value.origin = origin;
  switch (key.type) {
    case SettingType::kBoolean: {
      const std::optional<bool> flag = ParseFlag(Trim(text));
      if (!flag) {
        return Status(ErrorKind::Config,
                      fmt::format("{} must be true or false: {}", key.name, text));
      }
      value.flag = *flag;
      break;
    }
    case SettingType::kInteger:
    case SettingType::kBytes: {
      const std::optional<int64_t> number =
          key.type == SettingType::kBytes ? ParseByteSize(text) : ParseInteger(Trim(text));
      if (!number) {
        return Status(ErrorKind::Config,
                      fmt::format("{} must be {}: {}", key.name,
                                  key.type == SettingType::kBytes
                                      ? "a number of bytes such as 1048576 or \"1MiB\""
                                      : "an integer",
                                  text));
      }
      value.number = *number;
      break;
    }
    case SettingType::kText:
      value.text = key.choices.empty() ? std::string(text) : Lower(Trim(text));
      break;
    case SettingType::kTextList:
      value.list = SplitList(text);
      break;
    case SettingType::kTextMap:
      return Status(ErrorKind::Config, fmt::format("{} can only be set in the file", key.name));
  }
  return Assign(key, std::move(value));
}

std::string Settings::ShownValue(const SettingKey& key) const {
  const Value& value = values_[static_cast<size_t>(&key - SettingKeys().data())];
  if (key.secret) return value.text.empty() ? "" : "***";
  switch (key.type) {
    case SettingType::kBoolean:
      return value.flag ? "true" : "false";
    case SettingType::kInteger:
    case SettingType::kBytes:
      return std::to_string(value.number);
    case SettingType::kText:
      return value.text;
    case SettingType::kTextList:
      return fmt::format("{}", fmt::join(value.list, ","));
    case SettingType::kTextMap: {
      std::string shown;
      for (const auto& [name, text] : value.map) {
        shown += fmt::format("{}{}={}", shown.empty() ? "" : ",", name, text);
      }
      return shown;
    }
  }
  return {};
}

std::string LogDirectory(const Settings& settings) {
  const std::string& configured = settings.text("logging.logs_path");
  return configured.empty() ? settings.text("storage.data_path") + "/logs" : configured;
}

bool IsLoopbackHost(std::string_view host) {
  return host == "127.0.0.1" || host == "::1" || host == "localhost";
}

Status CheckStartupSafety(const Settings& settings, std::string_view jwt_secret,
                          std::vector<std::string>* warnings) {
  const bool local = IsLoopbackHost(settings.text("server.host"));
  const bool known = std::find(std::begin(kKnownSecrets), std::end(kKnownSecrets), jwt_secret) !=
                     std::end(kKnownSecrets);
  if (jwt_secret.size() < 32 || known) {
    const std::string problem =
        known ? "auth.jwt_secret is a published default; set a secret of your own or leave it empty"
              : "auth.jwt_secret is shorter than 32 characters; set a longer one or leave it empty";
    if (!local) return Status(ErrorKind::Config, problem);
    warnings->push_back(problem);
  }
  const std::vector<std::string>& origins = settings.list("security.cors.allowed_origins");
  const bool any_origin =
      origins.empty() || std::find(origins.begin(), origins.end(), "*") != origins.end();
  if (origins.empty() && !local) {
    return Status(
        ErrorKind::Config,
        fmt::format("security.cors.allowed_origins must name the allowed origins when the "
                    "server listens on {}; use [\"*\"] to allow any",
                    settings.text("server.host")));
  }
  if (any_origin && !local) warnings->push_back("security.cors.allowed_origins allows any origin");
  const bool has_cert = !settings.text("server.tls.cert").empty();
  const bool has_key = !settings.text("server.tls.key").empty();
  if (has_cert != has_key) {
    return Status(ErrorKind::Config, "server.tls.cert and server.tls.key must be set together");
  }
  const int64_t default_limit = settings.number("limits.default_query_limit");
  const int64_t max_limit = settings.number("limits.max_query_limit");
  if (max_limit != 0 && default_limit > max_limit) {
    return Status(
        ErrorKind::Config,
        fmt::format("limits.default_query_limit ({}) must not exceed limits.max_query_limit ({})",
                    default_limit, max_limit));
  }
  if (settings.number("websocket.heartbeat_interval_secs") >=
      settings.number("websocket.client_timeout_secs")) {
    return Status(
        ErrorKind::Config,
        "websocket.heartbeat_interval_secs must be less than websocket.client_timeout_secs");
  }
  return Status::Ok();
}

std::string NearestSettingName(std::string_view name) {
  // Levenshtein's distance with two rows.
  const auto distance = [&name](std::string_view other) {
    std::vector<size_t> previous(other.size() + 1), current(other.size() + 1);
    for (size_t j = 0; j <= other.size(); ++j) previous[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      current[0] = i;
      for (size_t j = 1; j <= other.size(); ++j) {
        const size_t replaced = previous[j - 1] + (name[i - 1] == other[j - 1] ? 0 : 1);
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replaced});
      }
      std::swap(previous, current);
    }
    return previous[other.size()];
  };
  std::string_view nearest;
  size_t nearest_distance = std::string_view::npos;
  for (const SettingKey& key : SettingKeys()) {
    if (key.name.find('{') != std::string_view::npos) continue;
    const size_t found = distance(key.name);
    if (found < nearest_distance) {
      nearest_distance = found;
      nearest = key.name;
    }
  }
  return std::string(nearest);
}

}  // namespace kalam::server
