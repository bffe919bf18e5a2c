// User records as system.users shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/role.h"

namespace kalam::catalog {

/// Values are on disk.
enum class AuthType : uint8_t { kPassword = 0, kOAuth = 1, kInternal = 2 };
std::string_view AuthTypeName(AuthType type);  // "Password", "OAuth", "Internal"

struct UserRecord {
  std::string user_id;
  std::string password_hash;  // bcrypt; empty: no password login
  Role role = Role::kUser;
  std::string email;  // empty: NULL
  AuthType auth_type = AuthType::kPassword;
  std::string auth_data_json;
  std::string storage_mode = "Table";
  std::string storage_id;
  int32_t failed_login_attempts = 0;
  std::optional<int64_t> locked_until_us;
  std::optional<int64_t> last_login_at_us;
  int64_t created_at_us = 0;
  int64_t updated_at_us = 0;
  std::optional<int64_t> last_seen_us;
  std::optional<int64_t> deleted_at_us;
  /// Tokens issued before this instant are refused (password or role change, drop;
  /// docs/protocol.md, "Tokens").
  int64_t tokens_valid_from_us = 0;
};

/// Empty if `id` may be a user id (no "..", '/', '\\', NUL, not empty, not reserved unless
/// `allow_reserved`), else the reason.
std::string UserIdProblem(std::string_view id, bool allow_reserved);

}  // namespace kalam::catalog
