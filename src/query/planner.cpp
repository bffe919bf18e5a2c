// Preparing statements.
#include "query/planner.h"

#include <fmt/core.h>

#include "query/execution.h"
#include "sql/parser.h"

namespace kalam::query {

namespace {

/// What a plan takes for every byte of its statement: trees and nodes are many times their text.
constexpr size_t kPlanBytesPerTextByte = 16;
constexpr size_t kPlanBytesMin = 1024;

std::string CacheKey(const StatementContext& context, const sql::LiftedStatement& lifted,
                     std::span<const DataType> types, bool for_engine) {
  std::string key;
  key.reserve(context.default_namespace.size() + lifted.key.size() + 2 * types.size() + 3);
  key += context.default_namespace;
  key += '\0';
  key += static_cast<char>(context.caller.role);
  key += lifted.is_values_insert ? 'v' : for_engine ? 'e' : 'p';
  for (const DataType& type : types) {
    key += static_cast<char>(type.kind);
    if (type.kind == TypeKind::kDecimal) key += static_cast<char>(type.scale);
  }
  key += '\0';
  key += lifted.key;
  return key;
}

}  // namespace

Status Planner::CheckParameters(std::span<const Value> parameters) const {
  if (parameters.size() > limits.parameters_max) {
    return Status(ErrorKind::ParameterBinding,
                  fmt::format("Parameter count {} exceeds the maximum limit of {}",
                              parameters.size(), limits.parameters_max));
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Datum value = parameters[i].datum();
    const size_t size = !value.is_null && DataType::Of(value.kind).is_bytes_like() ? value.size : 0;
    if (size <= limits.parameter_bytes_max) continue;
    return Status(ErrorKind::ParameterBinding,
                  fmt::format("Parameter ${} size {} bytes exceeds the maximum of {} bytes", i + 1,
                              size, limits.parameter_bytes_max));
  }
  return {};
}

Result<PlanPtr> Planner::PlanText(std::string_view text, const PlanInput& input) const {
  RunLimits run;
  run.memory = input.context.memory;
  run.memory_max_bytes = input.context.memory_max_bytes;
  StatementMemory memory(run);
  KALAM_RETURN_IF_ERROR(memory.Reserve(sql::ParseBytes(text)));
  const uint64_t version = catalog.version();  // before anything is looked up
  KALAM_ASSIGN_OR_RETURN(sql::Statement statement, sql::ParseStatement(text));
  Result<PlanPtr> plan =
      Status(ErrorKind::InvalidSql, "only SELECT, INSERT, UPDATE and DELETE can be planned");
  if (auto* query = std::get_if<sql::QueryPtr>(&statement.body)) {
    plan = PlanSelect(std::move(*query), input);
  } else if (auto* insert = std::get_if<std::unique_ptr<sql::InsertStatement>>(&statement.body)) {
    plan = PlanInsert(**insert, input);
  } else if (auto* update = std::get_if<std::unique_ptr<sql::UpdateStatement>>(&statement.body)) {
    plan = PlanUpdate(**update, input);
  } else if (auto* removal = std::get_if<std::unique_ptr<sql::DeleteStatement>>(&statement.body)) {
    plan = PlanDelete(**removal, input);
  }
  if (!plan.ok()) return plan;
  auto stamped = std::const_pointer_cast<Plan>(*plan);  // just made here, seen by nobody else
  stamped->catalog_version = version;
  stamped->byte_size = kPlanBytesMin + text.size() * kPlanBytesPerTextByte;
  return plan;
}

Result<BoundPlan> Planner::Prepare(std::string_view text, std::span<const Value> parameters,
                                   const StatementContext& context,
                                   std::string_view engine_reason) const {
  KALAM_RETURN_IF_ERROR(CheckParameters(parameters));
  // A text with parameters comes again as it is.
  std::shared_ptr<const sql::LiftedStatement> kept;
  sql::LiftedStatement own;
  if (!parameters.empty()) kept = cache.FindLifted(text);
  if (kept == nullptr) {
    KALAM_ASSIGN_OR_RETURN(own, sql::LiftLiterals(text));
    if (!parameters.empty()) kept = cache.PutLifted(text, std::move(own));
  }
  const sql::LiftedStatement& lifted = kept != nullptr ? *kept : own;
  std::vector<Value> literals = kept != nullptr ? kept->literals : std::move(own.literals);
  const auto caller_count = static_cast<size_t>(lifted.caller_parameter_count);
  if (caller_count > parameters.size()) {
    return Status(ErrorKind::ParameterBinding,
                  fmt::format("the statement has {} parameters but {} values were given",
                              caller_count, parameters.size()));
  }
  BoundPlan bound;
  bound.parameters.reserve(caller_count + (lifted.is_values_insert ? 0 : literals.size()));
  bound.parameters.assign(parameters.begin(),
                          parameters.begin() + static_cast<ptrdiff_t>(caller_count));
  std::vector<DataType> types;
  if (lifted.is_values_insert) {
    for (const auto& [cell, parameter] : lifted.parameter_cells) {
      literals[static_cast<size_t>(cell)] = parameters[static_cast<size_t>(parameter) - 1];
    }
    bound.values_rows = std::move(literals);
    bound.values_row_width = static_cast<size_t>(lifted.values_row_width);
    bound.values_row_count = static_cast<size_t>(lifted.values_row_count);
    // The cells are coerced one by one: their types do not belong to the plan.
    types.assign(caller_count + bound.values_row_width, DataType());
  } else {
    for (Value& literal : literals) bound.parameters.push_back(std::move(literal));
    for (const Value& value : bound.parameters) types.push_back(TypeOfValue(value));
  }
  // Of a lifted insert only the clauses behind VALUES can use a parameter as such.
  const bool typed = !lifted.is_values_insert ||
                     lifted.key.find("on conflict") != std::string::npos ||
                     lifted.key.find("returning") != std::string::npos;
  for (size_t i = 0; typed && i < caller_count; ++i) types[i] = TypeOfValue(parameters[i]);
  std::string key = CacheKey(context, lifted, types, !engine_reason.empty());
  bound.plan = cache.Find(key, catalog.version());
  if (bound.plan != nullptr) return bound;

  const PlanInput input{catalog,
                        context,
                        types,
                        lifted.caller_parameter_count,
                        lifted.is_values_insert,
                        limits.native_selects,
                        engine_reason};
  Result<PlanPtr> plan = PlanText(lifted.key, input);
  if (!plan.ok()) {
    // Plan the text as it was written: the error then tells positions in it.
    std::vector<DataType> caller_types;
    for (const Value& value : parameters) caller_types.push_back(TypeOfValue(value));
    const PlanInput plain{catalog,      context, caller_types, 0, false, limits.native_selects,
                          engine_reason};
    Result<PlanPtr> as_written = PlanText(text, plain);
    // A text that is too large for its positions has an error all the same.
    const bool too_large = as_written.status().Is(ErrorKind::MemoryExceeded) ||
                           as_written.status().Is(ErrorKind::MemoryPressure);
    if (too_large) return std::move(plan).status();
    plan = std::move(as_written);
    if (!plan.ok()) return std::move(plan).status();
    bound.parameters.assign(parameters.begin(), parameters.end());
    bound.values_rows.clear();
    bound.plan = std::move(*plan);
    return bound;
  }
  bound.plan = std::move(*plan);
  cache.Put(std::move(key), bound.plan);
  return bound;
}

}  // namespace kalam::query
