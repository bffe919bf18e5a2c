// Arithmetic with PostgreSQL's rules: integers truncate and overflow with an error, decimals are
// exact.
#include <fmt/core.h>

#include <cmath>
#include <limits>

#include "query/nodes.h"
#include "query/type_rules.h"
#include "types/convert.h"
#include "types/datetime.h"
#include "types/decimal.h"

namespace kalam::query {

namespace {

constexpr int64_t kDayUs = 86'400'000'000;
/// Digits after the point that a quotient of decimals shows at least.
constexpr uint8_t kQuotientScale = 16;

enum class Op : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kRemainder,
  kPower,
  kAnd,
  kOr,
  kXor,
  kLeft,
  kRight
};

Status DivisionByZero() { return Status(ErrorKind::Execution, "division by zero"); }

Status OutOfRange(TypeKind kind) {
  const std::string_view name = kind == TypeKind::kSmallInt ? "smallint"
                                : kind == TypeKind::kInt    ? "integer"
                                                            : "bigint";
  return Status(ErrorKind::Execution, fmt::format("{} out of range", name));
}

bool FitsKind(TypeKind kind, int64_t value) {
  if (kind == TypeKind::kSmallInt) return value >= INT16_MIN && value <= INT16_MAX;
  if (kind == TypeKind::kInt) return value >= INT32_MIN && value <= INT32_MAX;
  return true;
}

Status EvaluateIntegers(Op op, int64_t a, int64_t b, TypeKind kind, Datum* out) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kDivide:
      if (b == 0) return DivisionByZero();
      overflow = b == -1 && a == std::numeric_limits<int64_t>::min();
      if (!overflow) result = a / b;
      break;
    case Op::kRemainder:
      if (b == 0) return DivisionByZero();
      result = b == -1 ? 0 : a % b;
      break;
    case Op::kAnd:
      result = a & b;
      break;
    case Op::kOr:
      result = a | b;
      break;
    case Op::kXor:
      result = a ^ b;
      break;
    case Op::kLeft:
      result = static_cast<int64_t>(static_cast<uint64_t>(a) << (b & 63));
      break;
    case Op::kRight:
      result = a >> (b & 63);
      break;
    case Op::kPower:
      break;
  }
  if (overflow || !FitsKind(kind, result)) return OutOfRange(kind);
  *out = Datum::OfInt(kind, result);
  return {};
}

Status EvaluateDoubles(Op op, double a, double b, TypeKind kind, Datum* out) {
  double result = 0;
  switch (op) {
    case Op::kAdd:
      result = a + b;
      break;
    case Op::kSubtract:
      result = a - b;
      break;
    case Op::kMultiply:
      result = a * b;
      break;
    case Op::kDivide:
      if (b == 0) return DivisionByZero();
      result = a / b;
      break;
    case Op::kRemainder:
      if (b == 0) return DivisionByZero();
      result = std::fmod(a, b);
      break;
    case Op::kPower:
      if (a == 0 && b < 0)
        return Status(ErrorKind::Execution, "zero raised to a negative power is undefined");
      if (a < 0 && b != std::floor(b)) {
        return Status(ErrorKind::Execution,
                      "a negative number raised to a non-integer power yields a complex result");
      }
      result = std::pow(a, b);
      break;
    default:
      return Status(ErrorKind::Internal, "operator of integers on doubles");
  }
  if (kind == TypeKind::kFloat) result = static_cast<float>(result);
  if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) {
    return Status(ErrorKind::Execution, "value out of range: overflow");
  }
  *out = Datum::Double(result);
  out->kind = kind;
  return {};
}

DecimalValue AsDecimal(const Datum& value) {
  if (value.kind == TypeKind::kDecimal) return {value.decimal(), value.scale};
  return {static_cast<Int128>(value.i), 0};
}

