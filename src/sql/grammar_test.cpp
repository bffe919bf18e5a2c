// Standard statements: the trees they become, and what is refused where.
#include <gtest/gtest.h>

#include <string>

#include "sql/parser.h"

namespace kalam::sql {
namespace {

// The canonical text of a query after parsing, or the error with its position.
std::string Canonical(std::string_view text) {
  Result<Statement> statement = ParseStatement(text);
  if (!statement.ok()) {
    return "error at " + std::to_string(statement.status().position()) + ": " +
           statement.status().message();
  }
  auto* query = std::get_if<QueryPtr>(&statement->body);
  if (query == nullptr) return "not a query";
  // A copy must say the same.
  return ToText(*Clone(**query));
}

struct Case {
  const char* text;
  const char* canonical;
};

TEST(GrammarTest, QueriesBecomeTreesThatSayTheSame) {
  const Case cases[] = {
      {"select 1", "SELECT 1"},
      {"SELECT a, T.b AS c FROM ns.T WHERE a = 1 AND b <> 'x''y' OR NOT c",  // NOLINT
       "SELECT a, t.b AS c FROM ns.t WHERE a = 1 AND b <> 'x''y' OR NOT c"},
      {"select \"Mixed\" from kalam.ns.t x(p, q)", "SELECT \"Mixed\" FROM kalam.ns.t AS x(p, q)"},
      {"select (a + b) * c - d - (e - f)", "SELECT (a + b) * c - d - (e - f)"},
      {"select -5, - x, +y, -(-z)", "SELECT -5, -x, +y, -(-z)"},
      {"select a from t where a between 1 and 2 and b not in (1, 2) and c is not null",
       "SELECT a FROM t WHERE a BETWEEN 1 AND 2 AND b NOT IN (1, 2) AND c IS NOT NULL"},
      {"select a like 'x%' escape '!', b not ilike 'y', c similar to 'z', c not similar to 'z'",
       "SELECT a LIKE 'x%' ESCAPE '!', b NOT ILIKE 'y', c SIMILAR TO 'z', NOT c SIMILAR TO 'z'"},
      {"select count(*), count(distinct a), sum(b) filter (where b > 0) from t group by 1 having "
       "count(*) > 1",
       "SELECT count(*), count(DISTINCT a), sum(b) FILTER (WHERE b > 0) FROM t GROUP BY 1 HAVING "
       "count(*) > 1"},
      {"select rank() over (partition by a order by b desc nulls last rows between 1 preceding and "
       "current row), "
       "sum(c) over w from t window w as (order by d)",
       "SELECT rank() OVER (PARTITION BY a ORDER BY b DESC NULLS LAST ROWS BETWEEN 1 PRECEDING AND "
       "CURRENT ROW), "
       "sum(c) OVER w FROM t WINDOW w AS (ORDER BY d)"},
      {"select case a when 1 then 'x' else 'y' end, case when b then 1 end",
       "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN b THEN 1 END"},
      {"select cast(a as int), b::text, c::decimal(10,2), d::double precision, e::timestamptz, "
       "f::varchar(5)",
       "SELECT CAST(a AS INT), CAST(b AS TEXT), CAST(c AS DECIMAL(10, 2)), CAST(d AS DOUBLE), "
       "CAST(e AS TIMESTAMP), "
       "CAST(f AS TEXT)"},
      {"select timestamp '2024-01-02 03:04:05', date '2024-01-02', interval '1 day'",
       "SELECT TIMESTAMP '2024-01-02 03:04:05', DATE '2024-01-02', INTERVAL '1 day'"},
      {"select a -> 'x' ->> 'y' = 'z', doc ? 'k' from t where id = ? and x = ?",
       "SELECT a -> 'x' ->> 'y' = 'z', doc ? 'k' FROM t WHERE id = $1 AND x = $2"},
      {"select * from a join b on a.x = b.x left join c using (y, z) cross join d, e natural join "
       "f",
       "SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (y, z) CROSS JOIN d CROSS JOIN (e "
       "NATURAL JOIN f)"},
      {"with recursive x(n) as (select 1 union all select n + 1 from x where n < 5) select * from "
       "x order by n limit 3 "
       "offset 1",
       "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 5) SELECT * FROM "
       "x ORDER BY n LIMIT 3 "
       "OFFSET 1"},
      {"select a from t where b in (select c from u) and not exists (select 1 from v) and d not in "
       "(select 1) and "
       "e = any (select 2) and f > all (array[1, 2])",
       "SELECT a FROM t WHERE b IN (SELECT c FROM u) AND NOT EXISTS (SELECT 1 FROM v) AND d NOT IN "
       "(SELECT 1) AND "
       "e = ANY (SELECT 2) AND f > ALL (ARRAY[1, 2])"},
      {"select distinct on (a) a, b from t order by a, b",
       "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b"},
      {"values (1, 'a'), (2, 'b')", "VALUES (1, 'a'), (2, 'b')"},
      {"(select 1 except select 2) intersect all select 3",
       "(SELECT 1 EXCEPT SELECT 2) INTERSECT ALL SELECT 3"},
      {"select user, t.user, \"user\" from t where user = CURRENT_USER() and r = current_role and "
       "x = CURRENT_USER_ID( )",
       "SELECT user, t.user, user FROM t WHERE user = current_user() AND r = current_role() AND x "
       "= current_user()"},
      {"select extract(year from ts), position('a' in b), trim(c), substring(d from 2 for 3), a at "
       "time zone 'UTC'",
       "SELECT extract(year FROM ts), strpos(b, 'a'), trim(c), substring(d, 2, 3), timezone('UTC', "
       "a)"},
      {"select /* one */ a -- two\n from t", "SELECT a FROM t"},
      {"select 12345678901234567890, 1.5, 1e3, 0.1234567890123456789, 9223372036854775807",
       "SELECT 12345678901234567890, 1.5, 1000, 0.1234567890123456789, 9223372036854775807"},
      {"select E'a\\n', $x$it's$x$", "SELECT 'a\n', 'it''s'"},
      {"select coalesce(a, 1), nullif(b, 2), greatest(c, d), now(), current_timestamp, "
       "current_date",
       "SELECT coalesce(a, 1), nullif(b, 2), greatest(c, d), now(), current_timestamp(), "
       "current_date()"},
      {"select x from generate_series(1, 5) as g(x)",
       "SELECT x FROM generate_series(1, 5) AS g(x)"},
      {"select a is true, b is not false, c is unknown, d is distinct from e",
       "SELECT a IS TRUE, b IS NOT FALSE, c IS UNKNOWN, d IS DISTINCT FROM e"},
      {"select a from t limit all", "SELECT a FROM t"},
  };
  for (const Case& test : cases) EXPECT_EQ(Canonical(test.text), test.canonical) << test.text;
}

TEST(GrammarTest, GroupsOfGroups) {
  EXPECT_EQ(Canonical("select a, b from t group by rollup (a, b)"),
            "SELECT a, b FROM t GROUP BY rollup(a, b)");
  EXPECT_EQ(Canonical("select a from t group by a, cube (b, (c, d))"),
            "SELECT a FROM t GROUP BY a, cube(b, (c, d))");
  EXPECT_EQ(Canonical("select a from t group by grouping sets ((a, b), a, (), rollup (c))"),
            "SELECT a FROM t GROUP BY grouping sets((a, b), a, (), rollup(c))");
  EXPECT_EQ(Canonical("select a from t order by a collate \"C\""), "SELECT a FROM t ORDER BY a");
  EXPECT_EQ(Canonical("select (array[a, b])[2] from t"),
            "SELECT list_extract(ARRAY[a, b], 2) FROM t");
}

TEST(GrammarTest, RefusesWhatTheTreeDoesNotHave) {
  const Case cases[] = {
      {"select * into x from t", "error at -1: Unsupported clause: SELECT INTO"},
      {"select * from t for update", "error at -1: Unsupported clause: FOR UPDATE and FOR SHARE"},
      {"with x as (delete from t returning *) select * from x",  // NOLINT
       "error at 5: Unsupported statement in WITH: only SELECT may stand there"},
      {"select a collate \"de_DE\" from t",
       "error at 9: Unsupported collation: text is ordered by its bytes, COLLATE \"C\""},
      {"select other.f(1)", "error at 7: Unsupported function: names of functions have no schema"},
      {"select a[1] from t",
       "error at -1: Unsupported expression: field selection, and subscripts other than [n] of an "
       "array"},
      {"select a @@ b", "error at 9: Unsupported operator: @"},
      {"select default", "error at 7: DEFAULT is not allowed in this context"},
      {"select a from t where", "error at 21: syntax error at end of input"},
      {"select /* ä */ x frm t y", "error at 22: syntax error at or near \"t\""},
      {"select 'ä', x from from", "error at 20: syntax error at or near \"from\""},
      {"select 12ab", "error at 7: trailing junk after numeric literal at or near \"12ab\""},
      {"select 'abc", "error at 7: unterminated quoted string"},
      {"select $1, ?", "error at 11: ? and $n parameters cannot be mixed"},
      {"select a::nosuchtype", nullptr},
  };
  for (const Case& test : cases) {
    if (test.canonical == nullptr) {
      EXPECT_EQ(Canonical(test.text).substr(0, 5), "error") << test.text;
    } else {
      EXPECT_EQ(Canonical(test.text), test.canonical) << test.text;
    }
  }
}

TEST(GrammarTest, InsertKeepsItsParts) {
  Result<Statement> parsed = ParseStatement(
      "INSERT INTO ns.t AS x (id, \"User\", user,) VALUES (1, DEFAULT, ?,), (2, 'b', NULL) "
      "ON CONFLICT (id) DO UPDATE SET user = excluded.user WHERE x.id > 0 RETURNING id, user AS u");
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed->kind, StatementKind::kInsert);
  EXPECT_EQ(parsed->parameter_count, 1);
  const InsertStatement& insert = *std::get<std::unique_ptr<InsertStatement>>(parsed->body);
  EXPECT_EQ(insert.table.parts, (std::vector<std::string>{"ns", "t"}));
  EXPECT_EQ(insert.alias, "x");
  EXPECT_EQ(insert.columns, (std::vector<std::string>{"id", "User", "user"}));
  ASSERT_EQ(insert.source->values.size(), 2u);
  EXPECT_EQ(insert.source->values[0][1]->kind, ExprKind::kDefault);
  EXPECT_EQ(insert.source->values[0][2]->parameter_index, 1);
  EXPECT_EQ(insert.source->values[1].size(), 3u);
  ASSERT_TRUE(insert.on_conflict);
  EXPECT_TRUE(insert.on_conflict->do_update);
  EXPECT_EQ(insert.on_conflict->target_columns, std::vector<std::string>{"id"});
  EXPECT_EQ(ToText(*insert.on_conflict->assignments[0].value), "excluded.user");
  EXPECT_EQ(ToText(*insert.on_conflict->where), "x.id > 0");
  ASSERT_EQ(insert.returning.size(), 2u);
  EXPECT_EQ(insert.returning[1].alias, "u");
}

TEST(GrammarTest, UpdateAndDeleteKeepTheirParts) {
  Result<Statement> parsed = ParseStatement(
      "UPDATE ns.t SET a = a + 1, (b, c) = ('x', DEFAULT) FROM u WHERE t.id = u.id RETURNING *");
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  const UpdateStatement& update = *std::get<std::unique_ptr<UpdateStatement>>(parsed->body);
  ASSERT_EQ(update.assignments.size(), 3u);
  EXPECT_EQ(update.assignments[0].position, 16);
  EXPECT_EQ(ToText(*update.assignments[0].value), "a + 1");
  EXPECT_EQ(ToText(*update.assignments[1].value), "'x'");
  EXPECT_EQ(update.assignments[2].value->kind, ExprKind::kDefault);
  EXPECT_EQ(update.from->table.parts, std::vector<std::string>{"u"});
  EXPECT_EQ(update.returning[0].expr->kind, ExprKind::kStar);

  parsed = ParseStatement("WITH x AS (SELECT 1) DELETE FROM t USING u WHERE id = $2");
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  const DeleteStatement& deletion = *std::get<std::unique_ptr<DeleteStatement>>(parsed->body);
  EXPECT_EQ(deletion.with.size(), 1u);
  EXPECT_EQ(deletion.using_items->table.parts, std::vector<std::string>{"u"});
  EXPECT_EQ(parsed->parameter_count, 2);
}

TEST(GrammarTest, NamesOfResultColumns) {
  const Case cases[] = {
      {"COUNT(*)", "count(*)"},
      {"SUM(t.Amount)", "sum(amount)"},
      {"ns.t.col", "col"},
      {"a  +  1", "a + 1"},
      {"\"Quoted Name\"", "Quoted Name"},
      {"now( )", "now()"},
      {"t.a || 'x'", "a || 'x'"},
      {"1", "1"},
  };
  for (const Case& test : cases) {
    Result<ExprPtr> expr = ParseExpression(test.text);
    ASSERT_TRUE(expr.ok()) << test.text;
    EXPECT_EQ(ResultName(**expr), test.canonical);
  }
}

TEST(GrammarTest, ReadingTakesMemoryByTokens) {
  const auto repeat = [](std::string_view part, int count) {
    std::string text = "select 1 where a = 1";
    for (int i = 0; i < count; ++i) text += part;
    return text;
  };
  EXPECT_EQ(ParseBytes(repeat(" or a = 1", 200)), 0) << "too small to count";
  // 4 + 3 * 1000 words and operators, 2 + 1000 numbers, 20 + 9 * 1000 bytes.
  EXPECT_EQ(ParseBytes(repeat(" or a = 1", 1000)), 3004 * 640 + 1002 * 420 + 9020 * 5);
  // A comma makes no node.
  EXPECT_EQ(ParseBytes(repeat(" , a", 1000)), 1004 * 640 + 2 * 420 + 1000 * 256 + 4020 * 5);
  // A long string is one node, and copies of its text.
  const std::string text = "select '" + std::string(100'000, 'x') + "'";
  EXPECT_EQ(ParseBytes(text), 640 + 420 + 100'009 * 5);
  // What is refused before it is read takes nothing more.
  EXPECT_LT(ParseBytes(repeat(" or a", 400'000)), 200'000 * 640 + 2'000'020 * 5 + 1);
}

TEST(GrammarTest, LiteralsAreCounted) {
  EXPECT_EQ(CountLiterals(""), 0U);
  EXPECT_EQ(CountLiterals("select a1 from \"x'y\" where b2 = c"), 0U);
  EXPECT_EQ(CountLiterals("insert into t values (1, 'a''b', E'\\'', $x$it's$x$, -2.5e3, $1)"), 6U);
  EXPECT_EQ(CountLiterals("select 1 -- don't, 2, 3\n, 4 -- nor here: '"), 2U);
  EXPECT_EQ(CountLiterals("select 'ab', 'cd, 1, 2"), 1U);
}

TEST(GrammarTest, ALargeTextIsReadWhenThereIsRoomForIt) {
  std::string text = "select 1 where a = 1";
  for (int i = 0; i < 1000; ++i) text += " or a = 1";
  MemoryAccount account("statements", nullptr, ParseBytes(text) - 1);
  EXPECT_EQ(ParseWithin(account, text).status().kind(), ErrorKind::MemoryPressure);
  account.set_limit_bytes(ParseBytes(text));
  EXPECT_TRUE(ParseWithin(account, text).ok());
  EXPECT_EQ(account.used_bytes(), 0);
  EXPECT_EQ(account.peak_bytes(), ParseBytes(text));
  EXPECT_TRUE(ParseWithin(account, "select 1").ok());
}

TEST(GrammarTest, DeepStatementsAreRefusedNotFatal) {
  auto repeat = [](std::string_view piece, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text.append(piece);
    return text;
  };
  const std::string deep[] = {
      "select " + repeat("(", 5000) + "1" + repeat(")", 5000),
      "select 1" + repeat(" + 1", 100000),
      "select " + repeat("- ", 100000) + "1",
      "select " + repeat("not ", 100000) + "true",
      "select " + repeat("case when a and b then 1 else ", 20000) + "1" + repeat(" end", 20000),
      "select 1, 2" + repeat(" union select 1, 2", 20000),
      "select 1 from a" + repeat(" join b on x and y", 20000),
      "select a" + repeat(" is true between b and c", 20000),
      "select a" + repeat("::int", 50000),
      "select (" + repeat("(t.end, ", 5000) + "1",
      "select " + repeat("f(", 5000),
      "select " + repeat("[", 5000),
      "insert into t values " + repeat("(", 5000),
  };
  for (const std::string& text : deep) {
    Result<Statement> statement = ParseStatement(text);
    ASSERT_FALSE(statement.ok());
    EXPECT_EQ(statement.status().kind(), ErrorKind::InvalidSql);
  }
  // Long but flat is fine.
  Result<Statement> flat = ParseStatement("select 1 where a = 1" + repeat(" and a = 1", 5000));
  EXPECT_TRUE(flat.ok()) << flat.status().ToString();
  flat = ParseStatement("select a in (1" + repeat(", 1", 20000) + ")");
  EXPECT_TRUE(flat.ok()) << flat.status().ToString();
}

}  // namespace
}  // namespace kalam::sql
