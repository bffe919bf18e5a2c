// See agent_project.h. The agent asks for rows whose output is NULL by a live query, so that what
// is left to do stands in the table, and a restart needs no position.
#include "agent_project.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace kalam::cli {

/// What is in the file of that name in cli/agent; made by CMake.
std::string_view AgentFile(std::string_view name);

namespace {

bool IsName(const std::string& name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

std::string Fill(std::string text, const AgentProject& project) {
  const std::pair<std::string, std::string> values[] = {
      {"@NAME@", project.name},
      {"@NAMESPACE@", project.table.substr(0, project.table.find('.'))},
      {"@TABLE@", project.table},
      {"@ID@", project.id_column},
      {"@INPUT@", project.input_column},
      {"@OUTPUT@", project.output_column},
      {"@URL@", project.server_url},
      // In quotes, and without what would end the line.
      {"@PROMPT@", nlohmann::json(project.system_prompt)
                       .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
  for (const auto& [mark, value] : values) {
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += value.size()) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

}  // namespace

Status CheckAgentProject(const AgentProject& project) {
  const auto refuse = [](const std::string& what, const std::string& value) {
    return Status(ErrorKind::InvalidInput, "'" + value + "' is not a name for " + what);
  };
  for (const char c : project.name) {
    if (!std::islower(static_cast<unsigned char>(c)) &&
        !std::isdigit(static_cast<unsigned char>(c)) && c != '-') {
      return refuse("the project (use lower-case letters, digits and -)", project.name);
    }
  }
  if (project.name.empty()) return refuse("the project", project.name);
  const size_t dot = project.table.find('.');
  if (dot == std::string::npos || !IsName(project.table.substr(0, dot)) ||
      !IsName(project.table.substr(dot + 1))) {
    return refuse("the table (namespace.table)", project.table);
  }
  for (const std::string& column :
       {project.id_column, project.input_column, project.output_column}) {
    if (!IsName(column)) return refuse("a column", column);
  }
  return {};
}

Status WriteAgentProject(const AgentProject& project) {
  KALAM_RETURN_IF_ERROR(CheckAgentProject(project));
  const std::pair<const char*, std::string_view> files[] = {
      {"package.json", AgentFile("package.json")}, {"tsconfig.json", AgentFile("tsconfig.json")},
      {".env.example", AgentFile("env.example")},  {".gitignore", AgentFile("gitignore")},
      {"setup.sql", AgentFile("setup.sql")},       {"setup.sh", AgentFile("setup.sh")},
      {"scripts/add.sh", AgentFile("add.sh")},     {"src/agent.ts", AgentFile("agent.ts")},
      {"README.md", AgentFile("README.md")}};
  const std::filesystem::path folder = project.folder.empty() ? project.name : project.folder;
  for (const auto& [name, text] : files) {
    if (std::filesystem::exists(folder / name)) {
      return Status(ErrorKind::InvalidInput,
                    "There is a file " + (folder / name).string() + " already");
    }
  }
  std::error_code error;
  std::filesystem::create_directories(folder / "src", error);
  std::filesystem::create_directories(folder / "scripts", error);
  for (const auto& [name, text] : files) {
    std::ofstream file(folder / name);
    file << Fill(std::string(text), project);
    if (!file.flush()) {
      return Status(ErrorKind::InvalidInput, "Cannot write " + (folder / name).string());
    }
    if (std::string_view(name).ends_with(".sh")) {
      std::filesystem::permissions(folder / name, std::filesystem::perms(0755), error);
    }
  }
  return {};
}

}  // namespace kalam::cli
