// Plain aggregates over all rows of a statement: COUNT, SUM, AVG, MIN, MAX without GROUP BY.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "query/execution.h"
#include "query/expression.h"

namespace kalam::query {

enum class AggregateFunction : uint8_t { kCount, kSum, kAverage, kMin, kMax };

/// One aggregate call of a select list.
struct AggregateCall {
  AggregateFunction function = AggregateFunction::kCount;
  NodePtr argument;       // null: count(*)
  NodePtr filter;         // FILTER (WHERE ...); may be null
  bool distinct = false;  // COUNT only
  DataType type;
};

/// Compiles an aggregate call with the columns of `state`. NotAvailable with `state->engine_reason`
/// for what only the engine has.
Result<AggregateCall> CompileAggregate(const sql::Expr& call, CompileState* state);

/// The running value of one call. Not thread-safe.
class Accumulator {
 public:
  virtual ~Accumulator() = default;
  /// Errors: Execution (overflow), MemoryExceeded (distinct values).
  virtual Status Add(EvalContext& context) = 0;
  /// The value so far; lives as long as the accumulator.
  virtual Status Finish(Datum* out) = 0;
};
std::unique_ptr<Accumulator> MakeAccumulator(const AggregateCall& call, StatementMemory& memory);

}  // namespace kalam::query
