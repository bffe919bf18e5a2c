// Accumulators of the plain aggregates.
#include "query/aggregate.h"

#include <fmt/core.h>

#include <unordered_set>

#include "query/datum_order.h"
#include "query/type_rules.h"
#include "types/decimal.h"
#include "types/key_codec.h"

namespace kalam::query {

namespace {

/// What a hash set needs for an entry besides its text.
constexpr int64_t kSetEntryBytes = 64;

class CountAccumulator final : public Accumulator {
 public:
  CountAccumulator(const AggregateCall& call, StatementMemory& memory)
      : call_(call), memory_(memory) {}
  Status Add(EvalContext& context) override {
    if (call_.argument == nullptr) {
      ++count_;
      return {};
    }
    Datum value;
    KALAM_RETURN_IF_ERROR(call_.argument->Evaluate(context, &value));
    if (value.is_null) return {};
    if (call_.distinct) {
      std::string key;
      EncodeKey(value, &key);
      const auto size = static_cast<int64_t>(key.size());
      if (!seen_.insert(std::move(key)).second) return {};
      KALAM_RETURN_IF_ERROR(memory_.Reserve(size + kSetEntryBytes));
    }
    ++count_;
    return {};
  }
  Status Finish(Datum* out) override {
    *out = Datum::BigInt(count_);
    return {};
  }

 private:
  const AggregateCall& call_;
  StatementMemory& memory_;
  std::unordered_set<std::string> seen_;
  int64_t count_ = 0;
};

class SumAccumulator final : public Accumulator {
 public:
  explicit SumAccumulator(const AggregateCall& call) : call_(call) {}
  Status Add(EvalContext& context) override {
    Datum value;
    KALAM_RETURN_IF_ERROR(call_.argument->Evaluate(context, &value));
    if (value.is_null) return {};
    has_value_ = true;
    ++count_;
    if (value.kind == TypeKind::kDouble || value.kind == TypeKind::kFloat) {
      double_sum_ += value.d;
    } else if (value.kind == TypeKind::kDecimal) {
      KALAM_ASSIGN_OR_RETURN(decimal_sum_,
                             AddDecimals(decimal_sum_, {value.decimal(), value.scale}));
    } else {
      integer_sum_ +=
          value.i;  // 128 bits: overflow is decided at the end, whatever the order of the rows
    }
    return {};
  }
  Status Finish(Datum* out) override {
    *out = Datum::Null(call_.type.kind);
    if (!has_value_) return {};
    const DataType& argument = call_.argument->type();
    if (call_.function == AggregateFunction::kAverage) {
      double sum = double_sum_;
      if (argument.kind == TypeKind::kDecimal) {
        sum = DecimalToDouble(decimal_sum_);
      } else if (argument.is_integer()) {
        sum = static_cast<double>(integer_sum_);
      }
      *out = Datum::Double(sum / static_cast<double>(count_));
    } else if (argument.kind == TypeKind::kDecimal) {
      KALAM_ASSIGN_OR_RETURN(const Int128 unscaled,
                             RescaleDecimal(decimal_sum_, 38, call_.type.scale));
      *out = Datum::Decimal(unscaled, call_.type.scale);
    } else if (argument.is_integer()) {
      if (integer_sum_ != static_cast<int64_t>(integer_sum_)) {
        return Status(ErrorKind::Execution, "bigint out of range");
      }
      *out = Datum::BigInt(static_cast<int64_t>(integer_sum_));
    } else {
      *out = Datum::Double(double_sum_);
      out->kind = call_.type.kind;
    }
    return {};
  }

 private:
  const AggregateCall& call_;
  bool has_value_ = false;
  int64_t count_ = 0;
  Int128 integer_sum_ = 0;
  double double_sum_ = 0;
  DecimalValue decimal_sum_;
};

class ExtremeAccumulator final : public Accumulator {
 public:
  explicit ExtremeAccumulator(const AggregateCall& call) : call_(call) {}
  Status Add(EvalContext& context) override {
    Datum value;
    KALAM_RETURN_IF_ERROR(call_.argument->Evaluate(context, &value));
    if (value.is_null) return {};
    if (!best_.is_null()) {
      int order = 0;
      KALAM_RETURN_IF_ERROR(CompareDatums(value, best_.datum(), &order));
      if (call_.function == AggregateFunction::kMin ? order >= 0 : order <= 0) return {};
    }
    best_ = Value(value);
    return {};
  }
  Status Finish(Datum* out) override {
    *out = best_.is_null() ? Datum::Null(call_.type.kind) : best_.datum();
    return {};
  }

