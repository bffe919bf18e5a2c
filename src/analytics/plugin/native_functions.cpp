// The scalar functions of the native plans, callable in the engine.
#include "analytics/plugin/native_functions.h"

#include <duckdb/common/string_util.hpp>
#include <duckdb/common/types/data_chunk.hpp>
#include <duckdb/function/scalar_function.hpp>
#include <duckdb/main/extension/extension_loader.hpp>
#include <duckdb/planner/expression.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "analytics/plugin/cell_reader.h"
#include "analytics/plugin/column_writer.h"
#include "analytics/plugin/value_mapping.h"
#include "query/functions.h"
#include "types/convert.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using query::FunctionSpec;

constexpr std::string_view kPrefix = "kalam_";

// What the statement's text says as literals, or what has an own implementation here.
const std::set<std::string_view> kNotRegistered = {
    "kdb_current_user",
    "kdb_current_role",
    "current_user",
    "current_user_id",
    "current_role",
    "snowflake_id",
    "uuid_v7",
    "ulid",
    "now",
    "current_timestamp",
    "localtimestamp",
    "current_date",
    "statement_timestamp",
    "transaction_timestamp",
    "today",
    "current_time",
    "localtime",
};

Status Same(query::EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = arguments[0];
  return {};
}
// Its argument has become text on the way.
constexpr FunctionSpec kText = {"text", "t:t", Same};

std::vector<const FunctionSpec*> NativeFunctions() {
  std::vector<const FunctionSpec*> specs = {&kText};
  for (const auto& family : {query::TextFunctions(), query::MathFunctions(), query::TimeFunctions(),
                             query::JsonFunctions(), query::IdentityFunctions()}) {
    for (const FunctionSpec& spec : family) {
      if (!kNotRegistered.contains(spec.name)) specs.push_back(&spec);
    }
  }
  return specs;
}

/// A FunctionSpec's signature, taken apart.
struct Signature {
  std::string letters;
  size_t required = 0;
  bool repeats = false;  // the last letter
  char result = 'a';

  explicit Signature(std::string_view text) {
    const size_t colon = text.find(':');
    result = text[colon + 1];
    bool optional = false;
    for (const char letter : text.substr(0, colon)) {
      if (letter == '?') {
        optional = true;
      } else if (letter == '*') {
        repeats = true;
      } else {
        letters += letter;
        required += optional ? 0 : 1;
      }
    }
  }
  char At(size_t argument) const {
    return argument < letters.size() ? letters[argument] : letters.back();
  }
};

/// The type of a letter; kNull for those that take several.
DataType TypeOfLetter(char letter) {
  switch (letter) {
    case 't':
      return DataType::Of(TypeKind::kText);
    case 'i':
      return DataType::Of(TypeKind::kBigInt);
    case 'd':
      return DataType::Of(TypeKind::kDouble);
    case 's':
      return DataType::Of(TypeKind::kTimestamp);
    case 'D':
      return DataType::Of(TypeKind::kDate);
    case 'T':
      return DataType::Of(TypeKind::kTime);
    case 'v':
      return DataType::Of(TypeKind::kInterval);
    case 'b':
      return DataType::Of(TypeKind::kBoolean);
    case 'j':
      return DataType::Of(TypeKind::kJson);
    case 'f':
      return DataType::Of(TypeKind::kFloat);
    default:
      return {};
  }
}

/// What the engine chooses overloads by. Text takes anything, in the words of our own casts.
LogicalType DeclaredType(char letter) {
  const DataType type = TypeOfLetter(letter);
  return type.kind == TypeKind::kNull || type.is_text() ? LogicalType(LogicalType::ANY)
                                                        : EngineType(type);
}

/// The type in which an argument for `letter` is passed.
LogicalType PassedType(char letter, const LogicalType& given) {
  const DataType wanted = TypeOfLetter(letter);
  if (wanted.kind != TypeKind::kNull && !wanted.is_text()) return EngineType(wanted);
  if (letter == 'n') {
    if (given.id() == LogicalTypeId::HUGEINT || given.id() == LogicalTypeId::UBIGINT ||
        given.id() == LogicalTypeId::INTEGER_LITERAL) {
      return LogicalType::BIGINT;
    }
    return given.IsNumeric() ? EngineType(ResultType(given)) : LogicalType(LogicalType::DOUBLE);
  }
  // Anything: what has no type of ours is passed as its text.
  return EngineType(ResultType(given));
}

struct NativeFunction : public duckdb::ScalarFunctionInfo {
  explicit NativeFunction(const FunctionSpec& function_spec)
      : spec(function_spec), signature(function_spec.signature) {}
  const FunctionSpec& spec;
  const Signature signature;
};

/// One call site: argument and result types are settled.
class NativeCall {
 public:
  NativeCall(const FunctionSpec& spec, std::vector<LogicalType> arguments, DataType result)
      : spec_(spec), arguments_(std::move(arguments)), result_(result) {
    const Signature signature(spec.signature);
    for (size_t i = 0; i < arguments_.size(); ++i) {
      as_text_.push_back(TypeOfLetter(signature.At(i)).is_text() &&
                         !ResultType(arguments_[i]).is_text());
    }
  }

