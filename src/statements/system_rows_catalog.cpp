// Rows of the system tables that show the catalog: users, namespaces, schemas, storages, tables,
// columns.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "statements/column_definitions.h"
#include "statements/families.h"
#include "statements/system_table_definitions.h"
#include "statements/system_tables.h"

namespace kalam::statements {
namespace {

using catalog::TableDefinition;
using catalog::TableType;
using nlohmann::json;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Keeps the algorithm and the cost of a hash and hides the rest.
std::string MaskedHash(const std::string& hash) {
  if (hash.empty()) return {};
  return hash.substr(0, std::min<size_t>(hash.size(), 7)) + "***";
}

json LiteralJson(const Value& literal) {
  const Datum datum = literal.datum();
  if (datum.is_null) return nullptr;
  if (datum.kind == TypeKind::kBoolean) return datum.boolean();
  if (DataType::Of(datum.kind).is_integer()) return datum.i;
  if (datum.kind == TypeKind::kDouble || datum.kind == TypeKind::kFloat) return datum.d;
  catalog::ColumnDefault value;
  value.kind = catalog::ColumnDefault::Kind::kLiteral;
  value.literal = literal;
  std::string text = DefaultText(value).value_or("");
  if (text.size() >= 2 && text.front() == '\'') text = text.substr(1, text.size() - 2);
  return text;
}

json DefaultJson(const catalog::ColumnDefault& value) {
  if (value.kind == catalog::ColumnDefault::Kind::kNone) return nullptr;
  if (value.kind == catalog::ColumnDefault::Kind::kLiteral)
    return json{{"Literal", LiteralJson(value.literal)}};
  return json{{"FunctionCall",
               {{"name", std::string(DefaultFunctionName(value))}, {"args", json::array()}}}};
}

std::string ColumnsJson(const TableDefinition& table) {
  json columns = json::array();
  for (size_t i = 0; i < table.columns->size(); ++i) {
    const catalog::ColumnDefinition& column = (*table.columns)[i];
    columns.push_back(
        {{"column_id", column.column_id},
         {"column_name", column.name},
         {"ordinal_position", i + 1},
         {"data_type", json::parse(WireJson(column.type), nullptr, false)},
         {"is_nullable", column.nullable},
         {"is_primary_key", column.primary_key},
         {"is_partition_key", false},
         {"default_value", DefaultJson(column.default_value)},
         {"column_comment", column.comment.empty() ? json(nullptr) : json(column.comment)}});
  }
  return Dump(columns);
}

json FlushPolicyJson(const catalog::FlushPolicy& policy) {
  if (policy.row_limit > 0 && policy.interval_seconds > 0) {
    return {{"type", "combined"},
            {"row_limit", policy.row_limit},
            {"interval_seconds", policy.interval_seconds}};
  }
  if (policy.row_limit > 0) return {{"type", "row_limit"}, {"row_limit", policy.row_limit}};
  if (policy.interval_seconds > 0) {
    return {{"type", "time_interval"}, {"interval_seconds", policy.interval_seconds}};
  }
  return nullptr;
}

std::string OptionsJson(const TableDefinition& table) {
  const catalog::TableOptions& options = table.options;
  std::string type(catalog::TableTypeName(table.type));
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  json out = {{"table_type", type}};
  if (table.type == TableType::kSystem) return Dump(out);
  out["storage_id"] = options.storage_id;
  out["deleted_retention_hours"] = options.deleted_retention_hours;
  if (table.type == TableType::kStream) out["ttl_seconds"] = options.ttl_seconds;
  if (options.max_buffer > 0) out["max_buffer"] = options.max_buffer;
  if (table.type == TableType::kUser) out["use_user_storage"] = options.use_user_storage;
  if (table.type == TableType::kShared) {
    out["access_level"] = std::string(catalog::AccessLevelLowerName(options.access_level));
  }
  if (json policy = FlushPolicyJson(options.flush_policy); !policy.is_null())
    out["flush_policy"] = policy;
  return Dump(out);
}

Value StorageCell(const TableDefinition& table) {
  const bool stored = table.type == TableType::kUser || table.type == TableType::kShared;
  return OptionalTextCell(stored ? table.options.storage_id : std::string());
}

}  // namespace

Result<std::vector<catalog::TablePtr>> VisibleTables(const SystemSources& sources,
                                                     const catalog::Caller& caller,
                                                     std::string_view ns) {
  KALAM_ASSIGN_OR_RETURN(std::vector<catalog::TablePtr> tables,
                         sources.services.catalog.ListTables(ns));
  std::erase_if(tables, [&](const catalog::TablePtr& table) { return !MaySee(*table, caller); });
  const bool admin = catalog::IsAdmin(caller.role);
  for (const catalog::TablePtr& table : sources.definitions) {
    if (IsSystemAlias(*table) || (!ns.empty() && table->namespace_id != ns)) continue;
    const bool everybody = table->namespace_id == "information_schema" ||
                           table->name == "namespaces" || table->name == "tables" ||
                           table->name == "columns";
    if (admin || everybody) tables.push_back(table);
  }
  return tables;
}

Result<std::vector<catalog::NamespaceDefinition>> VisibleNamespaces(const SystemSources& sources,
                                                                    const catalog::Caller& caller) {
  const catalog::Catalog& catalog = sources.services.catalog;
  std::vector<catalog::NamespaceDefinition> namespaces = catalog.ListNamespaces();
  if (catalog::IsAdmin(caller.role)) return namespaces;
  std::vector<catalog::NamespaceDefinition> visible;
  for (catalog::NamespaceDefinition& definition : namespaces) {
    KALAM_ASSIGN_OR_RETURN(const auto tables, catalog.ListTables(definition.id));
    const bool any_visible =
        std::any_of(tables.begin(), tables.end(),
                    [&](const catalog::TablePtr& table) { return MaySee(*table, caller); });
    if (tables.empty() || any_visible) visible.push_back(std::move(definition));
  }
  return visible;
}

Status ReadUsers(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto users, sources.services.catalog.ListUsers());
  for (const catalog::UserRecord& user : users) {
    rows->Append({TextCell(user.user_id), TextCell(MaskedHash(user.password_hash)),
                  TextCell(catalog::RoleName(user.role)), OptionalTextCell(user.email),
                  TextCell(catalog::AuthTypeName(user.auth_type)), JsonCell(user.auth_data_json),
                  TextCell(user.storage_mode), OptionalTextCell(user.storage_id),
                  IntCell(user.failed_login_attempts), OptionalTimestampCell(user.locked_until_us),
                  OptionalTimestampCell(user.last_login_at_us), TimestampCell(user.created_at_us),
                  TimestampCell(user.updated_at_us), OptionalTimestampCell(user.last_seen_us),
                  OptionalTimestampCell(user.deleted_at_us)});
  }
  return Status::Ok();
}

