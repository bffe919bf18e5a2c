// From a statement's text to a bound plan, through the plan cache.
#pragma once

#include <span>
#include <string_view>

#include "query/plan.h"
#include "query/plan_cache.h"

namespace kalam::query {

/// Cheap to make; refers to what the query engine owns.
struct Planner {
  const catalog::Catalog& catalog;
  const QueryLimits& limits;
  PlanCache& cache;

  /// A statement whose shape is known costs the lifting of its literals and one look-up.
  /// `engine_reason`: as PlanInput has it.
  Result<BoundPlan> Prepare(std::string_view text, std::span<const Value> parameters,
                            const StatementContext& context,
                            std::string_view engine_reason = {}) const;

 private:
  Status CheckParameters(std::span<const Value> parameters) const;
  Result<PlanPtr> PlanText(std::string_view text, const PlanInput& input) const;
};

}  // namespace kalam::query
