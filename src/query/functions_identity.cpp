// Who asks, new ids, and distances between vectors.
#include <fmt/core.h>

#include <cmath>
#include <cstdlib>

#include "query/functions.h"
#include "query/vector_distance.h"
#include "types/convert.h"

namespace kalam::query {

namespace {

Status CurrentUser(EvalContext& context, std::span<const Datum>, Datum* out) {
  *out = Datum::Text(context.statement->user_id);
  return {};
}

Status CurrentRole(EvalContext& context, std::span<const Datum>, Datum* out) {
  *out = Datum::Text(context.statement->role);
  return {};
}

Status NeedIds(const EvalContext& context) {
  if (context.statement->ids != nullptr) return {};
  return Status(ErrorKind::InvalidOperation, "functions that give new ids are not allowed here");
}

Status SnowflakeId(EvalContext& context, std::span<const Datum>, Datum* out) {
  KALAM_RETURN_IF_ERROR(NeedIds(context));
  *out = Datum::BigInt(context.statement->ids->function_ids.Next());
  return {};
}

Status UuidV7(EvalContext& context, std::span<const Datum>, Datum* out) {
  KALAM_RETURN_IF_ERROR(NeedIds(context));
  SetText(context, NewUuidV7Text(context.statement->ids->clock), out);
  return {};
}

Status Ulid(EvalContext& context, std::span<const Datum>, Datum* out) {
  KALAM_RETURN_IF_ERROR(NeedIds(context));
  SetText(context, NewUlid(context.statement->ids->clock), out);
  return {};
}

template <vectors::Metric kMetric>
Status VectorDistance(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  if (arguments[1].is_null) {
    return Status(ErrorKind::Execution,
                  std::string(DistanceName(kMetric)) + "() query vector cannot be NULL");
  }
  if (arguments[0].is_null) return {};
  std::string_view row, query;
  EvalContext own = context;  // a text in a row is not what the next row has
  own.vector_text = nullptr;
  KALAM_RETURN_IF_ERROR(ReadVector(arguments[0], own, &row));
  KALAM_RETURN_IF_ERROR(ReadVector(arguments[1], context, &query));
  double distance = 0;
  KALAM_RETURN_IF_ERROR(VectorDistanceOf(kMetric, row, query, &distance));
  *out = Datum::Double(static_cast<float>(distance));
  out->kind = TypeKind::kFloat;
  return {};
}

constexpr FunctionSpec kFunctions[] = {
    {"kdb_current_user", ":t", CurrentUser},
    {"kdb_current_role", ":t", CurrentRole},
    {"current_user", ":t", CurrentUser},
    {"current_user_id", ":t", CurrentUser},
    {"current_role", ":t", CurrentRole},
    {"snowflake_id", ":i", SnowflakeId, NullRule::kStrict, Stability::kVolatile},
    {"uuid_v7", ":t", UuidV7, NullRule::kStrict, Stability::kVolatile},
    {"ulid", ":t", Ulid, NullRule::kStrict, Stability::kVolatile},
    {"cosine_distance", "aa:f", VectorDistance<vectors::Metric::kCosine>, NullRule::kCalled},
    {"l2_distance", "aa:f", VectorDistance<vectors::Metric::kL2>, NullRule::kCalled},
    {"inner_product", "aa:f", VectorDistance<vectors::Metric::kDot>, NullRule::kCalled},
};

}  // namespace

std::span<const FunctionSpec> IdentityFunctions() { return kFunctions; }

}  // namespace kalam::query
