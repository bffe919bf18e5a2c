// Compiled expressions: one engine for SELECT, DML and live filters, evaluated on the cells of a
// row.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/id_generators.h"
#include "base/ids.h"
#include "base/status.h"
#include "sql/ast.h"
#include "types/value.h"

namespace kalam::query {

/// Where SNOWFLAKE_ID(), UUID_V7() and ULID() take their ids from; one for the query engine.
/// Thread-safety: any thread.
class IdSource {
 public:
  explicit IdSource(const Clock& id_clock)
      : clock(id_clock), function_ids(id_clock, 0, 0), default_ids(id_clock, kSeqEpochMs, 0) {}
  const Clock& clock;
  SnowflakeGenerator function_ids;  // SNOWFLAKE_ID() in statements: Unix epoch
  SnowflakeGenerator default_ids;   // DEFAULT SNOWFLAKE_ID(): the epoch of `_seq`
};

/// What an expression reads besides its row: constant during one statement's execution.
struct StatementValues {
  std::string user_id;
  std::string role;
  int64_t now_us = 0;
  IdSource* ids = nullptr;  // null: volatile functions are an error (live filters)
};

/// One evaluation. Cheap to make; results point into `arena`, the cells or the constants.
/// The vector that the last text was read as: a query vector is the same text for every row.
struct VectorText {
  std::string text;
  std::string floats;
};

struct EvalContext {
  std::span<const Datum> cells;      // by column slot
  std::span<const Datum> constants;  // by constant slot, from ConstantPool::Bind
  const StatementValues* statement = nullptr;
  Arena* arena = nullptr;
  VectorText* vector_text = nullptr;  // may be null
};

/// A node of a compiled expression. Immutable; evaluation is thread-safe.
class Node {
 public:
  virtual ~Node() = default;
  /// Sets `*out` to a value of `type()` or NULL. Errors: Execution (overflow, division by zero, a
  /// text that is no number).
  virtual Status Evaluate(EvalContext& context, Datum* out) const = 0;
  const DataType& type() const { return type_; }
  /// True when the value does not depend on the row and is the same for the whole statement.
  bool is_statement_constant() const { return is_statement_constant_; }

 protected:
  DataType type_;
  bool is_statement_constant_ = false;
};
using NodePtr = std::unique_ptr<Node>;

/// Literals and parameters of a plan, with the type that their place wants; cast once per
/// execution.
class ConstantPool {
 public:
  struct Slot {
    int parameter_index = 0;  // 1-based; 0: `literal`
    Value literal;
    DataType target;  // kNull: as it comes
  };
  uint32_t Add(Slot slot) {
    slots_.push_back(std::move(slot));
    return static_cast<uint32_t>(slots_.size() - 1);
  }
  Slot& slot(uint32_t index) { return slots_[index]; }
  const std::vector<Slot>& slots() const { return slots_; }
  /// The values of one execution; they point into `parameters`, this pool and `arena`.
  /// Errors: ParameterBinding (a parameter is missing), Execution (a value cannot be cast to the
  /// type that its place wants).
  Status Bind(std::span<const Value> parameters, Arena* arena, std::vector<Datum>* constants) const;
  size_t byte_size() const;

 private:
  std::vector<Slot> slots_;
};

/// A column that an expression may read.
struct ColumnSlot {
  uint32_t slot = 0;  // index into EvalContext::cells
  DataType type;
};

/// Resolves the columns of an expression.
class ColumnScope {
 public:
  virtual ~ColumnScope() = default;
  /// Errors: InvalidOperation (unknown or ambiguous column, with its position).
  virtual Result<ColumnSlot> Resolve(const sql::Expr& column) const = 0;
};

/// Takes the aggregate calls out of a select list; a null collector makes them errors.
class AggregateCollector {
 public:
  virtual ~AggregateCollector() = default;
  /// The slot (in EvalContext::cells of the outer expression) of this aggregate's result.
  virtual Result<ColumnSlot> Collect(const sql::Expr& call) = 0;
};

/// What the compilation of a plan's expressions shares.
struct CompileState {
  const ColumnScope* columns = nullptr;       // null: no columns here
  AggregateCollector* aggregates = nullptr;   // null: no aggregates here
  std::span<const DataType> parameter_types;  // of the values of $1..
  ConstantPool* constants = nullptr;
  std::vector<uint32_t> columns_used;  // slots, in order of first use, without repetition
  /// Set when only the analytical engine can evaluate something; compilation then fails with
  /// NotAvailable.
  std::string engine_reason;
  int depth = 0;
};

/// Compiles `expr`. Errors: InvalidSql, InvalidOperation (types do not fit, unknown column),
/// NotAvailable with `state->engine_reason` set when the native engine does not have something.
Result<NodePtr> Compile(const sql::Expr& expr, CompileState* state);
/// Compiles a condition: like Compile, but the result is a BOOLEAN (or NULL).
Result<NodePtr> CompileCondition(const sql::Expr& expr, CompileState* state);
/// `node` as a value of `type`: a constant is cast at binding, anything else per row.
NodePtr CastTo(NodePtr node, const DataType& type, ConstantPool* constants);

/// True when the condition is true (not false, not NULL).
inline Result<bool> IsTrue(const Node& condition, EvalContext& context) {
  Datum value;
  if (Status status = condition.Evaluate(context, &value); !status.ok()) return status;
  return !value.is_null && value.boolean();
}

/// The type of an owning value; a decimal has its own scale.
DataType TypeOfValue(const Value& value);

/// True for the names of aggregate functions, native or not.
bool IsAggregateName(std::string_view name);
/// True when `expr` has an aggregate call outside of subqueries and windows.
bool ContainsAggregate(const sql::Expr& expr);

}  // namespace kalam::query
