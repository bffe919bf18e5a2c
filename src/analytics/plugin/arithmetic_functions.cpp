// Division and remainder as PostgreSQL has them, and sums that stay within BIGINT.
#include <algorithm>
#include <cmath>
#include <duckdb/common/types/date.hpp>
#include <duckdb/common/vector_operations/binary_executor.hpp>
#include <duckdb/common/vector_operations/unary_executor.hpp>
#include <duckdb/function/scalar_function.hpp>
#include <duckdb/main/extension/extension_loader.hpp>
#include <duckdb/planner/expression.hpp>
#include <limits>

#include "analytics/plugin/functions.h"
#include "analytics/plugin/value_mapping.h"
#include "types/decimal.h"

namespace kalam::analytics {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;
using duckdb::PhysicalType;

[[noreturn]] void DivisionByZero() { throw duckdb::OutOfRangeException("division by zero"); }
[[noreturn]] void IntegerOutOfRange() { throw duckdb::OutOfRangeException("bigint out of range"); }

struct Divide {
  template <typename T>
  static T Apply(T a, T b) {
    if (b == T(0)) DivisionByZero();
    if constexpr (!std::is_floating_point_v<T>) {
      if (a == std::numeric_limits<T>::min() && b == T(-1)) IntegerOutOfRange();
    }
    return static_cast<T>(a / b);
  }
};

struct Modulo {
  template <typename T>
  static T Apply(T a, T b) {
    if (b == T(0)) DivisionByZero();
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      return b == T(-1) ? T(0) : static_cast<T>(a % b);
    }
  }
};

template <typename Operation, typename T>
void ApplyBinary(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::BinaryExecutor::Execute<T, T, T>(
      arguments.data[0], arguments.data[1], result, arguments.size(),
      [](T a, T b) { return Operation::template Apply<T>(a, b); });
}

/// 128-bit values: wide decimals.
template <typename Operation>
void ApplyWide(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  using duckdb::hugeint_t;
  duckdb::BinaryExecutor::Execute<hugeint_t, hugeint_t, hugeint_t>(
      arguments.data[0], arguments.data[1], result, arguments.size(), [](hugeint_t a, hugeint_t b) {
        if (b == hugeint_t(0)) DivisionByZero();
        return ToHugeInt(Operation::template Apply<__int128>(FromHugeInt(a), FromHugeInt(b)));
      });
}

template <typename Operation>
duckdb::scalar_function_t BinaryFor(PhysicalType physical) {
  switch (physical) {
    case PhysicalType::INT8:
      return ApplyBinary<Operation, int8_t>;
    case PhysicalType::INT16:
      return ApplyBinary<Operation, int16_t>;
    case PhysicalType::INT32:
      return ApplyBinary<Operation, int32_t>;
    case PhysicalType::INT64:
      return ApplyBinary<Operation, int64_t>;
    case PhysicalType::FLOAT:
      return ApplyBinary<Operation, float>;
    case PhysicalType::DOUBLE:
      return ApplyBinary<Operation, double>;
    default:
      return ApplyWide<Operation>;
  }
}

bool IsUntyped(const LogicalType& type) {
  return type.id() == LogicalTypeId::SQLNULL || type.id() == LogicalTypeId::UNKNOWN ||
         type.id() == LogicalTypeId::VARCHAR || type.id() == LogicalTypeId::STRING_LITERAL;
}

/// The type in which both operands are computed; text and untyped NULLs take the other side's.
LogicalType OperandType(duckdb::ClientContext& context, const char* symbol, const LogicalType& left,
                        const LogicalType& right) {
  if (IsUntyped(left) && IsUntyped(right)) return LogicalType::BIGINT;
  const LogicalType& a = IsUntyped(left) ? right : left;
  const LogicalType& b = IsUntyped(right) ? left : right;
  if (!a.IsNumeric() || !b.IsNumeric()) {
    throw duckdb::BinderException("operator does not exist: %s %s %s", left.ToString(), symbol,
                                  right.ToString());
  }
  if (a.IsIntegral() && b.IsIntegral()) {
    const LogicalType wider = LogicalType::MaxLogicalType(context, a, b);
    return wider.InternalType() == PhysicalType::INT8 ||
                   wider.InternalType() == PhysicalType::INT16 ||
                   wider.InternalType() == PhysicalType::INT32
               ? wider
               : LogicalType(LogicalType::BIGINT);
  }
  return LogicalType::MaxLogicalType(context, a, b);
}

LogicalType TypeOf(const duckdb::Expression& expression) {
  if (expression.HasParameter()) throw duckdb::ParameterNotResolvedException();
  return expression.return_type;
}

/// Digits after the point that a quotient of decimals shows at least; native plans give as many.
constexpr uint8_t kQuotientScale = 16;
constexpr uint8_t kDecimalPrecision = 38;

uint8_t ScaleOf(const LogicalType& type) {
  return type.id() == LogicalTypeId::DECIMAL ? duckdb::DecimalType::GetScale(type) : uint8_t{0};
}

[[noreturn]] void ThrowStatus(const Status& status) {
  throw duckdb::OutOfRangeException("%s", status.message());
}

