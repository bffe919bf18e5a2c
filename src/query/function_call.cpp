// Choosing an overload and calling it.
#include <fmt/core.h>

#include <unordered_map>

#include "query/functions.h"
#include "query/nodes.h"
#include "query/type_rules.h"

namespace kalam::query {

namespace {

constexpr size_t kArgumentsMax = 64;

using FunctionTable = std::unordered_map<std::string_view, std::vector<const FunctionSpec*>>;

const FunctionTable& AllFunctions() {
  static const FunctionTable table = [] {
    FunctionTable functions;
    for (const auto& family : {TextFunctions(), MathFunctions(), TimeFunctions(), JsonFunctions(),
                               IdentityFunctions()}) {
      for (const FunctionSpec& spec : family) functions[spec.name].push_back(&spec);
    }
    return functions;
  }();
  return table;
}

DataType TypeOfLetter(char letter) {
  switch (letter) {
    case 't':
      return TextType();
    case 'i':
      return BigIntType();
    case 'd':
      return DoubleType();
    case 's':
      return TimestampType();
    case 'D':
      return DataType::Of(TypeKind::kDate);
    case 'T':
      return DataType::Of(TypeKind::kTime);
    case 'v':
      return DataType::Of(TypeKind::kInterval);
    case 'b':
      return BooleanType();
    case 'j':
      return DataType::Of(TypeKind::kJson);
    case 'f':
      return DataType::Of(TypeKind::kFloat);
    default:
      return {};
  }
}

/// How well an argument fits: 2 as it is, 1 by a cast, 0 not at all.
int Fit(const Node& argument, bool is_constant, char letter) {
  const DataType& type = argument.type();
  if (letter == 'a' || type.kind == TypeKind::kNull) return 2;
  if (letter == 'n') return type.is_numeric() ? 2 : type.is_text() && is_constant ? 1 : 0;
  const DataType wanted = TypeOfLetter(letter);
  if (wanted.kind == type.kind) return 2;
  switch (letter) {
    case 't':
    case 'j':
      return type.is_text() ? 2 : 1;
    case 'i':
      return type.is_integer() ? 2 : type.is_text() && is_constant ? 1 : 0;
    case 'd':
    case 'f':
      return type.is_numeric() || (type.is_text() && is_constant) ? 1 : 0;
    case 's':
      return type.kind == TypeKind::kDateTime                 ? 2
             : type.kind == TypeKind::kDate || type.is_text() ? 1
                                                              : 0;
    default:
      return type.is_text() ? 1 : 0;
  }
}

struct Match {
  const FunctionSpec* spec = nullptr;
  int score = -1;
  std::string letters;  // one per argument
};

/// Spreads the signature over `count` arguments; false when the counts do not fit.
bool SpreadSignature(std::string_view signature, size_t count, std::string* letters, char* result) {
  const size_t colon = signature.find(':');
  *result = signature[colon + 1];
  bool optional = false;
  size_t required = 0;
  letters->clear();
  bool repeats = false;
  for (const char letter : signature.substr(0, colon)) {
    if (letter == '?') {
      optional = true;
    } else if (letter == '*') {
      repeats = true;
    } else {
      letters->push_back(letter);
      required += optional ? 0 : 1;
    }
  }
  if (repeats) {
    if (letters->empty()) return false;
    while (letters->size() < count) letters->push_back(letters->back());
  }
  if (count < required || count > letters->size()) return false;
  letters->resize(count);
  return true;
}

class FunctionNode final : public Node {
 public:
  FunctionNode(const FunctionSpec& spec, std::vector<NodePtr> arguments, const DataType& type)
      : spec_(spec), arguments_(std::move(arguments)) {
    type_ = type;
    is_statement_constant_ = spec.stability == Stability::kPure;
    for (const NodePtr& argument : arguments_)
      is_statement_constant_ &= argument->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum values[kArgumentsMax];
    for (size_t i = 0; i < arguments_.size(); ++i) {
      KALAM_RETURN_IF_ERROR(arguments_[i]->Evaluate(context, &values[i]));
      if (values[i].is_null && spec_.nulls == NullRule::kStrict) {
        *out = Datum::Null(type_.kind);
        return {};
      }
    }
    *out = Datum::Null(type_.kind);
    return spec_.body(context, {values, arguments_.size()}, out);
  }

 private:
  const FunctionSpec& spec_;
  const std::vector<NodePtr> arguments_;
};

Status NoOverload(std::string_view name, const std::vector<NodePtr>& arguments, int position) {
  std::string types;
  for (const NodePtr& argument : arguments) {
    if (!types.empty()) types += ", ";
    types += TypeNameForMessage(argument->type());
  }
  return Status(ErrorKind::InvalidOperation,
                fmt::format("function {}({}) does not exist", name, types))
      .WithPosition(position);
}

}  // namespace

Result<NodePtr> MakeFunctionCall(std::string_view name, std::vector<NodePtr> arguments,
                                 CompileState* state, int position) {
  const auto found = AllFunctions().find(name);
  if (found == AllFunctions().end() || arguments.size() > kArgumentsMax) {
    state->engine_reason = fmt::format("function {}", name);
    return Status(ErrorKind::NotAvailable,
                  fmt::format("function {} is not evaluated natively", name))
        .WithPosition(position);
  }
  Match best;
  char best_result = 'a';
  for (const FunctionSpec* spec : found->second) {
    std::string letters;
    char result = 'a';
    if (!SpreadSignature(spec->signature, arguments.size(), &letters, &result)) continue;
    int score = 0;
    bool fits = true;
    for (size_t i = 0; i < arguments.size() && fits; ++i) {
      const int fit = Fit(*arguments[i], AsConstant(arguments[i]) != nullptr, letters[i]);
      fits = fit > 0;
      score += fit;
    }
    if (fits && score > best.score) {
      best = {spec, score, letters};
      best_result = result;
    }
  }
  if (best.spec == nullptr) {
    if ((name == "snowflake_id" || name == "uuid_v7" || name == "ulid") && !arguments.empty()) {
      std::string upper(name);
      for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      return Status(ErrorKind::InvalidOperation, fmt::format("{}() takes no arguments", upper))
          .WithPosition(position);
    }
    if (name == "cosine_distance" && arguments.size() != 2) {
      return Status(ErrorKind::InvalidOperation, "COSINE_DISTANCE() expects exactly 2 arguments")
          .WithPosition(position);
    }
    return NoOverload(name, arguments, position);
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    const char letter = best.letters[i];
    if (letter == 'a') continue;
    if (letter == 'n') {
      if (arguments[i]->type().is_text())
        arguments[i] = CastTo(std::move(arguments[i]), DoubleType(), state->constants);
      continue;
    }
    const DataType wanted = TypeOfLetter(letter);
    const DataType& given = arguments[i]->type();
    const bool same_form =
        given.kind == wanted.kind || (given.is_integer() && wanted.is_integer()) ||
        (given.is_text() && wanted.is_text()) ||
        (given.kind == TypeKind::kDateTime && wanted.kind == TypeKind::kTimestamp);
    if (!same_form) arguments[i] = CastTo(std::move(arguments[i]), wanted, state->constants);
  }
  DataType type = best_result == '0' ? arguments[0]->type() : TypeOfLetter(best_result);
  if (best_result == '0' && type.kind == TypeKind::kNull) type = DoubleType();
  return NodePtr(std::make_unique<FunctionNode>(*best.spec, std::move(arguments), type));
}

}  // namespace kalam::query