  void operator()(duckdb::DataChunk& chunk, duckdb::ExpressionState&,
                  duckdb::Vector& result) const {
    bool constant = spec_.stability == query::Stability::kPure;
    for (const duckdb::Vector& argument : chunk.data) {
      constant = constant && argument.GetVectorType() == duckdb::VectorType::CONSTANT_VECTOR;
    }
    const duckdb::idx_t count = constant ? std::min<duckdb::idx_t>(chunk.size(), 1) : chunk.size();
    std::vector<CellReader> readers;
    readers.reserve(arguments_.size());
    for (size_t i = 0; i < arguments_.size(); ++i) {
      readers.emplace_back(arguments_[i]);
      readers.back().Begin(&chunk.data[i], chunk.size());
    }
    result.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
    ColumnWriter writer(result_);
    writer.Begin(&result);
    Arena arena;
    std::vector<Datum> values(arguments_.size());
    for (duckdb::idx_t row = 0; row < count; ++row) {
      Evaluate(readers, row, &arena, values, &writer);
      arena.Reset();
    }
    if (constant) result.SetVectorType(duckdb::VectorType::CONSTANT_VECTOR);
  }

 private:
  void Evaluate(const std::vector<CellReader>& readers, duckdb::idx_t row, Arena* arena,
                std::vector<Datum>& values, ColumnWriter* writer) const {
    static const query::StatementValues kStatement;
    Datum out = Datum::Null(result_.kind);
    bool call = true;
    for (size_t i = 0; i < readers.size(); ++i) {
      auto value = readers[i].Read(row, arena);
      if (!value.ok()) Fail(value.status());
      values[i] = *value;
      if (as_text_[i] && !value->is_null) values[i] = Datum::Text(arena->Copy(ToText(*value)));
      call = call && !(value->is_null && spec_.nulls == query::NullRule::kStrict);
    }
    if (call) {
      query::EvalContext context;
      context.statement = &kStatement;
      context.arena = arena;
      if (Status status = spec_.body(context, values, &out); !status.ok()) Fail(status);
    }
    if (!writer->Write(row, out))
      Fail(Status(ErrorKind::Internal, std::string(spec_.name) + " gives another type"));
  }

  [[noreturn]] static void Fail(const Status& status) {
    throw duckdb::InvalidInputException("%s", status.message());
  }

  const FunctionSpec& spec_;
  const std::vector<LogicalType> arguments_;
  std::vector<bool> as_text_;  // the argument is to be turned into text first
  const DataType result_;
};

duckdb::unique_ptr<duckdb::FunctionData> BindNative(
    duckdb::ClientContext&, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const auto& native = static_cast<const NativeFunction&>(*function.function_info);
  std::vector<LogicalType> types;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i]->HasParameter()) throw duckdb::ParameterNotResolvedException();
    types.push_back(PassedType(native.signature.At(i), arguments[i]->return_type));
  }
  DataType result = TypeOfLetter(native.signature.result);
  if (native.signature.result == '0') result = ResultType(types[0]);
  function.arguments.assign(types.begin(), types.end());
  function.return_type = EngineType(result);
  function.function = NativeCall(native.spec, std::move(types), result);
  return nullptr;
}

duckdb::ScalarFunction Overload(const FunctionSpec& spec, size_t argument_count) {
  const Signature signature(spec.signature);
  duckdb::vector<LogicalType> arguments;
  for (size_t i = 0; i < argument_count; ++i) arguments.push_back(DeclaredType(signature.At(i)));
  const char result = signature.result;
  duckdb::ScalarFunction function(
      std::string(kPrefix) + std::string(spec.name), std::move(arguments),
      result == '0' ? LogicalType(LogicalType::ANY) : DeclaredType(result), nullptr, BindNative);
  if (signature.repeats) function.varargs = DeclaredType(signature.letters.back());
  // The executor looks at NULLs itself, and an error must not be raised for rows that a filter
  // removes.
  function.null_handling = duckdb::FunctionNullHandling::SPECIAL_HANDLING;
  function.errors = duckdb::FunctionErrors::CAN_THROW_RUNTIME_ERROR;
  if (spec.stability == query::Stability::kVolatile)
    function.stability = duckdb::FunctionStability::VOLATILE;
  function.function_info = duckdb::make_shared_ptr<NativeFunction>(spec);
  return function;
}

}  // namespace

void RegisterNativeFunctions(duckdb::ExtensionLoader& loader) {
  for (const FunctionSpec* spec : NativeFunctions()) {
    const Signature signature(spec->signature);
    for (size_t count = signature.required; count <= signature.letters.size(); ++count) {
      if (signature.repeats && count > signature.required) break;
      loader.RegisterFunction(Overload(*spec, count));
    }
  }
}

std::string FunctionInEngine(const std::string& name) {
  static const std::set<std::string> kNames = [] {
    std::set<std::string> names = {"snowflake_id", "uuid_v7", "ulid"};
    for (const FunctionSpec* spec : NativeFunctions()) names.emplace(spec->name);
    return names;
  }();
  const std::string lower = duckdb::StringUtil::Lower(name);
  return kNames.contains(lower) ? std::string(kPrefix) + lower : name;
}

}  // namespace kalam::analytics