/// Divides decimals of 128 bits exactly, as the native plans do.
duckdb::scalar_function_t DivideDecimalsOf(uint8_t left_scale, uint8_t right_scale,
                                           uint8_t result_scale) {
  using duckdb::hugeint_t;
  return [=](duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
    duckdb::BinaryExecutor::Execute<hugeint_t, hugeint_t, hugeint_t>(
        arguments.data[0], arguments.data[1], result, arguments.size(),
        [=](hugeint_t a, hugeint_t b) {
          const auto quotient =
              DivideDecimals({FromHugeInt(a), left_scale}, {FromHugeInt(b), right_scale});
          if (!quotient.ok()) ThrowStatus(quotient.status());
          const auto rescaled = RescaleDecimal(*quotient, kDecimalPrecision, result_scale);
          if (!rescaled.ok()) ThrowStatus(rescaled.status());
          return ToHugeInt(*rescaled);
        });
  };
}

duckdb::unique_ptr<duckdb::FunctionData> BindDivide(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const LogicalType type = OperandType(context, "/", TypeOf(*arguments[0]), TypeOf(*arguments[1]));
  if (type.id() == LogicalTypeId::DECIMAL) {
    const uint8_t left = ScaleOf(arguments[0]->return_type),
                  right = ScaleOf(arguments[1]->return_type);
    const uint8_t scale = std::max({left, right, kQuotientScale});
    function.arguments = {LogicalType::DECIMAL(kDecimalPrecision, left),
                          LogicalType::DECIMAL(kDecimalPrecision, right)};
    function.return_type = LogicalType::DECIMAL(kDecimalPrecision, scale);
    function.function = DivideDecimalsOf(left, right, scale);
    return nullptr;
  }
  function.arguments = {type, type};
  function.return_type = type;
  function.function = BinaryFor<Divide>(type.InternalType());
  return nullptr;
}

duckdb::unique_ptr<duckdb::FunctionData> BindModulo(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const LogicalType type = OperandType(context, "%", TypeOf(*arguments[0]), TypeOf(*arguments[1]));
  function.arguments = {type, type};
  function.return_type = type;
  function.function = BinaryFor<Modulo>(type.InternalType());
  return nullptr;
}

void Identity(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  result.Reference(arguments.data[0]);
}

void Narrow(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::UnaryExecutor::Execute<duckdb::hugeint_t, int64_t>(
      arguments.data[0], result, arguments.size(), [](duckdb::hugeint_t value) {
        const __int128 wide = FromHugeInt(value);
        if (wide > std::numeric_limits<int64_t>::max() ||
            wide < std::numeric_limits<int64_t>::min()) {
          IntegerOutOfRange();
        }
        return static_cast<int64_t>(wide);
      });
}

duckdb::unique_ptr<duckdb::FunctionData> BindNarrow(
    duckdb::ClientContext&, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  const LogicalType type = TypeOf(*arguments[0]);
  const bool narrows = type.id() == LogicalTypeId::HUGEINT;
  function.arguments = {type};
  function.return_type = narrows ? LogicalType(LogicalType::BIGINT) : type;
  function.function = narrows ? Narrow : Identity;
  return nullptr;
}

duckdb::date_t AddDays(duckdb::date_t date, int64_t days) {
  const int64_t sum =
      static_cast<int64_t>(date.days) + std::clamp<int64_t>(days, -4'000'000'000, 4'000'000'000);
  if (!duckdb::Date::IsFinite(date) || sum != static_cast<int32_t>(sum)) {
    throw duckdb::OutOfRangeException("date out of range");
  }
  return duckdb::date_t(static_cast<int32_t>(sum));
}

/// DATE + BIGINT and the like: whole numbers are BIGINT here, and the engine knows INTEGER only.
template <typename A, typename B, duckdb::date_t (*function)(A, B)>
duckdb::ScalarFunction DateFunction(const char* name, const LogicalType& left,
                                    const LogicalType& right) {
  return duckdb::ScalarFunction(
      name, {left, right}, LogicalType::DATE,
      [](duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
        duckdb::BinaryExecutor::Execute<A, B, duckdb::date_t>(arguments.data[0], arguments.data[1],
                                                              result, arguments.size(), function);
      });
}

duckdb::date_t DaysPlusDate(int64_t days, duckdb::date_t date) { return AddDays(date, days); }
duckdb::date_t DateMinusDays(duckdb::date_t date, int64_t days) {
  return AddDays(date, -std::max(days, -INT64_MAX));
}

/// Division and narrowing fail for some rows: the engine must not evaluate them on rows that a
/// filter removes.
duckdb::ScalarFunction Throwing(duckdb::ScalarFunction function) {
  function.errors = duckdb::FunctionErrors::CAN_THROW_RUNTIME_ERROR;
  return function;
}

}  // namespace

void RegisterArithmetic(duckdb::ExtensionLoader& loader) {
  const LogicalType any = LogicalType::ANY;
  loader.RegisterFunction(
      Throwing(duckdb::ScalarFunction("kalam_divide", {any, any}, any, nullptr, BindDivide)));
  loader.RegisterFunction(
      Throwing(duckdb::ScalarFunction("kalam_modulo", {any, any}, any, nullptr, BindModulo)));
  loader.RegisterFunction(
      Throwing(duckdb::ScalarFunction("kalam_bigint", {any}, any, nullptr, BindNarrow)));
  const LogicalType date = LogicalType::DATE, days = LogicalType::BIGINT;
  loader.AddFunctionOverload(
      Throwing(DateFunction<duckdb::date_t, int64_t, AddDays>("+", date, days)));
  loader.AddFunctionOverload(
      Throwing(DateFunction<int64_t, duckdb::date_t, DaysPlusDate>("+", days, date)));
  loader.AddFunctionOverload(
      Throwing(DateFunction<duckdb::date_t, int64_t, DateMinusDays>("-", date, days)));
}

}  // namespace kalam::analytics
