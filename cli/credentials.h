// Stored credentials: ~/.kalam/credentials.toml, one entry an instance, mode 0600.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.h"

namespace kalam::cli {

struct Credentials {
  std::string jwt_token, user, expires_at, server_url, refresh_token, refresh_expires_at;
};

/// The file of KALAMDB_CREDENTIALS_PATH, or the default one. Writes replace it atomically.
class CredentialStore {
 public:
  CredentialStore();
  explicit CredentialStore(std::string path) : path_(std::move(path)) {}
  /// All instances. A missing file is empty. Errors: Config.
  Result<std::map<std::string, Credentials>> Load() const;
  Status Save(const std::string& instance, const Credentials& credentials) const;
  /// False when there was none.
  Result<bool> Delete(const std::string& instance) const;
  const std::string& path() const { return path_; }

 private:
  Status Write(const std::map<std::string, Credentials>& all) const;
  std::string path_;
};

}  // namespace kalam::cli