double AsDouble(const Datum& value) {
  if (value.kind == TypeKind::kDouble || value.kind == TypeKind::kFloat) return value.d;
  if (value.kind == TypeKind::kDecimal) return DecimalToDouble({value.decimal(), value.scale});
  return static_cast<double>(value.i);
}

Status EvaluateDecimals(Op op, DecimalValue a, DecimalValue b, const DataType& type, Datum* out) {
  Result<DecimalValue> result = Status(ErrorKind::Internal, "operator of integers on decimals");
  switch (op) {
    case Op::kAdd:
      result = AddDecimals(a, b);
      break;
    case Op::kSubtract:
      result = SubtractDecimals(a, b);
      break;
    case Op::kMultiply:
      result = MultiplyDecimals(a, b);
      break;
    case Op::kDivide:
      result = DivideDecimals(a, b);
      break;
    case Op::kRemainder:
      result = RemainderDecimals(a, b);
      break;
    default:
      break;
  }
  if (!result.ok()) return std::move(result).status();
  KALAM_ASSIGN_OR_RETURN(const Int128 unscaled,
                         RescaleDecimal(*result, type.precision, type.scale));
  *out = Datum::Decimal(unscaled, type.scale);
  return {};
}

class NumericNode final : public Node {
 public:
  NumericNode(Op op, NodePtr left, NodePtr right, const DataType& type)
      : op_(op), left_(std::move(left)), right_(std::move(right)) {
    type_ = type;
    is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum a, b;
    KALAM_RETURN_IF_ERROR(left_->Evaluate(context, &a));
    KALAM_RETURN_IF_ERROR(right_->Evaluate(context, &b));
    if (a.is_null || b.is_null) {
      *out = Datum::Null(type_.kind);
      return {};
    }
    if (type_.is_integer()) return EvaluateIntegers(op_, a.i, b.i, type_.kind, out);
    if (type_.kind == TypeKind::kDecimal)
      return EvaluateDecimals(op_, AsDecimal(a), AsDecimal(b), type_, out);
    return EvaluateDoubles(op_, AsDouble(a), AsDouble(b), type_.kind, out);
  }

 private:
  const Op op_;
  const NodePtr left_, right_;
};

int64_t InstantUs(const Datum& value) {
  return value.kind == TypeKind::kDate ? value.i * kDayUs : value.i;
}

Status AddOverflowChecked(int64_t a, int64_t b, int64_t* out) {
  if (__builtin_add_overflow(a, b, out))
    return Status(ErrorKind::Execution, "timestamp out of range");
  return {};
}

/// Instants, dates, times and intervals; which combination stands in the operand types.
class TemporalNode final : public Node {
 public:
  TemporalNode(Op op, NodePtr left, NodePtr right, const DataType& type)
      : op_(op), left_(std::move(left)), right_(std::move(right)) {
    type_ = type;
    is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum a, b;
    KALAM_RETURN_IF_ERROR(left_->Evaluate(context, &a));
    KALAM_RETURN_IF_ERROR(right_->Evaluate(context, &b));
    *out = Datum::Null(type_.kind);
    if (a.is_null || b.is_null) return {};
    if (a.kind == TypeKind::kInterval && b.kind != TypeKind::kInterval && !IsNumber(b))
      std::swap(a, b);
    if (a.kind == TypeKind::kInterval || b.kind == TypeKind::kInterval)
      return WithInterval(a, b, out);
    return BetweenInstants(a, b, out);
  }

 private:
  static bool IsNumber(const Datum& value) { return DataType::Of(value.kind).is_numeric(); }

