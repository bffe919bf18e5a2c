// The rows of system tables, views and information_schema, computed when they are read.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "jobs/job_queue.h"
#include "query/query_engine.h"
#include "statements/sql_request.h"
#include "statements/transaction_registry.h"

namespace kalam::statements {

/// What the rows are computed from. Lives as long as the server.
struct SystemSources {
  const StatementServices& services;
  const TransactionRegistry& transactions;
  jobs::JobQueue& jobs;
  /// All system definitions, aliases included.
  std::vector<catalog::TablePtr> definitions;
  int64_t started_steady_us = 0;
};

/// Fills rows of one system table for a caller.
using SystemRowsFunction = Status (*)(const SystemSources& sources, const catalog::Caller& caller,
                                      RowBuffer* rows);

/// Thread-safety: all methods may be called from any thread.
class SystemTableRows : public query::SystemTables {
 public:
  explicit SystemTableRows(SystemSources sources) : sources_(std::move(sources)) {}
  Result<std::shared_ptr<const RowBuffer>> Read(const catalog::TableDefinition& table,
                                                const catalog::Caller& caller) override;
  /// The rows of `system.<name>` without the role check, for SHOW.
  Result<std::shared_ptr<const RowBuffer>> ReadUnchecked(std::string_view name,
                                                         const catalog::Caller& caller);
  const SystemSources& sources() const { return sources_; }

 private:
  const SystemSources sources_;
};

/// The result columns of a system definition.
ResultSchema SchemaOf(const catalog::TableDefinition& table);

// ---- Values of cells.
Value TextCell(std::string_view text);
Value OptionalTextCell(std::string_view text);  // empty: NULL
Value JsonCell(std::string_view text);          // empty: NULL
Value BigIntCell(int64_t number);
Value IntCell(int64_t number);
Value SmallIntCell(int64_t number);
Value TimestampCell(int64_t us);
Value OptionalTimestampCell(const std::optional<int64_t>& us);

// ---- One function a table, in system_rows_*.cpp.
Status ReadUsers(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadNamespaces(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadSchemas(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadStorages(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadTables(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadColumns(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadJobs(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadJobNodes(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadManifests(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadAuditLog(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadStats(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadSettings(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadServerLogs(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadTransactions(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadCluster(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadClusterGroups(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadDatatypes(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadMemory(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadSchemata(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadInformationTables(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadInformationViews(const SystemSources&, const catalog::Caller&, RowBuffer*);
Status ReadInformationColumns(const SystemSources&, const catalog::Caller&, RowBuffer*);
/// Tables whose feature this release does not have, and those that are empty by definition.
Status ReadNothing(const SystemSources&, const catalog::Caller&, RowBuffer*);

// ---- Shared by the row functions and SHOW.

/// Rows shaped like system.schemas: of `table` alone.
Status AppendSchemaRow(const catalog::TableDefinition& table, bool is_latest, RowBuffer* rows);
/// Tables and system tables that `caller` may know of, aliases left out; of one namespace unless
/// `ns` is empty.
Result<std::vector<catalog::TablePtr>> VisibleTables(const SystemSources& sources,
                                                     const catalog::Caller& caller,
                                                     std::string_view ns);
/// Namespaces that hold something the caller may see, or nothing at all.
Result<std::vector<catalog::NamespaceDefinition>> VisibleNamespaces(const SystemSources& sources,
                                                                    const catalog::Caller& caller);
/// "Utf8", "Int64", "Decimal128(10, 2)": the names that DESCRIBE t and information_schema use.
std::string ArrowTypeName(const DataType& type);

std::vector<StatSample> CollectStats(const SystemSources& sources);

}  // namespace kalam::statements
