// The columns of every system object, in their physical order.
#include "statements/system_table_definitions.h"

#include <array>

#include "catalog/catalog.h"

namespace kalam::statements {
namespace {

using catalog::ColumnDefinition;

/// `columns`: "name type" separated by commas. Types: T text, B bigint, I int, S smallint, Ts
/// timestamp, b boolean, J json, F float. `?` behind the type: nullable; `*`: primary key.
struct Source {
  std::string_view ns;
  std::string_view name;
  std::string_view columns;
};

constexpr std::array<Source, 30> kSources = {{
    {"system", "users",
     "user_id T*,password_hash T,role T,email T?,auth_type T,auth_data J?,storage_mode "
     "T,storage_id T?,"
     "failed_login_attempts I,locked_until Ts?,last_login_at Ts?,created_at Ts,updated_at "
     "Ts,last_seen Ts?,"
     "deleted_at Ts?"},
    {"system", "namespaces", "namespace_id T*,name T,created_at Ts,options J?,table_count I"},
    {"system", "schemas",
     "table_id T*,table_name T,namespace_id T,table_type T,created_at Ts,schema_version I,columns "
     "J,"
     "table_comment T?,updated_at Ts,options J?,access_level T?,is_latest b,storage_id "
     "T?,use_user_storage b?"},
    {"system", "storages",
     "storage_id T*,storage_name T,description T?,storage_type T,base_directory T,credentials "
     "J?,config_json J?,"
     "shared_tables_template T,user_tables_template T,created_at Ts,updated_at Ts"},
    {"system", "jobs",
     "job_id T*,job_type T,status T,leader_status T?,parameters J?,message T?,exception_trace T?,"
     "idempotency_key T?,queue T?,priority I?,retry_count S,max_retries S,memory_used B?,cpu_used "
     "B?,created_at Ts,"
     "updated_at Ts,started_at Ts?,finished_at Ts?,node_id B,leader_node_id B?"},
    {"system", "job_nodes",
     "job_id T*,node_id B,status T,error_message T?,created_at Ts,started_at Ts?,finished_at "
     "Ts?,updated_at Ts"},
    {"system", "audit_log",
     "audit_id T*,timestamp Ts,actor_user_id T,action T,target T,details T?,ip_address "
     "T?,subject_user_id T?"},
    {"system", "manifest",
     "cache_key T*,namespace_id T,table_name T,scope T,etag T?,last_refreshed Ts,last_accessed "
     "Ts,in_memory b,"
     "sync_state T,manifest_json J"},
    {"system", "topics",
     "topic_id T*,name T,alias T?,partitions I,retention_seconds B?,retention_max_bytes B?,routes "
     "J,created_at Ts,"
     "updated_at Ts"},
    {"system", "topic_offsets",
     "topic_id T*,group_id T,partition_id I,last_acked_offset B,updated_at Ts"},
    {"system", "tables",
     "namespace_id T,table_name T,table_type T,storage_id T?,version B,options T?,comment "
     "T?,updated_at Ts,"
     "created_at Ts"},
    {"system", "columns",
     "namespace_id T,table_name T,version B,column_id B,column_name T,comment T?,data_type "
     "T,default_value T?,"
     "ordinal B,nullable b,primary_key b,primary_key_pos B?"},
    {"system", "stats", "metric_name T*,metric_value T"},
    {"system", "settings", "name T*,value T,description T,category T"},
    {"system", "server_logs", "timestamp T,level T,thread T?,target T?,line B?,message T"},
    {"system", "live",
     "live_id T*,connection_id T,subscription_id T,namespace_id T,table_name T,user_id T,query "
     "T,options J?,status T,"
     "created_at Ts,last_update Ts,changes B,node_id B,last_ping_at Ts"},
    {"system", "sessions",
     "session_id T*,backend_pid B?,current_schema T?,state T,transaction_id T?,transaction_state "
     "T?,"
     "transaction_has_writes b,client_addr T?,transport T,opened_at Ts,last_seen_at Ts,last_method "
     "T?"},
    {"system", "transactions",
     "transaction_id T*,owner_id T,origin T,state T,age_ms B,idle_ms B,write_count B,write_bytes B,"
     "touched_tables_count B,snapshot_commit_seq B"},
    {"system", "cluster",
     "cluster_id T,node_id B*,role T,status T,rpc_addr T,api_addr T,is_self b,is_leader "
     "b,groups_leading I,"
     "total_groups I,current_term B?,last_applied_log B?,leader_last_log_index B?,snapshot_index "
     "B?,"
     "catchup_progress_pct S?,replication_lag B?,hostname T?,version T?,memory_mb "
     "B?,memory_usage_mb B?,"
     "cpu_usage_percent F?,uptime_seconds B?,uptime_human T?,os T?,arch T?"},
    {"system", "cluster_groups",
     "group_id B*,cluster_id T,node_id B,group_type T,current_term B?,vote J?,last_log_index "
     "B?,last_applied B?,"
     "snapshot B?,purged B?,committed B?,state T?,current_leader B?,millis_since_quorum_ack B?"},
    {"system", "datatypes", "arrow_type T*,kalam_type T,sql_name T,description T"},
    {"system", "describe",
     "column_name T,ordinal_position I,column_id B,data_type T,is_nullable b,is_primary_key "
     "b,column_default T?,"
     "column_comment T?,schema_version I"},
    {"system", "memory", "account T*,used_bytes B,peak_bytes B,limit_bytes B?,detail T?"},
    {"information_schema", "schemata",
     "catalog_name T,schema_name T,schema_owner T?,default_character_set_catalog "
     "T?,default_character_set_schema T?,"
     "default_character_set_name T?,sql_path T?"},
    {"information_schema", "tables", "table_catalog T,table_schema T,table_name T,table_type T"},
    {"information_schema", "views",
     "table_catalog T,table_schema T,table_name T,definition T?,default_namespace T"},
    {"information_schema", "columns",
     "table_catalog T,table_schema T,table_name T,column_name T,ordinal_position B,column_default "
     "T?,is_nullable T,"
     "data_type T,character_maximum_length B?,character_octet_length B?,numeric_precision B?,"
     "numeric_precision_radix B?,numeric_scale B?,datetime_precision B?,interval_type T?"},
    {"information_schema", "df_settings", "name T,value T?,description T?"},
    {"information_schema", "routines",
     "specific_catalog T,specific_schema T,specific_name T,routine_catalog T,routine_schema "
     "T,routine_name T,"
     "routine_type T,is_deterministic b?,data_type T?,function_type T?,description "
     "T?,syntax_example T?"},
    {"information_schema", "parameters",
     "specific_catalog T,specific_schema T,specific_name T,ordinal_position B,parameter_mode "
     "T,parameter_name T?,"
     "data_type T,parameter_default T?,is_variadic b,rid I"},
}};

constexpr std::array<std::string_view, 12> kAliased = {
    "users",     "namespaces", "schemas",       "storages", "jobs",    "job_nodes",
    "audit_log", "topics",     "topic_offsets", "tables",   "columns", "manifest"};
constexpr std::string_view kAliasPrefix = "system_";
constexpr std::string_view kManifestAlias = "manifest_cache";

TypeKind KindOf(std::string_view letter) {
  if (letter == "B") return TypeKind::kBigInt;
  if (letter == "I") return TypeKind::kInt;
  if (letter == "S") return TypeKind::kSmallInt;
  if (letter == "Ts") return TypeKind::kTimestamp;
  if (letter == "b") return TypeKind::kBoolean;
  if (letter == "J") return TypeKind::kJson;
  if (letter == "F") return TypeKind::kFloat;
  return TypeKind::kText;
}

std::vector<ColumnDefinition> ColumnsOf(std::string_view text) {
  std::vector<ColumnDefinition> columns;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view field = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    const size_t blank = field.find(' ');
    std::string_view type = field.substr(blank + 1);
    ColumnDefinition column;
    column.column_id = static_cast<uint32_t>(columns.size() + 1);
    column.name = field.substr(0, blank);
    column.nullable = type.ends_with('?');
    column.primary_key = type.ends_with('*');
    if (column.nullable || column.primary_key) type.remove_suffix(1);
    column.type = DataType::Of(KindOf(type));
    columns.push_back(std::move(column));
  }
  columns.shrink_to_fit();
  return columns;
}

/// The second name of a system table; empty when it has none.
std::string AliasOf(const Source& source) {
  if (source.ns != "system") return {};
  if (source.name == "manifest") return std::string(kManifestAlias);
  for (std::string_view name : kAliased) {
    if (name == source.name) return std::string(kAliasPrefix).append(name);
  }
  return {};
}

}  // namespace

