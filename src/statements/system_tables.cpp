// From the name of a system table to its rows, and who may read them.
#include "statements/system_tables.h"

#include <array>

#include "statements/families.h"
#include "statements/system_table_definitions.h"

namespace kalam::statements {
namespace {

struct Reader {
  std::string_view ns;
  std::string_view name;
  SystemRowsFunction read;
  bool everybody = false;  // readable by every role, filtered to what the caller may see
};

constexpr std::array<Reader, 30> kReaders = {{
    {"system", "users", ReadUsers},
    {"system", "namespaces", ReadNamespaces, true},
    {"system", "schemas", ReadSchemas},
    {"system", "storages", ReadStorages},
    {"system", "jobs", ReadJobs},
    {"system", "job_nodes", ReadJobNodes},
    {"system", "audit_log", ReadAuditLog},
    {"system", "manifest", ReadManifests},
    {"system", "topics", ReadNothing},
    {"system", "topic_offsets", ReadNothing},
    {"system", "tables", ReadTables, true},
    {"system", "columns", ReadColumns, true},
    {"system", "stats", ReadStats},
    {"system", "settings", ReadSettings},
    {"system", "server_logs", ReadServerLogs},
    {"system", "live", ReadNothing},  // read through the services, see ReadRows
    {"system", "sessions", ReadNothing},
    {"system", "transactions", ReadTransactions},
    {"system", "cluster", ReadCluster},
    {"system", "cluster_groups", ReadClusterGroups},
    {"system", "datatypes", ReadDatatypes},
    {"system", "describe", ReadNothing},
    {"system", "memory", ReadMemory},
    {"information_schema", "schemata", ReadSchemata, true},
    {"information_schema", "tables", ReadInformationTables, true},
    {"information_schema", "views", ReadInformationViews, true},
    {"information_schema", "columns", ReadInformationColumns, true},
    {"information_schema", "df_settings", ReadNothing, true},
    {"information_schema", "routines", ReadNothing, true},
    {"information_schema", "parameters", ReadNothing, true},
}};

const Reader* FindReader(std::string_view ns, std::string_view name) {
  const std::string_view canonical = ns == "system" ? CanonicalSystemName(name) : name;
  for (const Reader& reader : kReaders) {
    if (reader.ns == ns && reader.name == canonical) return &reader;
  }
  return nullptr;
}

Result<std::shared_ptr<const RowBuffer>> ReadRows(const SystemSources& sources,
                                                  const Reader& reader, ResultSchema schema,
                                                  const catalog::Caller& caller) {
  if (reader.name == "live" && sources.services.read_live)
    return sources.services.read_live(schema);
  auto rows = std::make_shared<RowBuffer>(std::move(schema));
  KALAM_RETURN_IF_ERROR(reader.read(sources, caller, rows.get()));
  return std::shared_ptr<const RowBuffer>(std::move(rows));
}

Value Cell(TypeKind kind, int64_t number) { return Value(Datum::OfInt(kind, number)); }

}  // namespace

Result<std::shared_ptr<const RowBuffer>> SystemTableRows::Read(
    const catalog::TableDefinition& table, const catalog::Caller& caller) {
  const Reader* reader = FindReader(table.namespace_id, table.name);
  if (!reader) {
    return Status(ErrorKind::TableNotFound, "table '" + table.QualifiedName() + "' not found");
  }
  if (!reader->everybody && !catalog::IsAdmin(caller.role)) {
    return Status(ErrorKind::PermissionDenied,
                  "Access denied: Role '" + RoleTitle(caller.role) + "' cannot access table '" +
                      table.QualifiedName() + "'. System tables require 'dba' or 'system' role.");
  }
  return ReadRows(sources_, *reader, SchemaOf(table), caller);
}

Result<std::shared_ptr<const RowBuffer>> SystemTableRows::ReadUnchecked(
    std::string_view name, const catalog::Caller& caller) {
  const Reader* reader = FindReader("system", name);
  for (const catalog::TablePtr& table : sources_.definitions) {
    if (reader && table->namespace_id == "system" && table->name == reader->name) {
      return ReadRows(sources_, *reader, SchemaOf(*table), caller);
    }
  }
  return Status(ErrorKind::TableNotFound, "table 'system." + std::string(name) + "' not found");
}

ResultSchema SchemaOf(const catalog::TableDefinition& table) {
  ResultSchema schema;
  schema.reserve(table.columns->size());
  for (const catalog::ColumnDefinition& column : *table.columns) {
    schema.push_back(
        {column.name, column.type, column.primary_key, column.primary_key, !column.nullable});
  }
  return schema;
}

Status ReadNothing(const SystemSources&, const catalog::Caller&, RowBuffer*) {
  return Status::Ok();
}

Value TextCell(std::string_view text) { return Value::Text(text); }
Value OptionalTextCell(std::string_view text) {
  return text.empty() ? Value::Null(TypeKind::kText) : Value::Text(text);
}
Value JsonCell(std::string_view text) {
  return text.empty() ? Value::Null(TypeKind::kJson) : Value(Datum::Bytes(TypeKind::kJson, text));
}
Value BigIntCell(int64_t number) { return Value::BigInt(number); }
Value IntCell(int64_t number) { return Cell(TypeKind::kInt, number); }
Value SmallIntCell(int64_t number) { return Cell(TypeKind::kSmallInt, number); }
Value TimestampCell(int64_t us) { return Cell(TypeKind::kTimestamp, us); }
Value OptionalTimestampCell(const std::optional<int64_t>& us) {
  return us ? TimestampCell(*us) : Value::Null(TypeKind::kTimestamp);
}

}  // namespace kalam::statements
