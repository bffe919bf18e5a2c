// Planning and running SELECT, INSERT, UPDATE and DELETE: native plans through a plan cache,
// everything else by the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analytics/engine.h"
#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "replication/group.h"
#include "sql/parser.h"
#include "tables/table_reader.h"
#include "tables/table_writer.h"
#include "types/row_stream.h"

namespace kalam::segments {
class ColdRows;
}  // namespace kalam::segments

namespace kalam::vectors {
class VectorIndexes;
}

namespace kalam::query {

/// Gives the rows of system tables and views, which live above this layer (`statements`).
/// Registered by name.
class SystemTables {
 public:
  virtual ~SystemTables() = default;
  /// The rows of a system table as `caller` may see them; columns as the catalog's definition
  /// without `_seq`/`_deleted`. Errors: PermissionDenied with the text of sql.md 6.
  virtual Result<std::shared_ptr<const RowBuffer>> Read(const catalog::TableDefinition& table,
                                                        const catalog::Caller& caller) = 0;
};

/// Everything about one statement's execution that does not come from its text. Cheap to make per
/// statement.
struct StatementContext {
  catalog::Caller caller;  // under EXECUTE AS: the target, role kUser
  std::string default_namespace = "default";
  int64_t now_us = 0;  // the statement's NOW()
  tables::Transaction* transaction = nullptr;
  int64_t deadline_steady_us = 0;   // 0: none; passing it is Timeout
  std::function<bool()> cancelled;  // may be empty; true is Cancelled
  MemoryAccount* memory = nullptr;  // per-statement bound; MemoryExceeded beyond it
  int64_t memory_max_bytes = 64 << 20;
  bool on_worker = false;  // heavy plans may run; otherwise they answer NeedsWorker
  /// What would have to be read from the disk answers NotInMemory, when rows are opened or while
  /// they are pulled: run the statement again on a worker.
  bool only_in_memory = false;
};

/// Configured cuts (decision 4); 0: none.
struct QueryLimits {
  int64_t default_query_limit = 0;
  int64_t max_query_limit = 0;
  size_t plan_cache_entries = 200;
  int64_t plan_cache_ttl_seconds = 900;
  size_t parameters_max = 32767;
  size_t parameter_bytes_max = 512 << 10;
  /// False sends every SELECT that reads a table to the analytical engine: for the tests that hold
  /// both paths to the same answers.
  bool native_selects = true;
};

/// A plan, shared by all executions of statements of its shape. Immutable.
class Plan;
using PlanPtr = std::shared_ptr<const Plan>;

/// A plan with the values of this execution.
struct BoundPlan {
  PlanPtr plan;
  std::vector<Value> parameters;  // the caller's, then the lifted literals
  /// Rows of a lifted VALUES insert, row by row; empty otherwise.
  std::vector<Value> values_rows;
  size_t values_row_width = 0;
  /// Rows of the VALUES list; may be more than 0 with a width of 0 (`VALUES (DEFAULT)`).
  size_t values_row_count = 0;
  /// Rows of its table may lie in segments: reading even one of them may wait for a file.
  bool reads_segments = false;
  /// A scan that runs natively but reads so many cold rows that `plan` hands it to the engine: the
  /// rows that made it so, and the plan for want of an engine.
  int64_t cold_row_count = 0;
  PlanPtr native_plan;
};

enum class PlanKind : uint8_t { kSelect, kInsert, kUpdate, kDelete };
PlanKind KindOf(const Plan& plan);
/// True when running it may take long: joins and grouping in the engine, scans without a bound,
/// system tables, tables with segments.
bool NeedsWorker(const BoundPlan& plan);

/// What a DML statement wants to change. `command` is null when nothing changes. In a transaction
/// the changes are staged there instead and `command` is always null.
struct DmlEvaluation {
  std::shared_ptr<replication::Command> command;
  int64_t row_count = 0;
  std::shared_ptr<RowBuffer> returning;  // null without RETURNING
  MemoryCharge memory;                   // what the two hold; keep it as long as them
};

struct PlanCacheStats {
  int64_t entries = 0, hits = 0, misses = 0, bytes = 0;
};

/// Thread-safety: all methods may be called from any thread.
class QueryEngine {
 public:
  struct Dependencies {
    storage::Store& store;
    catalog::Catalog& catalog;
    replication::ReplicationGroup& group;
    analytics::Engine& engine;
    const Clock& clock;
    MemoryAccount& memory;
    Metrics& metrics;
    segments::ColdRows* cold_rows = nullptr;  // null: no table has segments
  };
  static std::unique_ptr<QueryEngine> Make(Dependencies dependencies, const QueryLimits& limits);
  virtual ~QueryEngine() = default;

  virtual void SetSystemTables(SystemTables* system_tables) = 0;
  /// Before the first statement; null: every row is compared.
  virtual void SetVectorIndexes(vectors::VectorIndexes* vector_indexes) = 0;

  /// Parses, binds and plans one SELECT, INSERT, UPDATE or DELETE, or finds its plan in the cache,
  /// and binds the parameters. Checks what the caller may read and write. Errors: InvalidSql,
  /// TableNotFound, PermissionDenied, InvalidOperation (unknown column), ParameterBinding, ...
  virtual Result<BoundPlan> Prepare(std::string_view text, std::span<const Value> parameters,
                                    const StatementContext& context) = 0;

  /// The rows of a SELECT. The stream is bound to a view taken here (or the transaction's).
  virtual Result<std::unique_ptr<RowStream>> OpenSelect(const BoundPlan& plan,
                                                        const StatementContext& context) = 0;

  /// Evaluates DML on a fresh view. The caller proposes the command; on Conflict or StaleSchema it
  /// evaluates again (StaleSchema: prepares again).
  virtual Result<DmlEvaluation> EvaluateDml(const BoundPlan& plan,
                                            const StatementContext& context) = 0;

  /// Rows of EXPLAIN: plan_type, plan.
  virtual Result<std::shared_ptr<RowBuffer>> Explain(std::string_view text,
                                                     std::span<const Value> parameters,
                                                     const StatementContext& context, bool analyze,
                                                     bool verbose) = 0;

  /// A new transaction on the published state.
  virtual std::unique_ptr<tables::Transaction> Begin(const StatementContext& context,
                                                     size_t buffer_bytes_max,
                                                     int64_t deadline_us) = 0;

  virtual PlanCacheStats plan_cache_stats() const = 0;
  virtual void ClearPlanCache() = 0;
  virtual tables::TableReader& reader() = 0;
};

/// Whether `caller` may read / write the rows of `table`; the error is the spec's PermissionDenied
/// text (sql.md 0.2).
Status CheckReadAccess(const catalog::TableDefinition& table, const catalog::Caller& caller);
Status CheckWriteAccess(const catalog::TableDefinition& table, const catalog::Caller& caller);

}  // namespace kalam::query
