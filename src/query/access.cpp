// Who may read and write which tables.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "query/query_engine.h"

namespace kalam::query {

namespace {

using catalog::AccessLevel;
using catalog::Role;
using catalog::TableType;

std::string_view RoleTitle(Role role) {
  constexpr std::string_view kTitles[] = {"Anonymous", "User", "Service", "Dba", "System"};
  return kTitles[static_cast<size_t>(role)];
}

Status Denied(const catalog::TableDefinition& table, const catalog::Caller& caller,
              std::string_view reason) {
  return Status(ErrorKind::PermissionDenied,
                fmt::format("Access denied: Role '{}' cannot access table '{}'. {}",
                            RoleTitle(caller.role), table.QualifiedName(), reason));
}

/// System objects that everybody may read; their rows are filtered to what the caller may see.
bool IsOpenSystemTable(const catalog::TableDefinition& table) {
  constexpr std::array<std::string_view, 3> kOpen = {"namespaces", "tables", "columns"};
  return table.namespace_id == "information_schema" ||
         (table.namespace_id == "system" &&
          std::find(kOpen.begin(), kOpen.end(), table.name) != kOpen.end());
}

bool MayReadShared(AccessLevel level, Role role) {
  switch (level) {
    case AccessLevel::kPublic:
      return true;
    case AccessLevel::kPrivate:
    case AccessLevel::kRestricted:
      return role >= Role::kService;
    case AccessLevel::kDba:
      return catalog::IsAdmin(role);
  }
  return false;
}

bool MayWriteShared(AccessLevel level, Role role) {
  return level == AccessLevel::kDba ? catalog::IsAdmin(role) : role >= Role::kService;
}

}  // namespace

Status CheckReadAccess(const catalog::TableDefinition& table, const catalog::Caller& caller) {
  switch (table.type) {
    case TableType::kSystem:
    case TableType::kView:
      if (catalog::IsAdmin(caller.role)) return {};
      if (caller.role > Role::kAnonymous && IsOpenSystemTable(table)) return {};
      return Denied(table, caller, "System tables require 'dba' or 'system' role.");
    case TableType::kShared: {
      const AccessLevel level = table.options.access_level;
      if (MayReadShared(level, caller.role)) return {};
      return Denied(table, caller,
                    fmt::format("Shared table access denied (access_level={})",
                                catalog::AccessLevelName(level)));
    }
    case TableType::kUser:
    case TableType::kStream:
      if (caller.role > Role::kAnonymous) return {};
      return Denied(table, caller, "User table access denied due to insufficient privileges.");
  }
  return {};
}

Status CheckWriteAccess(const catalog::TableDefinition& table, const catalog::Caller& caller) {
  switch (table.type) {
    case TableType::kSystem:
    case TableType::kView:
      return Denied(table, caller, "System tables are read-only.");
    case TableType::kShared: {
      const AccessLevel level = table.options.access_level;
      if (MayWriteShared(level, caller.role)) return {};
      return Denied(table, caller,
                    fmt::format("Shared table write denied (access_level={})",
                                catalog::AccessLevelName(level)));
    }
    case TableType::kUser:
    case TableType::kStream:
      if (caller.role > Role::kAnonymous) return {};
      return Denied(table, caller, "User table write denied due to insufficient privileges.");
  }
  return {};
}

}  // namespace kalam::query