  Status WithInterval(const Datum& a, const Datum& b, Datum* out) const {
    const int sign = op_ == Op::kSubtract ? -1 : 1;
    if (a.kind == TypeKind::kInterval && b.kind == TypeKind::kInterval) {
      int32_t months = 0, days = 0;
      int64_t us = 0;
      const bool overflow =
          __builtin_add_overflow(a.interval.months, sign * int64_t{b.interval.months}, &months) ||
          __builtin_add_overflow(a.interval.days, sign * int64_t{b.interval.days}, &days) ||
          (sign > 0 ? __builtin_add_overflow(a.interval.us, b.interval.us, &us)
                    : __builtin_sub_overflow(a.interval.us, b.interval.us, &us));
      if (overflow) return Status(ErrorKind::Execution, "interval out of range");
      *out = Datum::OfInterval(months, days, us);
      return {};
    }
    if (IsNumber(a) || IsNumber(b)) return ScaleInterval(a, b, out);
    if (a.kind == TypeKind::kTime) {
      const int64_t us = (a.i + sign * (b.interval.us % kDayUs)) % kDayUs;
      *out = Datum::OfInt(TypeKind::kTime, us < 0 ? us + kDayUs : us);
      return {};
    }
    *out = Datum::OfInt(type_.kind, AddInterval(InstantUs(a), b.interval, sign));
    return {};
  }

  Status ScaleInterval(const Datum& a, const Datum& b, Datum* out) const {
    const Datum& interval = a.kind == TypeKind::kInterval ? a : b;
    double factor = AsDouble(a.kind == TypeKind::kInterval ? b : a);
    if (op_ == Op::kDivide) {
      if (factor == 0) return DivisionByZero();
      factor = 1 / factor;
    }
    const double months = interval.interval.months * factor;
    const double days = interval.interval.days * factor + (months - std::trunc(months)) * 30;
    const double us = static_cast<double>(interval.interval.us) * factor +
                      (days - std::trunc(days)) * static_cast<double>(kDayUs);
    if (!(std::fabs(months) < 2e9 && std::fabs(days) < 2e9 && std::fabs(us) < 9e18)) {
      return Status(ErrorKind::Execution, "interval out of range");
    }
    *out = Datum::OfInterval(static_cast<int32_t>(months), static_cast<int32_t>(days),
                             static_cast<int64_t>(std::llround(us)));
    return {};
  }

  Status BetweenInstants(const Datum& a, const Datum& b, Datum* out) const {
    if (type_.kind == TypeKind::kDate) {
      const int64_t delta = a.kind == TypeKind::kDate ? b.i : a.i;
      const int64_t base = a.kind == TypeKind::kDate ? a.i : b.i;
      int64_t days = 0;
      const bool overflow = op_ == Op::kSubtract ? __builtin_sub_overflow(base, delta, &days)
                                                 : __builtin_add_overflow(base, delta, &days);
      if (overflow || days != static_cast<int32_t>(days))
        return Status(ErrorKind::Execution, "date out of range");
      *out = Datum::OfInt(TypeKind::kDate, days);
      return {};
    }
    if (type_.kind == TypeKind::kInt) {  // date - date
      *out = Datum::OfInt(TypeKind::kInt, a.i - b.i);
      return {};
    }
    if (type_.kind == TypeKind::kTimestamp) {  // date + time
      int64_t us = 0;
      KALAM_RETURN_IF_ERROR(AddOverflowChecked(InstantUs(a), InstantUs(b), &us));
      *out = Datum::OfInt(TypeKind::kTimestamp, us);
      return {};
    }
    int64_t us = 0;
    if (__builtin_sub_overflow(InstantUs(a), InstantUs(b), &us)) {
      return Status(ErrorKind::Execution, "interval out of range");
    }
    *out = Datum::OfInterval(0, static_cast<int32_t>(us / kDayUs), us % kDayUs);
    return {};
  }

  const Op op_;
  const NodePtr left_, right_;
};

bool ParseOp(std::string_view text, Op* op) {
  constexpr std::pair<std::string_view, Op> kOps[] = {
      {"+", Op::kAdd},       {"-", Op::kSubtract}, {"*", Op::kMultiply}, {"/", Op::kDivide},
      {"%", Op::kRemainder}, {"^", Op::kPower},    {"&", Op::kAnd},      {"|", Op::kOr},
      {"#", Op::kXor},       {"<<", Op::kLeft},    {">>", Op::kRight}};
  for (const auto& [name, value] : kOps) {
    if (name == text) {
      *op = value;
      return true;
    }
  }
  return false;
}

