// What one execution of a plan carries: values, limits and the state that it reads.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "query/expression.h"
#include "query/query_engine.h"
#include "tables/table_reader.h"

namespace kalam::query {

/// What a running statement may take. Copied from the StatementContext, because streams outlive it.
struct RunLimits {
  const Clock* clock = nullptr;
  int64_t deadline_steady_us = 0;
  std::function<bool()> cancelled;
  MemoryAccount* memory = nullptr;
  int64_t memory_max_bytes = 0;  // 0: none

  static RunLimits Of(const StatementContext& context, const Clock& clock);
  /// Errors: Timeout, Cancelled.
  Status Check() const;
};

/// Rows between two looks at the clock.
inline constexpr uint32_t kRowsBetweenChecks = 1024;

/// The memory that one statement holds, charged to its account. Not thread-safe.
class StatementMemory {
 public:
  explicit StatementMemory(const RunLimits& limits) : limits_(limits) {}
  StatementMemory(const StatementMemory&) = delete;
  StatementMemory& operator=(const StatementMemory&) = delete;
  ~StatementMemory() { ReleaseAll(); }
  /// Errors: MemoryExceeded (beyond the statement's own bound), MemoryPressure (beyond the
  /// server's).
  Status Reserve(int64_t bytes);
  void Release(int64_t bytes);
  void ReleaseAll() { Release(used_bytes_); }
  int64_t used_bytes() const { return used_bytes_; }

 private:
  const RunLimits& limits_;
  int64_t used_bytes_ = 0;
};

StatementValues StatementValuesOf(const StatementContext& context, IdSource* ids);

/// The bound constants of a plan with the arena that holds them, and an arena for the row at hand.
class Evaluation {
 public:
  Evaluation(const ConstantPool& constants, std::span<const Value> parameters,
             StatementValues statement);
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;
  /// Casts the constants; call once before anything is evaluated.
  Status Bind();
  /// For values that live as long as the execution.
  EvalContext ForStatement();
  /// For one row: `cells` are the row's; values live until the next ForRow.
  EvalContext& ForRow(std::span<const Datum> cells);

 private:
  const ConstantPool& pool_;
  const std::span<const Value> parameters_;
  const StatementValues statement_;
  Arena statement_arena_, row_arena_;
  VectorText vector_text_;
  std::vector<Datum> constants_;
  EvalContext row_context_;
};

}  // namespace kalam::query
