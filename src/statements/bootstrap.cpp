// The first start: users, storages, namespaces and tables that always exist.
#include "statements/bootstrap.h"

#include "statements/column_definitions.h"
#include "statements/families.h"

namespace kalam::statements {
namespace {

using catalog::ColumnDefinition;

ColumnDefinition Column(std::string_view name, TypeKind kind, bool nullable) {
  ColumnDefinition column;
  column.name = name;
  column.type = DataType::Of(kind);
  column.nullable = nullable;
  return column;
}

catalog::TableDefinition SharedTable(std::string_view name, catalog::AccessLevel access_level,
                                     std::vector<ColumnDefinition> columns, int64_t now_us) {
  uint32_t next_id = 1;
  columns.front().primary_key = true;
  for (ColumnDefinition& column : columns) column.column_id = next_id++;
  columns.push_back(SeqColumn(next_id++));
  columns.push_back(DeletedColumn(next_id++));
  catalog::TableDefinition table;
  table.namespace_id = "dba";
  table.name = name;
  table.type = catalog::TableType::kShared;
  table.next_column_id = next_id;
  table.layouts = std::make_shared<const std::vector<RowLayout>>(
      std::vector<RowLayout>{catalog::LayoutOf(columns)});
  table.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(columns));
  table.options.access_level = access_level;
  table.created_at_us = table.updated_at_us = now_us;
  return table;
}

catalog::TableDefinition NotificationsTable(int64_t now_us) {
  ColumnDefinition is_read = Column("is_read", TypeKind::kBoolean, false);
  is_read.default_value.kind = catalog::ColumnDefault::Kind::kLiteral;
  is_read.default_value.literal = Value::Boolean(false);
  return SharedTable(
      "notifications", catalog::AccessLevel::kPublic,
      {Column("id", TypeKind::kText, false), Column("user_id", TypeKind::kText, false),
       Column("title", TypeKind::kText, false), Column("body", TypeKind::kText, true),
       std::move(is_read), Column("created_at", TypeKind::kTimestamp, false),
       Column("updated_at", TypeKind::kTimestamp, false)},
      now_us);
}

catalog::TableDefinition StatsTable(int64_t now_us) {
  catalog::TableDefinition table =
      SharedTable("stats", catalog::AccessLevel::kDba,
                  {Column("id", TypeKind::kText, false), Column("node_id", TypeKind::kText, false),
                   Column("metric_name", TypeKind::kText, false),
                   Column("metric_value", TypeKind::kDouble, false),
                   Column("metric_unit", TypeKind::kText, true),
                   Column("sampled_at", TypeKind::kTimestamp, false)},
                  now_us);
  table.options.flush_policy.row_limit = 10'000;
  return table;
}

Status AddRoot(const StatementServices& services, const std::string& password_hash, int64_t now_us,
               catalog::RecordWrites* records) {
  KALAM_ASSIGN_OR_RETURN(auto root, services.catalog.FindUser("root"));
  if (root && (password_hash.empty() || !root->password_hash.empty())) return Status::Ok();
  if (!root) {
    root.emplace();
    root->user_id = "root";
    root->role = catalog::Role::kSystem;
    root->auth_type = catalog::AuthType::kInternal;
    root->email = "root@localhost";
    root->storage_id = "local";
    root->created_at_us = now_us;
  }
  root->password_hash = password_hash;
  root->updated_at_us = now_us;
  Append(records, services.catalog.PutUser(*root));
  return Status::Ok();
}

Status AddLocalStorage(const StatementServices& services, int64_t now_us,
                       catalog::RecordWrites* records) {
  KALAM_ASSIGN_OR_RETURN(const auto local, services.catalog.FindStorage("local"));
  if (local) return Status::Ok();
  catalog::StorageRecord storage;
  storage.storage_id = "local";
  storage.storage_name = "Local Filesystem";
  storage.description = "The data directory of this server";
  storage.base_directory = services.data_directory + "/storage";
  storage.shared_tables_template = services.shared_tables_template;
  storage.user_tables_template = services.user_tables_template;
  storage.created_at_us = storage.updated_at_us = now_us;
  Append(records, services.catalog.PutStorage(storage));
  return Status::Ok();
}

Status AddTable(const StatementServices& services, catalog::TableDefinition table,
                catalog::RecordWrites* records) {
  KALAM_ASSIGN_OR_RETURN(const auto existing, services.catalog.FindTable("dba", table.name));
  if (existing) return Status::Ok();
  table.id = services.catalog.AllocateTableId();
  Append(records, services.catalog.PutTable(table));
  return Status::Ok();
}

}  // namespace

Status BootstrapCatalog(const StatementServices& services, const std::string& root_password_hash) {
  const int64_t now_us = services.clock.NowUs();
  catalog::RecordWrites records;
  KALAM_RETURN_IF_ERROR(AddLocalStorage(services, now_us, &records));
  for (const char* name : {"system", "default", "dba"}) {
    if (services.catalog.NamespaceExists(name)) continue;
    Append(&records, services.catalog.PutNamespace(
                         {.id = name, .options_json = "", .created_at_us = now_us}));
  }
  KALAM_RETURN_IF_ERROR(AddRoot(services, root_password_hash, now_us, &records));
  KALAM_RETURN_IF_ERROR(AddTable(services, NotificationsTable(now_us), &records));
  KALAM_RETURN_IF_ERROR(AddTable(services, StatsTable(now_us), &records));
  if (records.empty()) return Status::Ok();
  return Commit(services.group, std::move(records));
}

}  // namespace kalam::statements
