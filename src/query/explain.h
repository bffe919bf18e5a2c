// EXPLAIN: what a plan will do, in rows of plan_type and plan.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "query/plan.h"
#include "tables/cold_extent.h"

namespace kalam::query {

/// Figures of EXPLAIN ANALYZE.
struct Measurement {
  int64_t row_count = 0;
  int64_t elapsed_us = 0;
};

struct ExplainInput {
  const BoundPlan& bound;
  const StatementContext& context;
  bool verbose = false;
  std::string engine_plan;  // the engine's own plan, with VERBOSE or when segments are read
  std::optional<Measurement> measured;
  std::optional<tables::ColdPruning> segments;  // of a native SELECT over a table that has some
  /// A rough number of the rows that the caller has in a table; nullopt when nobody can tell
  /// without reading them.
  std::function<std::optional<int64_t>(const catalog::TablePtr&)> estimate_rows;
  const vectors::VectorIndexes* vector_indexes = nullptr;
};

Result<std::shared_ptr<RowBuffer>> ExplainPlan(const ExplainInput& input);

/// Counts rows and keeps nothing.
class CountingSink final : public RowSink {
 public:
  void BeginRow() override {}
  void Cell(const Datum&, const DataType&) override {}
  void EndRow() override { ++row_count_; }
  size_t buffered_bytes() const override { return 0; }
  int64_t row_count() const { return row_count_; }

 private:
  int64_t row_count_ = 0;
};

}  // namespace kalam::query