std::vector<catalog::TablePtr> MakeSystemTableDefinitions(int64_t created_at_us) {
  std::vector<catalog::TablePtr> definitions;
  uint32_t next_id = catalog::kFirstSystemTableId;
  for (const Source& source : kSources) {
    catalog::TableDefinition table;
    table.id.value = next_id++;
    table.namespace_id = source.ns;
    table.name = source.name;
    table.type = catalog::TableType::kSystem;
    std::vector<ColumnDefinition> columns = ColumnsOf(source.columns);
    table.next_column_id = static_cast<uint32_t>(columns.size() + 1);
    table.layouts = std::make_shared<const std::vector<RowLayout>>(
        std::vector<RowLayout>{catalog::LayoutOf(columns)});
    table.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(columns));
    table.options.storage_id.clear();
    table.created_at_us = table.updated_at_us = created_at_us;
    definitions.push_back(std::make_shared<const catalog::TableDefinition>(table));
    const std::string alias = AliasOf(source);
    if (alias.empty()) continue;
    table.id.value = next_id++;
    table.name = alias;
    definitions.push_back(std::make_shared<const catalog::TableDefinition>(std::move(table)));
  }
  return definitions;
}

std::string_view CanonicalSystemName(std::string_view name) {
  if (name == kManifestAlias) return "manifest";
  if (name.starts_with(kAliasPrefix)) name.remove_prefix(kAliasPrefix.size());
  return name;
}

bool IsSystemAlias(const catalog::TableDefinition& table) {
  return table.namespace_id == "system" && CanonicalSystemName(table.name) != table.name;
}

}  // namespace kalam::statements
