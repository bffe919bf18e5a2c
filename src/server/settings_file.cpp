// Reads server.toml, the environment and the command line into Settings.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/settings.h"

// toml++ asserts, and in optimised builds assumes, what a malformed file can break; without that it
// comes to the place where it reports the error.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace kalam::server {

namespace {

std::string TypeText(SettingType type) {
  switch (type) {
    case SettingType::kBoolean:
      return "true or false";
    case SettingType::kInteger:
      return "an integer";
    case SettingType::kBytes:
      return "a number of bytes such as 1048576 or \"1MiB\"";
    case SettingType::kText:
      return "a text";
    case SettingType::kTextList:
      return "a list of texts";
    case SettingType::kTextMap:
      return "a table of texts";
  }
  return {};
}

}  // namespace

// Walks a parsed file and fills Settings; collects warnings.
class SettingsReader {
 public:
  SettingsReader(LoadedSettings& loaded) : loaded_(loaded) {}

  Status Walk(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string name =
          prefix.empty() ? Canonical(key.str()) : prefix + "." + std::string(key.str());
      const SettingKey* known = Lookup(name);
      if (known != nullptr) {
        if (Status status = Take(*known, name, node); !status.ok()) return status;
      } else if (const toml::table* inner = node.as_table(); inner != nullptr && IsSection(name)) {
        loaded_.settings.sections_.push_back(name);
        if (Status status = Walk(*inner, name); !status.ok()) return status;
      } else {
        return Status(ErrorKind::Config,
                      fmt::format("{}: unknown key {}; the nearest known one is {}", Place(node),
                                  name, NearestSettingName(name)));
      }
    }
    return Status::Ok();
  }

 private:
  // [authentication] is an older name of [auth].
  static std::string Canonical(std::string_view top) {
    return top == "authentication" ? std::string("auth") : std::string(top);
  }

  static const SettingKey* Lookup(const std::string& name) {
    for (const SettingKey& key : SettingKeys()) {
      if (NameMatches(key, name)) return &key;
    }
    return nullptr;
  }

  // True when some key lies below `name`; alternatives are expanded by trying the first word of
  // each group.
  static bool IsSection(const std::string& name) {
    for (const SettingKey& key : SettingKeys()) {
      if (key.name.starts_with(name + ".")) return true;
      const size_t open = key.name.find('{');
      if (open == std::string_view::npos ||
          !std::string_view(name).starts_with(key.name.substr(0, open))) {
        continue;
      }
      const size_t close = key.name.find('}', open);
      if (close + 1 == key.name.size()) continue;
      std::string_view words = key.name.substr(open + 1, close - open - 1);
      const std::string_view rest = std::string_view(name).substr(open);
      while (!words.empty()) {
        const size_t comma = std::min(words.find(','), words.size());
        if (words.substr(0, comma) == rest) return true;
        words.remove_prefix(std::min(comma + 1, words.size()));
      }
    }
    return false;
  }

  std::string Place(const toml::node& node) const {
    return fmt::format("{}, line {}", loaded_.path, node.source().begin.line);
  }

  Status Take(const SettingKey& key, const std::string& name, const toml::node& node) {
    if (key.status == SettingStatus::kRetired) {
      loaded_.warnings.push_back(
          fmt::format("{}: {} has no effect any more: {}", Place(node), name, key.help));
      return Status::Ok();
    }
    Settings::Value value;
    value.origin = SettingOrigin::kFile;
    if (!Convert(key, node, &value)) {
      return Status(ErrorKind::Config,
                    fmt::format("{}: {} must be {}", Place(node), name, TypeText(key.type)));
    }
    Status status = loaded_.settings.Assign(key, std::move(value));
    if (!status.ok()) return std::move(status).WithContext(Place(node));
    return status;
  }

  static bool Convert(const SettingKey& key, const toml::node& node, Settings::Value* value) {
    switch (key.type) {
      case SettingType::kBoolean:
        if (!node.is_boolean()) return false;
        value->flag = node.as_boolean()->get();
        return true;
      case SettingType::kBytes:
        if (node.is_string()) {
          const std::optional<int64_t> bytes = ParseByteSize(node.as_string()->get());
          value->number = bytes.value_or(0);
          return bytes.has_value();
        }
        [[fallthrough]];
      case SettingType::kInteger:
        if (!node.is_integer()) return false;
        value->number = node.as_integer()->get();
        return true;
      case SettingType::kText:
        if (!node.is_string()) return false;
        value->text = node.as_string()->get();
        return true;
      case SettingType::kTextList:
        return ConvertList(node, value);
      case SettingType::kTextMap:
        return ConvertMap(node, value);
    }
    return false;
  }

  // A list, or (as older files write it) one text with commas.
  static bool ConvertList(const toml::node& node, Settings::Value* value) {
    if (node.is_string()) {
      std::stringstream parts(node.as_string()->get());
      for (std::string part; std::getline(parts, part, ',');) {
        const size_t begin = part.find_first_not_of(' ');
        if (begin == std::string::npos) continue;
        value->list.push_back(part.substr(begin, part.find_last_not_of(' ') - begin + 1));
      }
      return true;
    }
    const toml::array* array = node.as_array();
    if (array == nullptr) return false;
    for (const toml::node& element : *array) {
      if (!element.is_string()) return false;
      value->list.push_back(element.as_string()->get());
    }
    return true;
  }

  static bool ConvertMap(const toml::node& node, Settings::Value* value) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return false;
    for (const auto& [name, element] : *table) {
      if (!element.is_string()) return false;
      value->map.emplace(std::string(name.str()), element.as_string()->get());
    }
    return true;
  }

  LoadedSettings& loaded_;
};