Status NoSuchOperator(std::string_view op, const Node& left, const Node& right, int position) {
  return Status(ErrorKind::InvalidOperation,
                fmt::format("operator does not exist: {} {} {}; cast one side",
                            TypeNameForMessage(left.type()), op, TypeNameForMessage(right.type())))
      .WithPosition(position);
}

/// The type of an operation on temporal values, kNull when there is no such operation.
DataType TemporalResult(Op op, const DataType& a, const DataType& b) {
  const auto is_instant = [](const DataType& t) {
    return t.kind == TypeKind::kTimestamp || t.kind == TypeKind::kDateTime;
  };
  const TypeKind x = a.kind, y = b.kind;
  const bool additive = op == Op::kAdd || op == Op::kSubtract;
  if (y == TypeKind::kInterval && additive) {
    if (x == TypeKind::kDate) return TimestampType();
    if (is_instant(a) || x == TypeKind::kTime || x == TypeKind::kInterval) return a;
  }
  if (x == TypeKind::kInterval && op == Op::kAdd) {
    if (y == TypeKind::kDate) return TimestampType();
    if (is_instant(b) || y == TypeKind::kTime) return b;
  }
  if (x == TypeKind::kInterval && b.is_numeric() && (op == Op::kMultiply || op == Op::kDivide))
    return a;
  if (y == TypeKind::kInterval && a.is_numeric() && op == Op::kMultiply) return b;
  if (x == TypeKind::kDate && y == TypeKind::kDate && op == Op::kSubtract)
    return DataType::Of(TypeKind::kInt);
  if (x == TypeKind::kDate && b.is_integer() && additive) return a;
  if (a.is_integer() && y == TypeKind::kDate && op == Op::kAdd) return b;
  if (x == TypeKind::kDate && y == TypeKind::kTime && op == Op::kAdd) return TimestampType();
  const bool both_points =
      (is_instant(a) || x == TypeKind::kDate) && (is_instant(b) || y == TypeKind::kDate);
  if (op == Op::kSubtract && (both_points || (x == TypeKind::kTime && y == TypeKind::kTime))) {
    return DataType::Of(TypeKind::kInterval);
  }
  return {};
}

DataType DecimalResult(Op op, const DataType& left, const DataType& right, const DataType& common) {
  const int left_scale = left.kind == TypeKind::kDecimal ? left.scale : 0;
  const int right_scale = right.kind == TypeKind::kDecimal ? right.scale : 0;
  int scale = common.scale;
  if (op == Op::kMultiply) scale = left_scale + right_scale;
  if (op == Op::kDivide) scale = std::max<int>(common.scale, kQuotientScale);
  return DataType::Decimal(38, static_cast<uint8_t>(std::min(scale, 38)));
}

}  // namespace

