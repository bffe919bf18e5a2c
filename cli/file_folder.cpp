// Files out of an archive, and what statements call them.
#include "file_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sql_text.h"
#include "types/file_reference.h"

namespace kalam::cli {
namespace {

namespace fs = std::filesystem;

/// What a user called the file, as a name that a folder can hold.
std::string LocalName(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name.empty() || name == "." || name == ".." ? "file" : name;
}

}  // namespace

Result<std::string> FileFolder::ExpressionOf(std::string_view cell) {
  const std::optional<int64_t> id = FileIdOf(cell);
  if (!id) return Quoted(cell);
  const std::optional<std::string> entry = archive_.FindFile(*id);
  if (!entry) {
    ++missing_count_;
    return Quoted(cell);
  }
  const auto reference = nlohmann::json::parse(cell, nullptr, false);
  const auto text = [&](const char* name) {
    const auto found = reference.find(name);
    return found != reference.end() && found->is_string() ? found->get<std::string>()
                                                          : std::string();
  };
  const std::string folder = fmt::format("{}/{}", path_, *id);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Status(ErrorKind::StorageIo, "Cannot make the folder " + folder);
  const std::string name = LocalName(text("name"));
  KALAM_RETURN_IF_ERROR(archive_.zip().Extract(*entry, folder + "/" + name));
  const std::string type = text("mime");
  return fmt::format("file({}{}{})", Quoted(fmt::format("{}/{}/{}", shown_path_, *id, name)),
                     type.empty() ? "" : ", ", type.empty() ? "" : Quoted(type));
}

bool IsFileFolder(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(path, error))) return false;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!entry->is_directory(error) || name.find_first_not_of("0123456789") != name.npos)
      return false;
  }
  return !error;
}

}  // namespace kalam::cli
