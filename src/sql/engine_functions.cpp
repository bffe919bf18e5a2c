// See engine_functions.h. Functions that allocate without bound, tell of the server or keep state
// are not on the lists.
#include "sql/engine_functions.h"

#include <algorithm>
#include <iterator>

namespace kalam::sql {
namespace {

// Sorted, for binary search. Scalar functions of the native plans are registered in the engine
// under their own names.
constexpr std::string_view kCalls[] = {
    "abs",
    "acos",
    "age",
    "any_value",
    "array_agg",
    "array_length",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "btrim",
    "cardinality",
    "cbrt",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "corr",
    "cos",
    "cosine_distance",
    "cot",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "date_part",
    "date_trunc",
    "degrees",
    "dense_rank",
    "ends_with",
    "exp",
    "first_value",
    "floor",
    "generate_series",
    "greatest",
    "initcap",
    "inner_product",
    "instr",
    "json_array_length",
    "json_as_text",
    "json_contains",
    "json_extract_path",
    "json_extract_path_text",
    "json_from_scalar",
    "json_get",
    "json_get_array",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_json",
    "json_get_str",
    "json_keys",
    "json_length",
    "json_object_keys",
    "json_valid",
    "l2_distance",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "list_extract",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_timestamp",
    "max",
    "md5",
    "median",
    "min",
    "mode",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "position",
    "pow",
    "power",
    "radians",
    "random",
    "rank",
    "regexp_replace",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row_number",
    "rpad",
    "rtrim",
    "sign",
    "sin",
    "split_part",
    "sqrt",
    "starts_with",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "strpos",
    "substr",
    "substring",
    "tan",
    "to_char",
    "to_hex",
    "to_timestamp",
    "translate",
    "trim",
    "trunc",
    "unnest",
    "upper",
    "var_pop",
    "var_samp",
    "variance",
};
static_assert(std::is_sorted(std::begin(kCalls), std::end(kCalls)));

struct Special {
  std::string_view name;
  EngineFunction function;
};
constexpr Special kSpecials[] = {
    {"sum", {EngineForm::kSum, "sum"}},
    {"every", {EngineForm::kRename, "bool_and"}},
    {"mod", {EngineForm::kRename, "kalam_modulo"}},
    {"snowflake_id", {EngineForm::kRename, "kalam_snowflake_id"}},
    {"uuid_v7", {EngineForm::kRename, "kalam_uuid_v7"}},
    {"ulid", {EngineForm::kRename, "kalam_ulid"}},
    {"now", {EngineForm::kTimestamp, ""}},
    {"current_timestamp", {EngineForm::kTimestamp, ""}},
    {"localtimestamp", {EngineForm::kTimestamp, ""}},
    {"statement_timestamp", {EngineForm::kTimestamp, ""}},
    {"transaction_timestamp", {EngineForm::kTimestamp, ""}},
    {"current_date", {EngineForm::kDate, ""}},
    {"today", {EngineForm::kDate, ""}},
    {"current_time", {EngineForm::kTime, ""}},
    {"localtime", {EngineForm::kTime, ""}},
    {"current_user", {EngineForm::kUser, ""}},
    {"current_user_id", {EngineForm::kUser, ""}},
    {"kdb_current_user", {EngineForm::kUser, ""}},
    {"current_role", {EngineForm::kRole, ""}},
    {"kdb_current_role", {EngineForm::kRole, ""}},
};

}  // namespace

EngineFunction FindEngineFunction(std::string_view name) {
  if (std::binary_search(std::begin(kCalls), std::end(kCalls), name))
    return {EngineForm::kCall, name};
  for (const Special& special : kSpecials) {
    if (special.name == name) return special.function;
  }
  return {};
}

bool IsEngineTableFunction(std::string_view name) {
  return name == "generate_series" || name == "range" || name == "unnest";
}

}  // namespace kalam::sql