Result<LoadedSettings> ParseSettings(std::string_view toml_text, const std::string& path) {
  LoadedSettings loaded;
  loaded.path = path;
  const toml::parse_result parsed = toml::parse(toml_text);
  if (!parsed) {
    return Status(ErrorKind::Config,
                  fmt::format("{}, line {}: {}", path, parsed.error().source().begin.line,
                              std::string(parsed.error().description())));
  }
  SettingsReader reader(loaded);
  if (Status status = reader.Walk(parsed.table(), ""); !status.ok()) return status;
  return loaded;
}

namespace {

Status TakeEnvironment(const Environment& environment, LoadedSettings* loaded) {
  for (const SettingKey& key : SettingKeys()) {
    std::string_view names = key.environment;
    while (!names.empty()) {
      const size_t comma = std::min(names.find(','), names.size());
      const std::string variable = "KALAMDB_" + std::string(names.substr(0, comma));
      names.remove_prefix(std::min(comma + 1, names.size()));
      const std::optional<std::string> text = environment(variable);
      if (!text) continue;
      if (key.status == SettingStatus::kRetired) {
        loaded->warnings.push_back(
            fmt::format("{} has no effect any more: {}", variable, key.help));
        break;
      }
      Status status = loaded->settings.SetFromText(key, *text, SettingOrigin::kEnvironment);
      if (!status.ok()) return std::move(status).WithContext(variable);
      break;
    }
  }
  return Status::Ok();
}

Status TakeOption(std::string_view name, const std::optional<std::string>& text,
                  Settings* settings) {
  if (!text) return Status::Ok();
  for (const SettingKey& key : SettingKeys()) {
    if (key.name == name) return settings->SetFromText(key, *text, SettingOrigin::kCommandLine);
  }
  return Status::Ok();
}

}  // namespace

Result<LoadedSettings> LoadSettings(const CommandLine& command_line,
                                    const Environment& environment) {
  std::string path;
  if (command_line.config_path) {
    path = *command_line.config_path;
  } else if (std::error_code error; std::filesystem::exists("server.toml", error)) {
    path = "server.toml";
  }
  LoadedSettings loaded;
  if (!path.empty()) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream content;
    if (!file || !(content << file.rdbuf())) {
      std::error_code error;
      if (!file || std::filesystem::file_size(path, error) != 0 || error) {
        return Status(ErrorKind::Config,
                      fmt::format("cannot read the configuration file {}", path));
      }
    }
    KALAM_ASSIGN_OR_RETURN(loaded, ParseSettings(content.str(), path));
  }
  KALAM_RETURN_IF_ERROR(TakeEnvironment(environment, &loaded));
  KALAM_RETURN_IF_ERROR(TakeOption("server.host", command_line.host, &loaded.settings));
  KALAM_RETURN_IF_ERROR(TakeOption("server.port", command_line.port, &loaded.settings));
  KALAM_RETURN_IF_ERROR(
      TakeOption("storage.data_path", command_line.data_directory, &loaded.settings));
  return loaded;
}

}  // namespace kalam::server
