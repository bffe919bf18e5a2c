// The credential file.
#include "credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "options.h"

// toml++ asserts, and in optimised builds assumes, what a malformed file can break; without that it
// comes to the place where it reports the error.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace kalam::cli {

CredentialStore::CredentialStore() {
  const char* path = std::getenv("KALAMDB_CREDENTIALS_PATH");
  path_ = path && *path ? std::string(path) : KalamDirectory() + "/credentials.toml";
}

Result<std::map<std::string, Credentials>> CredentialStore::Load() const {
  std::map<std::string, Credentials> all;
  if (!std::filesystem::exists(path_)) return all;
  std::ifstream stream(path_);
  std::stringstream text;
  text << stream.rdbuf();
  try {
    const toml::table table = toml::parse(text.str());
    if (const toml::table* instances = table["instances"].as_table()) {
      for (const auto& [name, node] : *instances) {
        const toml::table* entry = node.as_table();
        if (entry == nullptr) continue;
        const auto field = [&](const char* key) { return (*entry)[key].value_or(std::string()); };
        all[std::string(name.str())] = {field("jwt_token"),     field("user"),
                                        field("expires_at"),    field("server_url"),
                                        field("refresh_token"), field("refresh_expires_at")};
      }
    }
  } catch (const toml::parse_error& error) {
    return Status(ErrorKind::Config, path_ + ": " + std::string(error.description()));
  }
  return all;
}

Status CredentialStore::Save(const std::string& instance, const Credentials& credentials) const {
  KALAM_ASSIGN_OR_RETURN(auto all, Load());
  all[instance] = credentials;
  return Write(all);
}

Result<bool> CredentialStore::Delete(const std::string& instance) const {
  KALAM_ASSIGN_OR_RETURN(auto all, Load());
  if (all.erase(instance) == 0) return false;
  KALAM_RETURN_IF_ERROR(Write(all));
  return true;
}

Status CredentialStore::Write(const std::map<std::string, Credentials>& all) const {
  toml::table instances;
  for (const auto& [name, entry] : all) {
    instances.insert(name, toml::table{{"jwt_token", entry.jwt_token},
                                       {"user", entry.user},
                                       {"expires_at", entry.expires_at},
                                       {"server_url", entry.server_url},
                                       {"refresh_token", entry.refresh_token},
                                       {"refresh_expires_at", entry.refresh_expires_at}});
  }
  std::stringstream text;
  text << toml::table{{"instances", instances}} << "\n";
  const std::string bytes = text.str();
  const std::string temporary = path_ + ".new";
  unlink(temporary.c_str());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (fd >= 0) close(fd);
  if (!written || rename(temporary.c_str(), path_.c_str()) != 0) {
    return Status(ErrorKind::StorageIo, "Cannot write " + path_ + ": " + std::strerror(errno));
  }
  return {};
}

}  // namespace kalam::cli
