// What is written from the table of keys: the example file, the reference document and the rows of
// system.settings.
#include <fmt/format.h>

#include "server/settings.h"

namespace kalam::server {
namespace {

std::string QuotedList(std::string_view text) {
  std::string quoted = "[";
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    quoted += fmt::format("{}\"{}\"", quoted.size() > 1 ? ", " : "", text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return quoted + "]";
}

std::string DefaultAsToml(const SettingKey& key) {
  switch (key.type) {
    case SettingType::kBoolean:
    case SettingType::kInteger:
    case SettingType::kBytes:
      return std::string(key.default_value);
    case SettingType::kText:
      return fmt::format("\"{}\"", key.default_value);
    case SettingType::kTextList:
      return QuotedList(key.default_value);
    case SettingType::kTextMap:
      return "{}";
  }
  return {};
}

// The table a key stands in ("storage.rocksdb") and its last part ("block_cache_size").
std::pair<std::string_view, std::string_view> SplitName(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {std::string_view(), name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// Breaks `text` into comment lines of at most 96 characters.
std::string Comment(std::string_view text) {
  std::string comment;
  while (!text.empty()) {
    size_t end = text.size();
    if (end > 96) {
      end = text.rfind(' ', 96);
      if (end == std::string_view::npos) end = text.size();
    }
    comment += fmt::format("# {}\n", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return comment;
}

// The names that a pattern such as "a.{b,c}.d" stands for.
std::vector<std::string> ExpandName(std::string_view pattern) {
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) return {std::string(pattern)};
  const size_t close = pattern.find('}', open);
  std::vector<std::string> names;
  std::string_view words = pattern.substr(open + 1, close - open - 1);
  while (!words.empty()) {
    const size_t comma = std::min(words.find(','), words.size());
    for (const std::string& rest : ExpandName(pattern.substr(close + 1)))
      names.push_back(fmt::format("{}{}{}", pattern.substr(0, open), words.substr(0, comma), rest));
    words.remove_prefix(std::min(comma + 1, words.size()));
  }
  return names;
}

std::string EnvironmentNames(const SettingKey& key) {
  std::string names;
  std::string_view rest = key.environment;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    names += fmt::format("{}`KALAMDB_{}`", names.empty() ? "" : ", ", rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return names;
}

}  // namespace

std::string ExampleFile() {
  std::string file =
      "# Every key of server.toml with its default. Generated: kalamdb-server "
      "--print-example-config\n"
      "# Sizes may be written as numbers of bytes or as texts such as \"64MiB\".\n";
  std::string_view section = "";
  bool first = true;
  for (const SettingKey& key : SettingKeys()) {
    if (key.status == SettingStatus::kRetired) continue;
    const auto [table, last] = SplitName(key.name);
    if (table != section || first) {
      if (!table.empty()) file += fmt::format("\n[{}]\n", table);
      section = table;
      first = false;
    }
    file += Comment(key.help);
    if (!key.choices.empty()) file += fmt::format("# One of: {}\n", key.choices);
    file += fmt::format("{}{} = {}\n", key.secret ? "# " : "", last, DefaultAsToml(key));
  }
  return file;
}

std::string ConfigurationDocument() {
  std::string document =
      "# Configuration\n\n"
      "`kalamdb-server [file]` reads the file named by `--config` or as the argument, else "
      "`./server.toml` if there is\n"
      "one, else nothing. The environment wins over the file, the command line (`--host`, "
      "`--port`, `--data-dir`) over\n"
      "both. `--check-config` says whether a file is right and shows the values in effect. An "
      "unknown key is an error\n"
      "that names the nearest known one; a retired key is accepted with a warning. "
      "`[authentication]` is read as `[auth]`.\n"
      "\nThis page is generated from the server's table of keys: `kalamdb-server "
      "--print-config-reference`.\n";
  std::string_view section = "-";
  for (const SettingKey& key : SettingKeys()) {
    if (key.status == SettingStatus::kRetired) continue;
    if (SectionOf(key.name) != section) {
      section = SectionOf(key.name);
      document +=
          fmt::format("\n## {}\n\n| Key | Default | Environment | Meaning |\n|---|---|---|---|\n",
                      section.empty() ? "Top level" : fmt::format("[{}]", section));
    }
    std::string help(key.help);
    if (!key.choices.empty()) {
      std::string choices(key.choices);
      for (size_t at = 0; (at = choices.find('|', at)) != std::string::npos; at += 2)
        choices.replace(at, 1, ", ");
      help += fmt::format(" One of {}.", choices);
    }
    document += fmt::format("| `{}` | `{}` | {} | {} |\n", key.name,
                            key.secret ? "" : DefaultAsToml(key), EnvironmentNames(key), help);
  }
  document += "\n## Retired keys\n\n| Key | Why |\n|---|---|\n";
  for (const SettingKey& key : SettingKeys()) {
    if (key.status == SettingStatus::kRetired)
      document += fmt::format("| `{}` | {} |\n", key.name, key.help);
  }
  return document;
}

std::vector<SettingRow> SettingRows(const Settings& settings) {
  std::vector<SettingRow> rows;
  for (const SettingKey& key : SettingKeys()) {
    if (key.status == SettingStatus::kRetired) continue;
    const std::string_view section = SectionOf(key.name);
    rows.push_back({std::string(key.name), settings.ShownValue(key), std::string(key.help),
                    section.empty() ? "general" : std::string(section)});
  }
  return rows;
}

std::vector<SettingRow> AllSettingRows(const Settings& settings) {
  std::vector<SettingRow> rows = SettingRows(settings);
  for (const SettingKey& key : SettingKeys()) {
    if (key.status != SettingStatus::kRetired) continue;
    for (std::string& name : ExpandName(key.name)) {
      std::string section(SectionOf(name));
      rows.push_back(
          {std::move(name), "", fmt::format("Without effect: {}.", key.help), std::move(section)});
    }
  }
  return rows;
}

}  // namespace kalam::server
