// Roles and access levels, and the order between them (spec: sql.md 0.2, wire.md 3.5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kalam::catalog {

/// Ordered: a greater role may do more. Values are on disk: never renumber.
enum class Role : uint8_t { kAnonymous = 0, kUser = 1, kService = 2, kDba = 3, kSystem = 4 };

/// "anonymous", "user", "service", "dba", "system".
std::string_view RoleName(Role role);
/// The lower-case role names and the aliases of CREATE USER (admin, developer, analyst, viewer,
/// readonly), any case.
std::optional<Role> ParseRole(std::string_view text);
inline bool IsAdmin(Role role) { return role >= Role::kDba; }

/// Of SHARED tables. Values are on disk.
enum class AccessLevel : uint8_t { kPublic = 0, kPrivate = 1, kRestricted = 2, kDba = 3 };
/// "Public", "Private", ... as messages show them; lower-case as system tables do.
std::string_view AccessLevelName(AccessLevel level);
std::string_view AccessLevelLowerName(AccessLevel level);

/// Who runs a statement: the id that names the scope and the role that grants. Under EXECUTE AS the
/// role is kUser.
struct Caller {
  std::string user_id;
  Role role = Role::kAnonymous;
};

}  // namespace kalam::catalog
