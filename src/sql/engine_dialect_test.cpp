// The engine's dialect: PostgreSQL's meaning written out, and nothing outside the allow-list.
#include "sql/engine_dialect.h"

#include <gtest/gtest.h>

#include "sql/parser.h"

namespace kalam::sql {
namespace {

std::string Written(std::string_view text) {
  Result<Statement> statement = ParseStatement(text);
  if (!statement.ok()) return "parse: " + statement.status().message();
  EngineNames names;
  names.table = [](const TableName& name) -> Result<std::string> {
    return "kalam_scan(" + name.parts.back() + ")";
  };
  names.current_user = "o'neil";
  names.current_role = "user";
  names.now_us = 1'704'067'200'000'000;
  Result<std::string> sql = WriteEngineSql(*std::get<QueryPtr>(statement->body), names);
  return sql.ok() ? *sql
                  : "error at " + std::to_string(sql.status().position()) + ": " +
                        sql.status().message();
}

struct Case {
  const char* text;
  const char* written;
};

TEST(EngineDialectTest, WritesPostgresMeaning) {
  const Case cases[] = {
      {"select a.x from t0 a", R"q(SELECT "a"."x" AS "x" FROM kalam_scan(t0) AS "a")q"},
      {"select 1, 1.5, -2 from ns.t0",
       R"q(SELECT CAST(1 AS BIGINT) AS "1", 1.5e0 AS "1.5", CAST(-2 AS BIGINT) AS "-2" FROM kalam_scan(t0) AS "t0")q"},
      {"select a / b, a % 2 from t0",
       R"q(SELECT (kalam_divide("a", "b")) AS "a / b", (kalam_modulo("a", CAST(2 AS BIGINT))) AS "a % 2" FROM )q"
       R"q(kalam_scan(t0) AS "t0")q"},
      {"select sum(x) over (order by y desc) s from t0",
       R"q(SELECT kalam_bigint(sum("x") OVER (ORDER BY "y" DESC NULLS FIRST)) AS "s" FROM kalam_scan(t0) AS "t0")q"},
      {"select COUNT(*) from t0 group by 1, a + 1 order by 1, b nulls first limit 5 offset 2",
       R"q(SELECT count(*) AS "count(*)" FROM kalam_scan(t0) AS "t0" GROUP BY 1, ("a" + CAST(1 AS BIGINT)) )q"
       R"q(ORDER BY 1 ASC NULLS LAST, "b" ASC NULLS FIRST LIMIT 5 OFFSET 2)q"},
      {"select x from t0 where a = 5 and b in (1, 'z') and c between 1 and $1",
       R"q(SELECT "x" AS "x" FROM kalam_scan(t0) AS "t0" WHERE ((("a" = 5) AND ("b" IN (1, 'z'))) AND )q"
       R"q(("c" BETWEEN 1 AND $1)))q"},
      {"select now(), current_date, current_user(), current_role",
       R"q(SELECT TIMESTAMP '2024-01-01 00:00:00' AS "now()", DATE '2024-01-01' AS "current_date()", 'o''neil' AS )q"
       R"q("current_user()", 'user' AS "current_role()")q"},
      {"select d -> 'a' ->> 'b', d ? 'k', d #>> '{a,0}'",
       R"q(SELECT (json_as_text((json_get_json("d", 'a')), 'b')) AS "d -> 'a' ->> 'b'", (json_contains("d", 'k')) AS )q"
       R"q("d ? 'k'", (json_as_text("d", 'a', 0)) AS "d #>> '{a,0}'")q"},
      {"select a || 1, a like 'x\\%', a like 'y%', a not ilike $1",
       R"q(SELECT (kalam_text("a") || kalam_text(CAST(1 AS BIGINT))) AS "a || 1", ("a" LIKE 'x\%' ESCAPE '\') AS )q"
       R"q("a LIKE 'x\%'", ("a" LIKE 'y%') AS "a LIKE 'y%'", ("a" NOT ILIKE $1 ESCAPE '\') AS "a NOT ILIKE $1")q"},
      {"select a similar to 'x%.', b !~* 'z'",
       R"q(SELECT (regexp_full_match("a", 'x.*\.', 's')) AS "a SIMILAR TO 'x%.'", (NOT regexp_matches("b", 'z', 'i')) )q"
       R"q(AS "b !~* 'z'")q"},
      {"values (1, 'a'), (2, 'b')",
       R"q(SELECT * FROM (VALUES (CAST(1 AS BIGINT), 'a'), (CAST(2 AS BIGINT), 'b')) AS "values"("column1", "column2"))q"},
      {"select g from generate_series(1, 3) g",
       R"q(SELECT "g" AS "g" FROM generate_series(CAST(1 AS BIGINT), CAST(3 AS BIGINT)) AS "g"("g"))q"},
      {"select x from (select a as \"at\" from t0) as \"q\"\"q\"",
       R"q(SELECT "x" AS "x" FROM (SELECT "a" AS "at" FROM kalam_scan(t0) AS "t0") AS "q""q")q"},
      {"select x'00ff', interval '1 day', a is not true, extract(year from b), cast(c as "
       "varchar(3))",
       R"q(SELECT CAST('\x00\xFF' AS BLOB) AS "X'00ff'", (to_months(0) + to_days(1) + to_microseconds(0)) AS )q"
       R"q("INTERVAL '1 day'", ("a" IS DISTINCT FROM true) AS "a IS NOT TRUE", date_part('year', "b") AS )q"
       R"q("extract(year FROM b)", CAST("c" AS VARCHAR) AS "CAST(c AS TEXT)")q"},
  };
  for (const Case& test : cases) EXPECT_EQ(Written(test.text), test.written) << test.text;
}

TEST(EngineDialectTest, RefusesWhatIsNotListed) {
  const Case cases[] = {
      {"select read_csv('/etc/passwd')",
       "error at 7: function read_csv does not exist or is not available"},
      {"select 1 from read_csv('/etc/passwd')",
       "error at 14: function read_csv does not exist or is not available in FROM"},
      {"select getenv('HOME')", "error at 7: function getenv does not exist or is not available"},
      {"select a @> b", "error at 9: Unsupported operator: @>"},
      {"select (select max(current_setting('x')))",
       "error at 19: function current_setting does not exist or is not available"},
  };
  for (const Case& test : cases) EXPECT_EQ(Written(test.text), test.written) << test.text;
}

}  // namespace
}  // namespace kalam::sql
