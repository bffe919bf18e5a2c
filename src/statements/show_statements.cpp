// SHOW, DESCRIBE and their kin.
#include <fmt/format.h>

#include <algorithm>

#include "jobs/export_jobs.h"
#include "replication/records.h"
#include "statements/column_definitions.h"
#include "statements/families.h"
#include "statements/system_table_definitions.h"
#include "statements/system_tables.h"
#include "storage/key_layout.h"
#include "types/key_codec.h"

namespace kalam::statements {
namespace {

using catalog::TableDefinition;
using catalog::TablePtr;
using Kind = sql::ShowStatement::Kind;

ResultColumn Column(std::string_view name, TypeKind kind) {
  return {.name = std::string(name), .type = DataType::Of(kind)};
}

/// The table, if the caller may know of it.
Result<TablePtr> VisibleTable(AdminContext& context, const StatementRun& run,
                              const sql::QualifiedName& name) {
  KALAM_ASSIGN_OR_RETURN(TablePtr table,
                         context.services.catalog.FindTable(name.namespace_id, name.name));
  if (!table || !MaySee(*table, run.effective)) return NoSuchTable(name);
  return table;
}

void AppendDescribeRows(const TableDefinition& table, RowBuffer* rows) {
  int64_t ordinal = 0;
  for (const catalog::ColumnDefinition& column : *table.columns) {
    const auto text = DefaultText(column.default_value);
    rows->Append({TextCell(column.name), IntCell(++ordinal), BigIntCell(column.column_id),
                  TextCell(SqlName(column.type)), Value::Boolean(column.nullable),
                  Value::Boolean(column.primary_key),
                  text ? TextCell(*text) : Value::Null(TypeKind::kText),
                  OptionalTextCell(column.comment), IntCell(table.schema_version)});
  }
}

ResultSchema DescribeSchema() {
  return {Column("column_name", TypeKind::kText),    Column("ordinal_position", TypeKind::kInt),
          Column("column_id", TypeKind::kBigInt),    Column("data_type", TypeKind::kText),
          Column("is_nullable", TypeKind::kBoolean), Column("is_primary_key", TypeKind::kBoolean),
          Column("column_default", TypeKind::kText), Column("column_comment", TypeKind::kText),
          Column("schema_version", TypeKind::kInt)};
}

/// DESCRIBE TABLE: the columns of the current version; with HISTORY those of every version, oldest
/// first.
Result<std::shared_ptr<RowBuffer>> DescribeTable(AdminContext& context, const StatementRun& run,
                                                 const sql::QualifiedName& name, bool history) {
  KALAM_ASSIGN_OR_RETURN(const TablePtr table, VisibleTable(context, run, name));
  auto rows = std::make_shared<RowBuffer>(DescribeSchema());
  if (!history || table->type == catalog::TableType::kSystem) {
    AppendDescribeRows(*table, rows.get());
    return rows;
  }
  KALAM_ASSIGN_OR_RETURN(const auto versions, context.services.catalog.ListVersions(table->id));
  for (const TablePtr& version : versions) AppendDescribeRows(*version, rows.get());
  return rows;
}

/// DESCRIBE t, as a query engine would answer it.
Result<std::shared_ptr<RowBuffer>> DescribeShort(AdminContext& context, const StatementRun& run,
                                                 const sql::QualifiedName& name) {
  KALAM_ASSIGN_OR_RETURN(const TablePtr table, VisibleTable(context, run, name));
  auto rows = std::make_shared<RowBuffer>(ResultSchema{Column("column_name", TypeKind::kText),
                                                       Column("data_type", TypeKind::kText),
                                                       Column("is_nullable", TypeKind::kText)});
  for (const catalog::ColumnDefinition& column : *table->columns) {
    rows->Append({TextCell(column.name), TextCell(ArrowTypeName(column.type)),
                  TextCell(column.nullable ? "YES" : "NO")});
  }
  return rows;
}

Result<std::shared_ptr<RowBuffer>> ShowColumns(AdminContext& context, const StatementRun& run,
                                               const sql::QualifiedName& name) {
  KALAM_ASSIGN_OR_RETURN(const TablePtr table, VisibleTable(context, run, name));
  auto rows = std::make_shared<RowBuffer>(ResultSchema{
      Column("table_catalog", TypeKind::kText), Column("table_schema", TypeKind::kText),
      Column("table_name", TypeKind::kText), Column("column_name", TypeKind::kText),
      Column("data_type", TypeKind::kText), Column("is_nullable", TypeKind::kText)});
  for (const catalog::ColumnDefinition& column : *table->columns) {
    rows->Append({TextCell("kalam"), TextCell(table->namespace_id), TextCell(table->name),
                  TextCell(column.name), TextCell(ArrowTypeName(column.type)),
                  TextCell(column.nullable ? "YES" : "NO")});
  }
  return rows;
}

Result<std::shared_ptr<RowBuffer>> ShowAll(AdminContext& context) {
  auto rows = std::make_shared<RowBuffer>(
      ResultSchema{Column("name", TypeKind::kText), Column("value", TypeKind::kText)});
  if (!context.services.settings) return rows;
  for (const ShownSetting& setting : context.services.settings())
    rows->Append({TextCell(setting.name), TextCell(setting.value)});
  return rows;
}

/// Counts live rows, of every user for dba and system, else of the caller, and their bytes.
struct RowTotals {
  int64_t rows = 0;
  int64_t bytes = 0;
};
Result<RowTotals> CountRows(AdminContext& context, const StatementRun& run,
                            const TableDefinition& table) {
  const bool whole = catalog::IsAdmin(run.effective.role) || !table.is_scoped_by_user();
  const std::string prefix =
      whole ? storage::TablePrefix(table.id)
            : storage::ScopePrefix(table.id, storage::Scope::OfUser(run.effective.user_id));
  const bool stream = table.type == catalog::TableType::kStream;
  const auto family = stream ? storage::Family::kChanges : storage::Family::kRows;
  RowTotals totals;
  auto iterator = context.services.store.NewIterator(family, {prefix, PrefixEnd(prefix)});
  for (iterator->Seek(prefix); iterator->Valid(); iterator->Next()) {
    bool live = false;
    if (stream) {
      KALAM_ASSIGN_OR_RETURN(const auto change, replication::DecodeChangeRecord(iterator->value()));
      live = change.op != replication::ChangeOp::kDelete && change.expire_at_us > run.now_us;
    } else {
      KALAM_ASSIGN_OR_RETURN(const auto row, replication::DecodeRowRecord(iterator->value()));
      live = !row.tombstone;
    }
    if (live) ++totals.rows;
    totals.bytes += static_cast<int64_t>(iterator->key().size() + iterator->value().size());
    if (run.cancelled && totals.rows % 1024 == 0 && run.cancelled()) {
      return Status(ErrorKind::Cancelled, "the statement was cancelled");
    }
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return totals;
}

/// Subscriptions to the table on this node, out of the rows of system.live.
int64_t CountSubscriptions(SystemTableRows& system, const TableDefinition& table) {
  const auto live = system.ReadUnchecked("live", {"", catalog::Role::kSystem});
  if (!live.ok()) return 0;
  int64_t count = 0;
  for (const std::vector<Value>& row : (*live)->rows()) {
    if (row[3].datum().text() == table.namespace_id && row[4].datum().text() == table.name) ++count;
  }
  return count;
}

Result<std::shared_ptr<RowBuffer>> ShowStats(AdminContext& context, const StatementRun& run,
                                             const sql::QualifiedName& name) {
  KALAM_ASSIGN_OR_RETURN(const TablePtr table, VisibleTable(context, run, name));
  KALAM_ASSIGN_OR_RETURN(const RowTotals totals, CountRows(context, run, *table));
  auto rows = std::make_shared<RowBuffer>(ResultSchema{
      Column("table_name", TypeKind::kText), Column("namespace", TypeKind::kText),
      Column("schema_version", TypeKind::kBigInt), Column("logical_rows", TypeKind::kBigInt),
      Column("flushed_segments", TypeKind::kBigInt), Column("active_streams", TypeKind::kBigInt),
      Column("memory_bytes", TypeKind::kBigInt)});
  rows->Append({TextCell(table->name), TextCell(table->namespace_id),
                BigIntCell(table->schema_version), BigIntCell(totals.rows), BigIntCell(0),
                BigIntCell(CountSubscriptions(context.system, *table)), BigIntCell(totals.bytes)});
  return rows;
}

/// Rows shaped like system.schemas, of current versions; system tables only when their namespace is
/// asked for.
Result<std::shared_ptr<RowBuffer>> ShowTables(AdminContext& context, const StatementRun& run,
                                              const std::string& ns) {
  const SystemSources& sources = context.system.sources();
  if (!ns.empty() && ns != "information_schema" && !context.services.catalog.NamespaceExists(ns)) {
    return Status(ErrorKind::NotFound, "Namespace '" + ns + "' not found");
  }
  ResultSchema schema;
  for (const TablePtr& table : sources.definitions) {
    if (table->namespace_id == "system" && table->name == "schemas") schema = SchemaOf(*table);
  }
  auto rows = std::make_shared<RowBuffer>(std::move(schema));
  KALAM_ASSIGN_OR_RETURN(const auto tables, VisibleTables(sources, run.effective, ns));
  for (const TablePtr& table : tables) {
    if (ns.empty() && table->type == catalog::TableType::kSystem) continue;
    KALAM_RETURN_IF_ERROR(AppendSchemaRow(*table, true, rows.get()));
  }
  return rows;
}

/// `part` as one part of a URL's path.
std::string PercentEncode(std::string_view part) {
  std::string encoded;
  for (const char c : part) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '.' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

/// `ws://host:port/v1/ws` -> `http://host:port`.
std::string OriginOf(const AdminContext& context) {
  std::string url = context.services.websocket_url ? context.services.websocket_url() : "";
  if (!url.starts_with("ws")) return "";
  url.replace(0, 2, "http");
  return url.substr(0, url.find("/v1/ws"));
}

Result<std::shared_ptr<RowBuffer>> ShowExport(const AdminContext& context,
                                              const StatementRun& run) {
  auto rows = std::make_shared<RowBuffer>(
      ResultSchema{Column("job_id", TypeKind::kText), Column("status", TypeKind::kText),
                   Column("created_at", TypeKind::kTimestamp), Column("message", TypeKind::kText),
                   Column("download_url", TypeKind::kText)});
  if (context.exports == nullptr) return rows;
  const std::string& user_id = run.effective.user_id;
  KALAM_ASSIGN_OR_RETURN(const auto exported, context.exports->List(user_id));
  for (const jobs::ExportRow& row : exported) {
    rows->Append({TextCell(row.job.job_id), TextCell(jobs::JobStatusName(row.job.status)),
                  TimestampCell(row.job.created_at_us), OptionalTextCell(row.job.message),
                  TextCell(row.has_archive ? fmt::format("{}/v1/exports/{}/{}", OriginOf(context),
                                                         PercentEncode(user_id), row.export_id)
                                           : "")});
  }
  return rows;
}

using Rows = Result<std::shared_ptr<const RowBuffer>>;
Rows Const(Result<std::shared_ptr<RowBuffer>> rows) {
  if (!rows.ok()) return std::move(rows).status();
  return std::shared_ptr<const RowBuffer>(*std::move(rows));
}

Rows RowsOf(AdminContext& context, const StatementRun& run, const sql::ShowStatement& statement,
            const sql::QualifiedName& table) {
  switch (statement.kind) {
    case Kind::kNamespaces:
      return context.system.ReadUnchecked("namespaces", run.effective);
    case Kind::kTables:
      return Const(ShowTables(context, run, catalog::FoldName(statement.namespace_id)));
    case Kind::kStorages:
      return context.system.ReadUnchecked("storages", run.effective);
    case Kind::kManifest:
      return context.system.ReadUnchecked("manifest", run.effective);
    case Kind::kStats:
      return Const(ShowStats(context, run, table));
    case Kind::kExport:
      return Const(ShowExport(context, run));
    case Kind::kColumns:
      return Const(ShowColumns(context, run, table));
    case Kind::kAll:
      return Const(ShowAll(context));
    case Kind::kDescribeTable:
      return Const(DescribeTable(context, run, table, false));
    case Kind::kHistory:
      return Const(DescribeTable(context, run, table, true));
    case Kind::kDescribe:
      return Const(DescribeShort(context, run, table));
  }
  return Status(ErrorKind::InvalidSql, "Unsupported SHOW statement");
}

/// What the audit row names: the table, the namespace, or the kind of list.
std::string AuditTarget(const sql::ShowStatement& statement, const sql::QualifiedName& table) {
  switch (statement.kind) {
    case Kind::kNamespaces:
      return "namespaces";
    case Kind::kTables:
      return statement.namespace_id.empty() ? "tables" : statement.namespace_id;
    case Kind::kStorages:
      return "storages";
    case Kind::kManifest:
      return "manifest";
    case Kind::kExport:
      return "export";
    case Kind::kAll:
      return "settings";
    default:
      return table.namespace_id + "." + table.name;
  }
}

}  // namespace

Result<StatementResult> Execute(AdminContext& context, StatementRun& run,
                                const sql::ShowStatement& statement) {
  const sql::QualifiedName table = Resolve(run, statement.table);
  const int64_t begun_us = context.services.clock.SteadyUs();
  KALAM_ASSIGN_OR_RETURN(auto rows, RowsOf(context, run, statement, table));
  const bool describes = statement.kind == Kind::kDescribe ||
                         statement.kind == Kind::kDescribeTable || statement.kind == Kind::kHistory;
  const int64_t took_ms = (context.services.clock.SteadyUs() - begun_us) / 1000;
  KALAM_RETURN_IF_ERROR(AuditRead(
      context, MakeAudit(run, describes ? "DESCRIBE" : "SHOW", AuditTarget(statement, table),
                         "{\"took\":" + std::to_string(took_ms) + "}")));
  return Shown(std::move(rows));
}

}  // namespace kalam::statements