Status ReadNamespaces(const SystemSources& sources, const catalog::Caller& caller,
                      RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto namespaces, VisibleNamespaces(sources, caller));
  for (const catalog::NamespaceDefinition& definition : namespaces) {
    rows->Append({TextCell(definition.id), TextCell(definition.id),
                  TimestampCell(definition.created_at_us), JsonCell(definition.options_json),
                  IntCell(0)});
  }
  return Status::Ok();
}

Status AppendSchemaRow(const TableDefinition& table, bool is_latest, RowBuffer* rows) {
  const bool shared = table.type == TableType::kShared;
  const bool user = table.type == TableType::kUser;
  rows->Append(
      {TextCell(table.namespace_id + ":" + table.name), TextCell(table.name),
       TextCell(table.namespace_id), TextCell(catalog::TableTypeName(table.type)),
       TimestampCell(table.created_at_us), IntCell(table.schema_version),
       JsonCell(ColumnsJson(table)), OptionalTextCell(table.comment),
       TimestampCell(table.updated_at_us), JsonCell(OptionsJson(table)),
       OptionalTextCell(shared ? catalog::AccessLevelLowerName(table.options.access_level)
                               : std::string_view()),
       Value::Boolean(is_latest), StorageCell(table),
       user ? Value::Boolean(table.options.use_user_storage) : Value::Null(TypeKind::kBoolean)});
  return Status::Ok();
}

Status ReadSchemas(const SystemSources& sources, const catalog::Caller& caller, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, caller, ""));
  for (const catalog::TablePtr& table : tables) {
    if (table->type == TableType::kSystem) {
      KALAM_RETURN_IF_ERROR(AppendSchemaRow(*table, true, rows));
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(const auto versions, sources.services.catalog.ListVersions(table->id));
    for (const catalog::TablePtr& version : versions) {
      const bool is_latest = version->schema_version == table->schema_version;
      KALAM_RETURN_IF_ERROR(AppendSchemaRow(*version, is_latest, rows));
    }
  }
  return Status::Ok();
}

Status ReadStorages(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(auto storages, sources.services.catalog.ListStorages());
  std::stable_partition(
      storages.begin(), storages.end(),
      [](const catalog::StorageRecord& storage) { return storage.storage_id == "local"; });
  for (const catalog::StorageRecord& storage : storages) {
    // Nobody needs to read them back: those who gave them have them.
    const bool masked = !storage.credentials_json.empty();
    rows->Append({TextCell(storage.storage_id), TextCell(storage.storage_name),
                  OptionalTextCell(storage.description), TextCell(storage.storage_type),
                  TextCell(storage.base_directory), JsonCell(masked ? "\"***\"" : ""),
                  JsonCell(storage.config_json), TextCell(storage.shared_tables_template),
                  TextCell(storage.user_tables_template), TimestampCell(storage.created_at_us),
                  TimestampCell(storage.updated_at_us)});
  }
  return Status::Ok();
}

Status ReadTables(const SystemSources& sources, const catalog::Caller& caller, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, caller, ""));
  for (const catalog::TablePtr& table : tables) {
    rows->Append({TextCell(table->namespace_id), TextCell(table->name),
                  TextCell(catalog::TableTypeName(table->type)), StorageCell(*table),
                  BigIntCell(table->schema_version), TextCell(OptionsJson(*table)),
                  OptionalTextCell(table->comment), TimestampCell(table->updated_at_us),
                  TimestampCell(table->created_at_us)});
  }
  return Status::Ok();
}

Status ReadColumns(const SystemSources& sources, const catalog::Caller& caller, RowBuffer* rows) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, caller, ""));
  for (const catalog::TablePtr& table : tables) {
    int64_t ordinal = 0;
    for (const catalog::ColumnDefinition& column : *table->columns) {
      rows->Append({TextCell(table->namespace_id), TextCell(table->name),
                    BigIntCell(table->schema_version), BigIntCell(column.column_id),
                    TextCell(column.name), OptionalTextCell(column.comment),
                    TextCell(SqlName(column.type)),
                    OptionalTextCell(DefaultDebugText(column.default_value).value_or("")),
                    BigIntCell(++ordinal), Value::Boolean(column.nullable),
                    Value::Boolean(column.primary_key),
                    column.primary_key ? BigIntCell(1) : Value::Null(TypeKind::kBigInt)});
    }
  }
  return Status::Ok();
}

}  // namespace kalam::statements
