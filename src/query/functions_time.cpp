// Date and time functions, all in UTC.
#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "query/functions.h"
#include "query/time_fields.h"
#include "query/time_format.h"
#include "types/datetime.h"

namespace kalam::query {

namespace {

constexpr int64_t kDayUs = 86'400'000'000;

Status Now(EvalContext& context, std::span<const Datum>, Datum* out) {
  *out = Datum::OfInt(TypeKind::kTimestamp, context.statement->now_us);
  return {};
}

int64_t FloorDay(int64_t us) { return us >= 0 ? us / kDayUs : -((-us + kDayUs - 1) / kDayUs); }

Status CurrentDate(EvalContext& context, std::span<const Datum>, Datum* out) {
  *out = Datum::OfInt(TypeKind::kDate, FloorDay(context.statement->now_us));
  return {};
}

Status CurrentTime(EvalContext& context, std::span<const Datum>, Datum* out) {
  const int64_t now_us = context.statement->now_us;
  *out = Datum::OfInt(TypeKind::kTime, now_us - FloorDay(now_us) * kDayUs);
  return {};
}

Status DateTrunc(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  KALAM_ASSIGN_OR_RETURN(const int64_t us, TruncateInstant(arguments[0].text(), arguments[1].i));
  *out = Datum::OfInt(TypeKind::kTimestamp, us);
  return {};
}

Status DatePart(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  KALAM_ASSIGN_OR_RETURN(const double value, ExtractField(arguments[0].text(), arguments[1]));
  *out = Datum::Double(value);
  return {};
}

Status ToCharacters(EvalContext& context, std::span<const Datum> arguments, Datum* out) {
  std::string text;
  KALAM_RETURN_IF_ERROR(FormatInstant(arguments[0].i, arguments[1].text(), &text));
  SetText(context, text, out);
  return {};
}

Status ToTimestamp(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const double us = arguments[0].d * 1e6;
  if (!(std::fabs(us) < 9e18)) return Status(ErrorKind::Execution, "timestamp out of range");
  *out = Datum::OfInt(TypeKind::kTimestamp, std::llround(us));
  return {};
}

Status MakeDate(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  const int64_t year = arguments[0].i, month = arguments[1].i, day = arguments[2].i;
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31) {
    return Status(ErrorKind::Execution,
                  fmt::format("date field value out of range: {}-{}-{}", year, month, day));
  }
  CivilTime civil{};
  civil.year = static_cast<int32_t>(year);
  civil.month = static_cast<int32_t>(month);
  civil.day = static_cast<int32_t>(day);
  const int64_t us = FromCivil(civil);
  if (ToCivil(us).month != civil.month) {
    return Status(ErrorKind::Execution,
                  fmt::format("date field value out of range: {}-{}-{}", year, month, day));
  }
  *out = Datum::OfInt(TypeKind::kDate, FloorDay(us));
  return {};
}

Status Age(EvalContext&, std::span<const Datum> arguments, Datum* out) {
  *out = SymbolicAge(arguments[0].i, arguments[1].i);
  return {};
}

constexpr FunctionSpec kFunctions[] = {
    {"now", ":s", Now},
    {"current_timestamp", ":s", Now},
    {"localtimestamp", ":s", Now},
    {"statement_timestamp", ":s", Now},
    {"transaction_timestamp", ":s", Now},
    {"current_date", ":D", CurrentDate},
    {"today", ":D", CurrentDate},
    {"current_time", ":T", CurrentTime},
    {"localtime", ":T", CurrentTime},
    {"date_trunc", "ts:s", DateTrunc},
    {"date_part", "ts:d", DatePart},
    {"date_part", "tD:d", DatePart},
    {"date_part", "tT:d", DatePart},
    {"date_part", "tv:d", DatePart},
    {"to_char", "st:t", ToCharacters},
    {"to_timestamp", "d:s", ToTimestamp},
    {"make_date", "iii:D", MakeDate},
    {"age", "ss:v", Age},
};

}  // namespace

std::span<const FunctionSpec> TimeFunctions() { return kFunctions; }

}  // namespace kalam::query
