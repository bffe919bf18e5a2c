// The check of folders that statements name.
#include "statements/local_folders.h"

#include <filesystem>

namespace kalam::statements {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSystemFolders[] = {"/bin",   "/boot",  "/dev",  "/etc",    "/lib",
                                               "/lib32", "/lib64", "/proc", "/root",   "/run",
                                               "/sbin",  "/sys",   "/usr",  "/var/log"};
// Of the data directory; in them files have meanings of their own.
constexpr std::string_view kServerFolders[] = {"rocksdb", "storage", "streams", "tmp",
                                               "cache",   "exports", "logs",    "restore"};

Status Refused(const std::string& path, std::string_view why) {
  std::string shown;
  for (const char c : path.substr(0, 200)) shown += c >= ' ' ? c : '?';
  return Status(ErrorKind::InvalidOperation, "Path '" + shown + "' " + std::string(why));
}

bool IsWithin(const std::string& path, std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return path == folder || path.starts_with(folder + "/") || folder == "/";
}

Result<std::string> Canonical(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (error) return Refused(path, "cannot be resolved: " + error.message());
  std::string canonical = fs::weakly_canonical(absolute, error).lexically_normal();
  if (error) return Refused(path, "cannot be resolved: " + error.message());
  while (canonical.size() > 1 && canonical.ends_with('/')) canonical.pop_back();
  return canonical;
}

}  // namespace

Result<std::string> CheckLocalFolder(const std::string& path, const FolderRules& rules) {
  if (path.empty()) return Refused(path, "is empty");
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20) return Refused(path, "contains a control character");
  }
  for (const fs::path& part : fs::path(path)) {
    if (part == "..") return Refused(path, "must not contain '..'");
  }
  KALAM_ASSIGN_OR_RETURN(std::string canonical, Canonical(path));
  if (canonical == "/") return Refused(path, "is the root of the file system");
  // As written as well: what a link leads to is refused, and so is a link in such a folder.
  const std::string written =
      fs::path(path).is_absolute() ? fs::path(path).lexically_normal().string() : canonical;
  for (const std::string_view folder : kSystemFolders) {
    const bool is_shared_memory = folder == "/dev" && IsWithin(canonical, "/dev/shm");
    if (is_shared_memory) continue;
    if (IsWithin(canonical, std::string(folder)) || IsWithin(written, std::string(folder))) {
      return Refused(path, "is a folder of the system");
    }
  }
  KALAM_ASSIGN_OR_RETURN(const std::string data, Canonical(rules.data_directory));
  bool is_of_server = canonical == data;
  for (const std::string_view folder : kServerFolders) {
    is_of_server = is_of_server || IsWithin(canonical, data + "/" + std::string(folder));
  }
  if (is_of_server) return Refused(path, "is a folder of the server itself");
  if (rules.allowed.empty()) return canonical;
  for (const std::string& folder : rules.allowed) {
    KALAM_ASSIGN_OR_RETURN(const std::string allowed, Canonical(folder));
    if (IsWithin(canonical, allowed)) return canonical;
  }
  return Refused(path, "is not below a folder of storage.allowed_directories");
}

}  // namespace kalam::statements
