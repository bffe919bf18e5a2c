// Resolving tables and columns.
#include "query/names.h"

#include <fmt/core.h>

namespace kalam::query {

namespace {

constexpr std::string_view kCatalogName = "kalam";
constexpr std::string_view kSystemNamespace = "system";

}  // namespace

Status TableNotFound(const FullName& name, int position) {
  return Status(ErrorKind::TableNotFound, fmt::format("table '{}.{}.{}' not found", kCatalogName,
                                                      name.namespace_id, name.name))
      .WithPosition(position);
}

Result<FullName> ResolveName(const sql::TableName& name, std::string_view default_namespace) {
  const auto& parts = name.parts;
  if (parts.size() == 1) return FullName{std::string(default_namespace), parts[0]};
  if (parts.size() == 2) return FullName{parts[0], parts[1]};
  if (parts.size() == 3 && parts[0] == kCatalogName) return FullName{parts[1], parts[2]};
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ".") + part;
  return Status(ErrorKind::TableNotFound, fmt::format("table '{}' not found", text))
      .WithPosition(name.position);
}

Result<catalog::TablePtr> FindTableByName(const catalog::Catalog& catalog, const FullName& name) {
  KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table, catalog.FindTable(name.namespace_id, name.name));
  if (table != nullptr || name.namespace_id != kSystemNamespace) return table;
  constexpr std::string_view kOldPrefix = "system_";
  if (name.name == "manifest_cache") return catalog.FindTable(kSystemNamespace, "manifest");
  if (name.name.starts_with(kOldPrefix)) {
    return catalog.FindTable(kSystemNamespace,
                             std::string_view(name.name).substr(kOldPrefix.size()));
  }
  return table;
}

Result<catalog::TablePtr> RequireTable(const catalog::Catalog& catalog, const sql::TableName& name,
                                       std::string_view default_namespace) {
  KALAM_ASSIGN_OR_RETURN(const FullName full_name, ResolveName(name, default_namespace));
  KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table, FindTableByName(catalog, full_name));
  if (table == nullptr) return TableNotFound(full_name, name.position);
  return table;
}

Status UnknownColumn(const sql::Expr& column, const catalog::TableDefinition* table) {
  std::string text;
  for (const std::string& part : column.name_parts) text += (text.empty() ? "" : ".") + part;
  const std::string where =
      table == nullptr ? std::string() : fmt::format(" in table '{}'", table->QualifiedName());
  return Status(ErrorKind::InvalidOperation,
                fmt::format("No field named '{}': column not found{}", text, where))
      .WithPosition(column.position);
}

bool TableScope::Qualifies(const std::vector<std::string>& parts, size_t qualifier_count) const {
  if (qualifier_count == 0) return true;
  if (!alias_.empty()) return qualifier_count == 1 && parts[0] == alias_;
  if (parts[qualifier_count - 1] != table_->name) return false;
  if (qualifier_count >= 2 && parts[qualifier_count - 2] != table_->namespace_id) return false;
  return qualifier_count < 3 || (qualifier_count == 3 && parts[0] == kCatalogName);
}

Result<ColumnSlot> TableScope::Resolve(const sql::Expr& column) const {
  const auto& parts = column.name_parts;
  if (parts.empty() || !Qualifies(parts, parts.size() - 1))
    return UnknownColumn(column, table_.get());
  const std::optional<size_t> index = table_->FindColumn(parts.back());
  if (!index.has_value()) return UnknownColumn(column, table_.get());
  return ColumnSlot{static_cast<uint32_t>(*index), (*table_->columns)[*index].type};
}

Result<ColumnSlot> ConflictScope::Resolve(const sql::Expr& column) const {
  const auto& parts = column.name_parts;
  if (parts.size() != 2 || parts[0] != "excluded") return TableScope::Resolve(column);
  const std::optional<size_t> index = table()->FindColumn(parts[1]);
  if (!index.has_value()) return UnknownColumn(column, table().get());
  const auto slot = static_cast<uint32_t>(table()->columns->size() + *index);
  return ColumnSlot{slot, (*table()->columns)[*index].type};
}

}  // namespace kalam::query
