// Names of roles, access levels and authentication types, and what a user id may look like.
#include "catalog/role.h"

#include "catalog/schema.h"
#include "catalog/users.h"

namespace kalam::catalog {

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kAnonymous:
      return "anonymous";
    case Role::kUser:
      return "user";
    case Role::kService:
      return "service";
    case Role::kDba:
      return "dba";
    case Role::kSystem:
      return "system";
  }
  return "anonymous";
}

std::optional<Role> ParseRole(std::string_view text) {
  const std::string name = FoldName(text);
  if (name == "anonymous") return Role::kAnonymous;
  if (name == "user" || name == "viewer" || name == "readonly") return Role::kUser;
  if (name == "service" || name == "developer" || name == "analyst") return Role::kService;
  if (name == "dba" || name == "admin") return Role::kDba;
  if (name == "system") return Role::kSystem;
  return std::nullopt;
}

std::string_view AccessLevelName(AccessLevel level) {
  switch (level) {
    case AccessLevel::kPublic:
      return "Public";
    case AccessLevel::kPrivate:
      return "Private";
    case AccessLevel::kRestricted:
      return "Restricted";
    case AccessLevel::kDba:
      return "Dba";
  }
  return "Private";
}

std::string_view AccessLevelLowerName(AccessLevel level) {
  switch (level) {
    case AccessLevel::kPublic:
      return "public";
    case AccessLevel::kPrivate:
      return "private";
    case AccessLevel::kRestricted:
      return "restricted";
    case AccessLevel::kDba:
      return "dba";
  }
  return "private";
}

std::string_view AuthTypeName(AuthType type) {
  switch (type) {
    case AuthType::kPassword:
      return "Password";
    case AuthType::kOAuth:
      return "OAuth";
    case AuthType::kInternal:
      return "Internal";
  }
  return "Internal";
}

std::string UserIdProblem(std::string_view id, bool allow_reserved) {
  if (id.empty()) return "User id cannot be empty";
  if (id.size() > 255) return "User id is too long (max 255 bytes)";
  if (id.find("..") != id.npos) return "User id cannot contain '..'";
  if (id.find('/') != id.npos || id.find('\\') != id.npos) {
    return "User id cannot contain '/' or '\\'";
  }
  if (id.find('\0') != id.npos) return "User id cannot contain a NUL byte";
  if (!allow_reserved && (id == "system" || id == "anonymous")) {
    return "User id '" + std::string(id) + "' is reserved";
  }
  return {};
}

}  // namespace kalam::catalog
