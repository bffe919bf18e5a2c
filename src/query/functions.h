// The native scalar functions: a table of names, signatures and bodies per family.
#pragma once

#include <span>
#include <string_view>

#include "query/expression.h"

namespace kalam::query {

/// Computes a result from evaluated arguments, which have the types of the signature.
using FunctionBody = Status (*)(EvalContext& context, std::span<const Datum> arguments, Datum* out);

enum class NullRule : uint8_t {
  kStrict,  // a NULL argument makes the result NULL without a call
  kCalled,  // the body sees NULLs
};
enum class Stability : uint8_t {
  kPure,      // a function of its arguments and the statement
  kVolatile,  // another value for every row
};

/// One overload. `signature` is the argument types, a colon and the result type, one letter each:
///   t text · i BIGINT · d DOUBLE · n any number · s TIMESTAMP · D DATE · T TIME · v INTERVAL · b
///   BOOLEAN · j JSON · f FLOAT a anything · `?` the arguments behind it may be missing · `*` the
///   last one may repeat · result `0`: that of argument 0
struct FunctionSpec {
  std::string_view name;
  std::string_view signature;
  FunctionBody body;
  NullRule nulls = NullRule::kStrict;
  Stability stability = Stability::kPure;
};

std::span<const FunctionSpec> TextFunctions();
std::span<const FunctionSpec> MathFunctions();
std::span<const FunctionSpec> TimeFunctions();
std::span<const FunctionSpec> JsonFunctions();
std::span<const FunctionSpec> IdentityFunctions();

/// A call of a native function. `arguments` are compiled. Errors: InvalidOperation (no overload
/// takes these arguments); NotAvailable with `state->engine_reason` set when there is no native
/// function of that name.
Result<NodePtr> MakeFunctionCall(std::string_view name, std::vector<NodePtr> arguments,
                                 CompileState* state, int position);

/// Puts `text` into the arena and `*out`.
inline void SetText(EvalContext& context, std::string_view text, Datum* out) {
  *out = Datum::Text(context.arena->Copy(text));
}

}  // namespace kalam::query