 private:
  const AggregateCall& call_;
  Value best_;
};

/// FILTER (WHERE ...) before another accumulator.
class FilteredAccumulator final : public Accumulator {
 public:
  FilteredAccumulator(const Node& filter, std::unique_ptr<Accumulator> inner)
      : filter_(filter), inner_(std::move(inner)) {}
  Status Add(EvalContext& context) override {
    KALAM_ASSIGN_OR_RETURN(const bool passes, IsTrue(filter_, context));
    return passes ? inner_->Add(context) : Status();
  }
  Status Finish(Datum* out) override { return inner_->Finish(out); }

 private:
  const Node& filter_;
  const std::unique_ptr<Accumulator> inner_;
};

Status OnlyEngine(CompileState* state, std::string reason, int position) {
  state->engine_reason = std::move(reason);
  return Status(ErrorKind::NotAvailable, state->engine_reason + " is not evaluated natively")
      .WithPosition(position);
}

bool IsOrdered(const DataType& type) {
  return type.is_numeric() || type.is_text() || type.is_temporal() ||
         type.kind == TypeKind::kBoolean || type.kind == TypeKind::kUuid ||
         type.kind == TypeKind::kBytes;
}

Status WrongArgument(const sql::Expr& call, const DataType& type) {
  return Status(ErrorKind::InvalidOperation,
                fmt::format("function {}({}) does not exist", call.name, TypeNameForMessage(type)))
      .WithPosition(call.position);
}

Result<DataType> ResultType(const sql::Expr& call, AggregateFunction function,
                            const DataType& argument) {
  const bool is_extreme =
      function == AggregateFunction::kMin || function == AggregateFunction::kMax;
  if (is_extreme) {
    if (!IsOrdered(argument)) return WrongArgument(call, argument);
    return argument;
  }
  if (!argument.is_numeric()) return WrongArgument(call, argument);
  if (function == AggregateFunction::kAverage) return DoubleType();
  if (argument.is_integer()) return BigIntType();
  if (argument.kind == TypeKind::kDecimal) return DataType::Decimal(38, argument.scale);
  return DoubleType();
}

}  // namespace

Result<AggregateCall> CompileAggregate(const sql::Expr& call, CompileState* state) {
  constexpr std::pair<std::string_view, AggregateFunction> kNative[] = {
      {"count", AggregateFunction::kCount},
      {"sum", AggregateFunction::kSum},
      {"avg", AggregateFunction::kAverage},
      {"min", AggregateFunction::kMin},
      {"max", AggregateFunction::kMax}};
  AggregateCall aggregate;
  bool known = false;
  for (const auto& [name, function] : kNative) {
    if (call.name == name) {
      aggregate.function = function;
      known = true;
    }
  }
  const bool is_count = aggregate.function == AggregateFunction::kCount;
  if (!known || !call.order_by.empty())
    return OnlyEngine(state, fmt::format("aggregate {}", call.name), call.position);
  const bool star = call.star || (is_count && call.args.size() == 1 &&
                                  call.args[0]->kind == sql::ExprKind::kStar);
  if (call.filter != nullptr) {
    KALAM_ASSIGN_OR_RETURN(aggregate.filter, CompileCondition(*call.filter, state));
  }
  aggregate.type = BigIntType();
  if (star && is_count) return aggregate;
  if (call.args.size() != 1 || star) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("aggregate {} takes one argument", call.name))
        .WithPosition(call.position);
  }
  KALAM_ASSIGN_OR_RETURN(aggregate.argument, Compile(*call.args[0], state));
  const DataType& argument = aggregate.argument->type();
  // MIN and MAX do not care about repetition.
  aggregate.distinct = call.distinct && is_count;
  if (call.distinct &&
      (aggregate.function == AggregateFunction::kSum ||
       aggregate.function == AggregateFunction::kAverage || !IsOrdered(argument))) {
    return OnlyEngine(state, fmt::format("{}(DISTINCT)", call.name), call.position);
  }
  if (!is_count) {
    KALAM_ASSIGN_OR_RETURN(aggregate.type, ResultType(call, aggregate.function, argument));
  }
  return aggregate;
}

std::unique_ptr<Accumulator> MakeAccumulator(const AggregateCall& call, StatementMemory& memory) {
  std::unique_ptr<Accumulator> accumulator;
  switch (call.function) {
    case AggregateFunction::kCount:
      accumulator = std::make_unique<CountAccumulator>(call, memory);
      break;
    case AggregateFunction::kSum:
    case AggregateFunction::kAverage:
      accumulator = std::make_unique<SumAccumulator>(call);
      break;
    case AggregateFunction::kMin:
    case AggregateFunction::kMax:
      accumulator = std::make_unique<ExtremeAccumulator>(call);
      break;
  }
  if (call.filter == nullptr) return accumulator;
  return std::make_unique<FilteredAccumulator>(*call.filter, std::move(accumulator));
}

}  // namespace kalam::query
