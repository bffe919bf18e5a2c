// Plans: what Prepare makes of a statement, shared by all executions of its shape.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "query/access_path.h"
#include "query/aggregate.h"
#include "query/expression.h"
#include "query/query_engine.h"
#include "query/sort.h"
#include "sql/ast.h"
#include "vectors/vector_graph.h"

namespace kalam::query {

/// What planning reads besides the tree.
struct PlanInput {
  const catalog::Catalog& catalog;
  const StatementContext& context;
  std::span<const DataType> parameter_types;
  /// Of a lifted VALUES insert: parameters above it are cells of the rows.
  int caller_parameter_count = 0;
  bool is_values_insert = false;
  bool native_selects = true;
  /// Not empty: the engine runs the SELECT even though it could run natively, for this reason.
  std::string_view engine_reason = {};
};

struct SortKey {
  NodePtr node;                  // null: the value of `output`
  std::optional<size_t> output;  // index of a projection
  SortOrder order;
};

/// ORDER BY distance(column, vector) LIMIT n: what a vector index can narrow. The sort stays; the
/// index only names rows that are worth sorting.
struct VectorOrder {
  size_t column = 0;  // index into the table's columns
  vectors::Metric metric = vectors::Metric::kCosine;
  NodePtr query;
};

/// A single-table SELECT, or one without FROM, run row by row.
struct SelectPlan {
  catalog::TablePtr table;  // null: no FROM
  ConstantPool constants;
  NodePtr filter;
  AccessPath path;
  bool include_deleted = false;
  bool scan_descending = false;
  bool scan_by_seq = false;
  tables::ColumnSet wanted;
  std::vector<NodePtr> outputs;  // over the table's cells, or over the aggregates' values
  std::vector<AggregateCall> aggregates;
  bool is_aggregate = false;
  ResultSchema schema;
  std::vector<SortKey> sort;  // empty: as the rows come
  /// The sort is only the default order: given up rather than failing for want of memory.
  bool sort_is_default = false;
  std::optional<VectorOrder> vector_order;
  NodePtr limit, offset;
};

/// vector_search('ns.table', 'column', '[...]', top_k): the nearest rows of the caller.
struct VectorSearch {
  uint32_t column = 0;  // of the table
  std::string vector;   // JSON, as written
  int64_t top_k = 10;
};

/// A base table of a statement that the analytical engine runs.
struct EngineTable {
  catalog::TablePtr table;
  bool include_deleted = false;
  std::optional<VectorSearch> search;  // its nearest rows instead of its rows
};

/// A statement for the analytical engine: a checked tree, written as text at execution.
struct EnginePlan {
  sql::QueryPtr query;
  std::vector<EngineTable> tables;  // in the order in which the writer meets them
  std::string default_namespace;
  std::string reason;  // why it is not native
  bool has_limit = false;
};

/// `column = value`: an expression, a column of the engine's answer, or (neither) the column's
/// default.
struct ColumnAssignment {
  size_t column = 0;
  NodePtr value;
  int source_column = -1;
};

struct ReturningPlan {
  std::vector<NodePtr> outputs;
  ResultSchema schema;
};

/// A value of INSERT: an expression, a cell of the lifted rows, or (neither) the column's default.
struct InsertCell {
  NodePtr value;
  int lifted_cell = -1;
};

struct InsertPlan {
  catalog::TablePtr table;
  ConstantPool constants;
  std::vector<size_t> columns;  // targets, in the order of the values
  std::vector<std::vector<InsertCell>>
      rows;  // of a lifted VALUES list: the one row that stands for all
  bool is_values_insert = false;
  PlanPtr source;  // INSERT ... SELECT
  bool has_conflict_clause = false;
  std::vector<ColumnAssignment> conflict_assignments;  // empty: DO NOTHING
  NodePtr conflict_filter;
  std::optional<ReturningPlan> returning;
};

/// UPDATE or DELETE.
struct ChangePlan {
  catalog::TablePtr table;
  ConstantPool constants;
  NodePtr filter;
  AccessPath path;
  tables::ColumnSet filter_columns;
  std::vector<ColumnAssignment> assignments;  // UPDATE
  std::optional<ReturningPlan> returning;
  /// UPDATE ... FROM and the like: a SELECT that gives the key and then the new values.
  PlanPtr source;
};

class Plan {
 public:
  PlanKind kind = PlanKind::kSelect;
  bool needs_worker = false;
  uint64_t catalog_version = 0;
  size_t byte_size = 0;
  std::variant<SelectPlan, EnginePlan, InsertPlan, ChangePlan> body;
};

// select_plan.cpp
/// Plans a SELECT natively; nullopt with `*engine_reason` set when only the engine can run it.
Result<std::optional<SelectPlan>> PlanNativeSelect(const sql::Query& query, const PlanInput& input,
                                                   std::string* engine_reason);
// engine_plan.cpp
/// Resolves and checks a SELECT for the engine. Takes the tree.
Result<EnginePlan> PlanEngineSelect(sql::QueryPtr query, const PlanInput& input,
                                    std::string reason);
/// Either of the two.
Result<PlanPtr> PlanSelect(sql::QueryPtr query, const PlanInput& input);
// dml_plan.cpp
Result<PlanPtr> PlanInsert(sql::InsertStatement& statement, const PlanInput& input);
Result<PlanPtr> PlanUpdate(sql::UpdateStatement& statement, const PlanInput& input);
Result<PlanPtr> PlanDelete(sql::DeleteStatement& statement, const PlanInput& input);

}  // namespace kalam::query
