// Expressions: values, three-valued logic, PostgreSQL's rules for numbers, text, dates and JSON.
#include "query/expression.h"

#include <gtest/gtest.h>

#include "sql/parser.h"
#include "types/convert.h"
#include "types/datetime.h"

namespace kalam::query {
namespace {

/// i = 7 (INT), s = 100 (SMALLINT), b = 9000000000 (BIGINT), d = 2.5 (DOUBLE), t = 'Straße' (TEXT),
/// n = NULL (TEXT), ts = 2024-02-29 12:34:56.789 (TIMESTAMP), day = 2024-02-29 (DATE), dec = 12.50
/// (DECIMAL(10,2)), doc = {"a":{"b":[1,"x",null]},"n":3.5} (JSON), flag = true (BOOLEAN), v = [1,0]
/// (EMBEDDING(2)), ni = NULL (INT)
class Columns final : public ColumnScope {
 public:
  Columns() {
    Add("i", Datum::OfInt(TypeKind::kInt, 7));
    Add("s", Datum::OfInt(TypeKind::kSmallInt, 100));
    Add("b", Datum::BigInt(9'000'000'000));
    Add("d", Datum::Double(2.5));
    Add("t", Datum::Text("Straße"));
    Add("n", Datum::Null(TypeKind::kText));
    Add("ts", Datum::OfInt(TypeKind::kTimestamp, *ParseTimestampUs("2024-02-29 12:34:56.789")));
    Add("day", Datum::OfInt(TypeKind::kDate, *ParseDateDays("2024-02-29")));
    Add("dec", Datum::Decimal(1250, 2), DataType::Decimal(10, 2));
    Add("doc", Datum::Bytes(TypeKind::kJson, R"({"a":{"b":[1,"x",null]},"n":3.5})"));
    Add("flag", Datum::Boolean(true));
    Add("v",
        Datum::Bytes(TypeKind::kEmbedding,
                     {reinterpret_cast<const char*>(kVector), sizeof(kVector)}),
        DataType::Embedding(2));
    Add("ni", Datum::Null(TypeKind::kInt));
  }
  Result<ColumnSlot> Resolve(const sql::Expr& column) const override {
    for (uint32_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == column.name_parts.back()) return ColumnSlot{i, types_[i]};
    }
    return Status(ErrorKind::InvalidOperation, "no such column");
  }
  std::span<const Datum> cells() const { return cells_; }

 private:
  void Add(std::string name, Datum cell, DataType type = {}) {
    names_.push_back(std::move(name));
    cells_.push_back(cell);
    types_.push_back(type.kind == TypeKind::kNull ? DataType::Of(cell.kind) : type);
  }
  static constexpr float kVector[2] = {1, 0};
  std::vector<std::string> names_;
  std::vector<Datum> cells_;
  std::vector<DataType> types_;
};

/// The value as text, "NULL", or "error: <message>"; the type's name is put into `*type`.
std::string Evaluate(const std::string& text, std::string* type = nullptr) {
  static const Columns columns;
  const Value parameters[] = {Value::BigInt(5), Value::Text("7"), Value::Null()};
  const DataType parameter_types[] = {TypeOfValue(parameters[0]), TypeOfValue(parameters[1]),
                                      DataType()};
  Result<sql::ExprPtr> expr = sql::ParseExpression(text);
  if (!expr.ok()) return "syntax: " + expr.status().message();
  ConstantPool constants;
  CompileState state;
  state.columns = &columns;
  state.constants = &constants;
  state.parameter_types = parameter_types;
  Result<NodePtr> node = Compile(**expr, &state);
  if (!node.ok()) {
    return state.engine_reason.empty() ? "error: " + node.status().message()
                                       : "engine: " + state.engine_reason;
  }
  if (type != nullptr) *type = SqlName((*node)->type());
  ManualClock clock(*ParseTimestampUs("2025-01-02 03:04:05"));
  IdSource ids(clock);
  const StatementValues statement{"ann", "user", clock.NowUs(), &ids};
  Arena arena, constant_arena;
  std::vector<Datum> bound;
  if (Status status = constants.Bind(parameters, &constant_arena, &bound); !status.ok()) {
    return "error: " + status.message();
  }
  EvalContext context{columns.cells(), bound, &statement, &arena};
  Datum value;
  if (Status status = (*node)->Evaluate(context, &value); !status.ok())
    return "error: " + status.message();
  return value.is_null ? "NULL" : ToText(value);
}

struct Case {
  const char* text;
  const char* expected;
};

void ExpectAll(std::initializer_list<Case> cases) {
  for (const Case& test : cases) EXPECT_EQ(Evaluate(test.text), test.expected) << test.text;
}

TEST(ExpressionTest, IntegersTruncateAndOverflowWithAnError) {
  ExpectAll({
      {"7 / 2", "3"},
      {"-7 / 2", "-3"},
      {"-7 % 3", "-1"},
      {"i / 2", "3"},
      {"1 / 0", "error: division by zero"},
      {"5 % 0", "error: division by zero"},
      {"1.0 / 0", "error: division by zero"},
      {"9223372036854775807 + 1", "error: bigint out of range"},
      {"(-9223372036854775808) / (-1)", "error: bigint out of range"},
      {"(-9223372036854775808) % (-1)", "0"},
      {"-(-9223372036854775807 - 1)", "error: bigint out of range"},
      {"s * s * s", "error: smallint out of range"},
      {"s * s * s * i", "error: smallint out of range"},
      {"b * 2", "18000000000"},
      {"2 ^ 10", "1024"},
      {"6 & 3", "2"},
      {"6 | 3", "7"},
      {"6 # 3", "5"},
      {"1 << 4", "16"},
      {"~5", "-6"},
      {"$1 + 1", "6"},
      {"i + $2", "14"},
      {"i + $3", "NULL"},
      {"abs(-9223372036854775808)", "error: bigint out of range"},
  });
}

TEST(ExpressionTest, DecimalsAreExact) {
  ExpectAll({
      {"dec + 1", "13.50"},
      {"dec * dec", "156.2500"},
      {"dec - 0.25::decimal(5,2)", "12.25"},
      {"dec / 3", "4.1666666666666667"},
      {"dec % 5", "2.50"},
      {"dec / 0", "error: division by zero"},
      {"-dec", "-12.50"},
      {"round(dec, 1)", "12.50"},
      {"round(-12.55::decimal(10,2), 1)", "-12.60"},
      {"dec = '12.5'", "true"},
      {"dec > 12.4999", "true"},
      {"dec in (1, 12.5)", "true"},
  });
}

TEST(ExpressionTest, LogicHasThreeValues) {
  ExpectAll({
      {"null and true", "NULL"},
      {"null and false", "false"},
      {"false and null", "false"},
      {"null or true", "true"},
      {"null or false", "NULL"},
      {"not null", "NULL"},
      {"n = 'x'", "NULL"},
      {"n <> 'x'", "NULL"},
      {"n is null", "true"},
      {"i is not null", "true"},
      {"n in ('a', 'b')", "NULL"},
      {"i in (1, null)", "NULL"},
      {"i in (7, null)", "true"},
      {"i not in (1, null)", "NULL"},
      {"i not in (1, 2)", "true"},
      {"n is distinct from null", "false"},
      {"n is not distinct from 'x'", "false"},
      {"(n = 'x') is unknown", "true"},
      {"(n = 'x') is not true", "true"},
      {"flag is true", "true"},
      {"ni between 1 and 2", "NULL"},
      {"i between 7 and 8", "true"},
      {"i not between 8 and 9", "true"},
      {"ni between 9 and 1", "NULL"},
  });
}

TEST(ExpressionTest, ComparesAcrossTypes) {
  ExpectAll({
      {"i = 7", "true"},
      {"i = $2", "true"},
      {"i = '7'", "true"},
      {"s < 70000", "true"},
      {"i = 7.0", "true"},
      {"b > 8999999999.5", "true"},
      {"t < 'Stra'", "false"},
      {"'B' < 'a'", "true"},
      {"ts > '2024-02-29'", "true"},
      {"ts = '2024-02-29T12:34:56.789Z'", "true"},
      {"ts > day", "true"},
      {"day = '2024-02-29'", "true"},
      {"i = 'seven'", "error: Unable to cast value 'seven' to BIGINT: not an integer"},
      {"t = 5", "false"},
      {"flag = 'true'", "true"},
  });
  EXPECT_TRUE(Evaluate("t = i").starts_with("error: operator does not exist: text = int"));
  EXPECT_TRUE(Evaluate("flag > ts").starts_with("error: operator does not exist"));
}

TEST(ExpressionTest, LikeAndItsEscapes) {
  ExpectAll({
      {"t like 'Str%'", "true"},
      {"t like 'Stra_e'", "true"},
      {"t like '%ß%'", "true"},
      {"t like 'str%'", "false"},
      {"t ilike 'STRASSE'", "false"},
      {"t ilike 'stra%'", "true"},
      {"'ÄPFEL' ilike 'äpfel'", "true"},
      {"t not like '%x%'", "true"},
      {"n like '%'", "NULL"},
      {"'' like ''", "true"},
      {"'' like '%'", "true"},
      {"'' like '_'", "false"},
      {"'a%b' like 'a\\%b'", "true"},
      {"'axb' like 'a\\%b'", "false"},
      {"'a%b' like 'a!%b' escape '!'", "true"},
      {"'a\\b' like 'a\\b' escape ''", "true"},
      {"'abcabcabd' like '%abd'", "true"},
      {"'aaaaaaaaab' like '%a%a%a%c'", "false"},
      {"'x' like 'x\\'", "error: LIKE pattern must not end with escape character"},
  });
}

TEST(ExpressionTest, ConditionalsTakeTheCommonType) {
  ExpectAll({
      {"case when i > 5 then 'big' else 'small' end", "big"},
      {"case i when 7 then 1 when 8 then 2 end", "1"},
      {"case i when 8 then 2 end", "NULL"},
      {"case when i = 7 then 1 else 1 / 0 end", "1"},
      {"coalesce(n, 'x')", "x"},
      {"coalesce(ni, 2.5)", "2.5"},
      {"nullif(i, 7)", "NULL"},
      {"nullif(i, 8)", "7"},
      {"greatest(1, 5, null, 3)", "5"},
      {"least('b', 'a')", "a"},
  });
  std::string type;
  Evaluate("coalesce(ni, 2.5)", &type);
  EXPECT_EQ(type, "DOUBLE");
  EXPECT_TRUE(Evaluate("coalesce(ts, 5)").starts_with("error: COALESCE types"));
}

TEST(ExpressionTest, TextFunctionsCountCharacters) {
  ExpectAll({
      {"length(t)", "6"},
      {"octet_length(t)", "7"},
      {"upper('straße é')", "STRAßE É"},
      {"lower('ÄÖ Ω Ж')", "äö ω ж"},
      {"substring(t from 2 for 3)", "tra"},
      {"substring('abc', -1, 3)", "a"},
      {"substring('abc' from 2)", "bc"},
      {"substring('abc', 1, -1)", "error: negative substring length not allowed"},
      {"left(t, 5)", "Straß"},
      {"left('abc', -1)", "ab"},
      {"right(t, 2)", "ße"},
      {"right('abc', -1)", "bc"},
      {"trim('  x ')", "x"},
      {"trim(both 'x' from 'xxaxx')", "a"},
      {"trim(leading 'x' from 'xa')", "a"},
      {"ltrim('  a')", "a"},
      {"rtrim('aß', 'ß')", "a"},
      {"concat('a', null, 1, true)", "a1true"},
      {"concat_ws('-', 'a', null, 'b')", "a-b"},
      {"'a' || 1 || 'b'", "a1b"},
      {"'a' || null", "NULL"},
      {"replace('aXbX', 'X', 'yy')", "ayybyy"},
      {"position('ß' in t)", "5"},
      {"strpos(t, 'q')", "0"},
      {"lpad('7', 3, '0')", "007"},
      {"rpad('abc', 2)", "ab"},
      {"repeat('ab', 3)", "ababab"},
      {"repeat('ab', 100000000)", "error: the resulting text is too long"},
      {"reverse('aß')", "ßa"},
      {"split_part('a,b,c', ',', 2)", "b"},
      {"split_part('a,b,c', ',', -1)", "c"},
      {"initcap('hello wORLD')", "Hello World"},
      {"starts_with(t, 'Str')", "true"},
  });
}

TEST(ExpressionTest, MathFunctions) {
  ExpectAll({
      {"round(2.5)", "3"},
      {"round(-2.5)", "-3"},
      {"round(1234.567, 2)", "1234.57"},
      {"round(1250, -2)", "1300"},
      {"floor(-1.5)", "-2"},
      {"ceil(1.2)", "2"},
      {"trunc(-1.7)", "-1"},
      {"abs(i - 10)", "3"},
      {"mod(7, 3)", "1"},
      {"mod(7, 0)", "error: division by zero"},
      {"power(2, 3)", "8"},
      {"sqrt(16)", "4"},
      {"sqrt(-1)", "error: cannot take square root of a negative number"},
      {"ln(0)", "error: cannot take logarithm of zero"},
      {"sign(-5)", "-1"},
      {"exp(1000)", "error: value out of range: overflow"},
  });
}

TEST(ExpressionTest, DatesAndIntervals) {
  ExpectAll({
      {"date_trunc('hour', ts)", "2024-02-29 12:00:00"},
      {"date_trunc('month', ts)", "2024-02-01 00:00:00"},
      {"date_trunc('week', ts)", "2024-02-26 00:00:00"},
      {"extract(year from ts)", "2024"},
      {"extract(dow from day)", "4"},
      {"extract(epoch from timestamp '1970-01-02')", "86400"},
      {"extract(second from ts)", "56.789"},
      {"extract(week from date '2021-01-03')", "53"},
      {"ts + interval '1 year'", "2025-02-28 12:34:56.789"},
      {"ts - interval '1 day'", "2024-02-28 12:34:56.789"},
      {"day + 1", "2024-03-01"},
      {"day - date '2024-02-01'", "28"},
      {"now()", "2025-01-02 03:04:05"},
      {"current_timestamp - interval '1 hour'", "2025-01-02 02:04:05"},
      {"current_date", "2025-01-02"},
      {"to_char(ts, 'YYYY-MM-DD HH24:MI:SS.MS')", "2024-02-29 12:34:56.789"},
      {"to_char(ts, 'FMMonth DD, Dy')", "February 29, Thu"},
      {"timestamp '2024-01-02' > timestamp '2024-01-01'", "true"},
      {"date_trunc('fortnight', ts)",
       "error: unit \"fortnight\" not recognized for type timestamp"},
  });
}

TEST(ExpressionTest, JsonPathsChainAndInvalidJsonIsNull) {
  ExpectAll({
      {"doc -> 'a'", R"({"b":[1,"x",null]})"},
      {"doc -> 'a' -> 'b' -> 0", "1"},
      {"doc -> 'a' -> 'b' ->> 1", "x"},
      {"doc -> 'a' -> 'b' -> 1", "\"x\""},
      {"doc -> 'a' -> 'b' ->> 2", "NULL"},
      {"doc -> 'a' -> 'b' ->> -1", "NULL"},
      {"doc ->> 'n'", "3.5"},
      {"doc ? 'a'", "true"},
      {"doc ? 'z'", "false"},
      {"doc -> 'z' -> 'b'", "NULL"},
      {"'{bad' -> 'a'", "NULL"},
      {"'{bad' ? 'a'", "NULL"},
      {"json_get_int(doc, 'a', 'b', 0)", "1"},
      {"json_get_str(doc, 'n')", "NULL"},
      {"json_get_float(doc, 'n')", "3.5"},
      {"json_length(doc, 'a', 'b')", "3"},
      {"json_object_keys(doc)", R"(["a","n"])"},
      {"json_get_json('{\"k\":\"v\"}', 'k')", "\"v\""},
  });
}

TEST(ExpressionTest, IdentityAndVectors) {
  ExpectAll({
      {"current_user", "ann"},
      {"current_user()", "ann"},
      {"current_role", "user"},
      {"length(uuid_v7())", "36"},
      {"length(ulid())", "26"},
      {"snowflake_id() > 0", "true"},
      {"snowflake_id(1)", "error: SNOWFLAKE_ID() takes no arguments"},
      {"cosine_distance(v, '[1,0]')", "0"},
      {"cosine_distance(v, '[0,1]')", "1"},
      {"cosine_distance(v, '[0,0]')", "1"},
      {"cosine_distance(v, '[1]')",
       "error: COSINE_DISTANCE() dimension mismatch: row has 2, query has 1"},
      {"cosine_distance(v, null)", "error: COSINE_DISTANCE() query vector cannot be NULL"},
      {"cosine_distance(v)", "error: COSINE_DISTANCE() expects exactly 2 arguments"},
  });
}

TEST(ExpressionTest, LeavesTheRestToTheEngineOrRefusesIt) {
  ExpectAll({
      {"t ~ 'S.*'", "engine: operator ~"},
      {"frobnicate(1)", "engine: function frobnicate"},
      {"i in (select 1)", "engine: a subquery"},
      {"sum(i)", "error: aggregate function sum is not allowed here"},
      {"lower(1, 2)", "error: function lower(bigint, bigint) does not exist"},
      {"zzz", "error: no such column"},
      {"$9", "error: parameter $9 has no value: 3 were given"},
  });
  EXPECT_TRUE(Evaluate("not 5").starts_with("error: a condition must be of type boolean"));
}

}  // namespace
}  // namespace kalam::query