Result<NodePtr> MakeArithmetic(std::string_view op_text, NodePtr left, NodePtr right,
                               CompileState* state, int position) {
  Op op = Op::kAdd;
  if (!ParseOp(op_text, &op))
    return Status(ErrorKind::Internal, fmt::format("unknown operator {}", op_text));
  // A quoted literal takes the type of its neighbour: ts - '1 day' is an interval, n + '1' a
  // number.
  NodePtr* sides[2][2] = {{&left, &right}, {&right, &left}};
  for (auto& [fixed, movable] : sides) {
    const DataType wanted = (*fixed)->type();
    if (!(*movable)->type().is_text() || AsConstant(*movable) == nullptr || wanted.is_text())
      continue;
    DataType target = wanted;
    const bool is_point = wanted.kind == TypeKind::kTimestamp || wanted.kind == TypeKind::kDateTime;
    if (is_point && (op == Op::kAdd || (op == Op::kSubtract && movable == &right))) {
      target = DataType::Of(TypeKind::kInterval);
    }
    if (target.kind == TypeKind::kNull) target = DoubleType();
    *movable = CastTo(std::move(*movable), target, state->constants);
    break;
  }
  const DataType a = left->type(), b = right->type();
  if (const DataType temporal = TemporalResult(op, a, b); temporal.kind != TypeKind::kNull) {
    return NodePtr(std::make_unique<TemporalNode>(op, std::move(left), std::move(right), temporal));
  }
  const bool a_fits = a.is_numeric() || a.kind == TypeKind::kNull;
  const bool b_fits = b.is_numeric() || b.kind == TypeKind::kNull;
  if (!a_fits || !b_fits) return NoSuchOperator(op_text, *left, *right, position);
  DataType type = *CommonType(a, b);
  if (type.kind == TypeKind::kNull) type = BigIntType();
  if (op == Op::kPower) {
    type = DoubleType();
  } else if (op >= Op::kAnd) {
    if (!type.is_integer()) return NoSuchOperator(op_text, *left, *right, position);
  } else if (type.kind == TypeKind::kDecimal) {
    type = DecimalResult(op, a, b, type);
  }
  return NodePtr(std::make_unique<NumericNode>(op, std::move(left), std::move(right), type));
}

namespace {

class NegateNode final : public Node {
 public:
  explicit NegateNode(NodePtr operand) : operand_(std::move(operand)) {
    type_ = operand_->type();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, out));
    if (out->is_null) return {};
    switch (type_.kind) {
      case TypeKind::kDouble:
      case TypeKind::kFloat:
        out->d = -out->d;
        return {};
      case TypeKind::kDecimal:
        *out = Datum::Decimal(-out->decimal(), out->scale);
        return {};
      case TypeKind::kInterval: {
        const Datum zero = Datum::OfInterval(0, 0, 0);
        int32_t months = 0, days = 0;
        int64_t us = 0;
        if (__builtin_sub_overflow(zero.interval.months, out->interval.months, &months) ||
            __builtin_sub_overflow(zero.interval.days, out->interval.days, &days) ||
            __builtin_sub_overflow(zero.interval.us, out->interval.us, &us)) {
          return Status(ErrorKind::Execution, "interval out of range");
        }
        *out = Datum::OfInterval(months, days, us);
        return {};
      }
      default:
        return EvaluateIntegers(Op::kSubtract, 0, out->i, type_.kind, out);
    }
  }

 private:
  const NodePtr operand_;
};

class BitwiseNotNode final : public Node {
 public:
  explicit BitwiseNotNode(NodePtr operand) : operand_(std::move(operand)) {
    type_ = operand_->type();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, out));
    if (!out->is_null) out->i = ~out->i;
    return {};
  }

 private:
  const NodePtr operand_;
};

}  // namespace

Result<NodePtr> MakeNegation(NodePtr operand, CompileState* state, int position) {
  if (operand->type().is_text() && AsConstant(operand) != nullptr) {
    operand = CastTo(std::move(operand), DoubleType(), state->constants);
  }
  const DataType& type = operand->type();
  if (type.kind == TypeKind::kNull) return operand;
  if (!type.is_numeric() && type.kind != TypeKind::kInterval) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("operator does not exist: - {}", TypeNameForMessage(type)))
        .WithPosition(position);
  }
  return NodePtr(std::make_unique<NegateNode>(std::move(operand)));
}

Result<NodePtr> MakeBitwiseNot(NodePtr operand, int position) {
  if (!operand->type().is_integer()) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("operator does not exist: ~ {}", TypeNameForMessage(operand->type())))
        .WithPosition(position);
  }
  return NodePtr(std::make_unique<BitwiseNotNode>(std::move(operand)));
}

}  // namespace kalam::query
