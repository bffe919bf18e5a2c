// Lifting literals: the keys of plans, the values, and what must stay in the text.
#include <gtest/gtest.h>

#include "sql/parser.h"
#include "types/convert.h"

namespace kalam::sql {
namespace {

std::string Values(const LiftedStatement& lifted) {
  std::string text;
  for (const Value& value : lifted.literals) {
    if (!text.empty()) text += "|";
    text += value.is_null() ? "NULL" : kalam::ToText(value.datum());
  }
  return text;
}

struct Case {
  const char* text;
  const char* key;
  const char* values;
};

TEST(LiftTest, LiftsWhatDoesNotShapeThePlan) {
  const Case cases[] = {
      {"SELECT  a FROM T -- x\n WHERE id = 5 and b = 'x''y'",
       "select a from t where id = $1 and b = $2", "5|x'y"},
      {"select 1, 'a' from t where x = -3 limit 10 offset 2",
       "select 1 , 'a' from t where x = $1 limit $2 offset $3", "-3|10|2"},
      {"select a from t where b = $2 and c = 7", "select a from t where b = $2 and c = $3", "7"},
      {"select a from t where b = ? and c = 7 and d ? 'k'",
       "select a from t where b = $1 and c = $2 and d ? $3", "7|k"},
      {"select a from t where b in (1, 2.5, 'c') order by 1, b + 2 limit 3",
       "select a from t where b in ( $1 , $2 , $3 ) order by 1 , b + 2 limit $4", "1|2.5|c|3"},
      {"select a + 1 from t group by a + 1 having sum(b) > 4",
       "select a + 1 from t group by a + 1 having sum ( b ) > $1", "4"},
      {"select a from t where d -> 'k' ->> 0 = 'v' and ts > timestamp '2024-01-01' - interval '1 "
       "day'",
       "select a from t where d -> 'k' ->> 0 = $1 and ts > timestamp '2024-01-01' - interval '1 "
       "day'",
       "v"},
      {"select a from t where b = 1::decimal(10, 2) and c = cast(2 as varchar(7)) and d = 3",
       "select a from t where b = $1 :: decimal ( 10 , 2 ) and c = cast ( $2 as varchar ( 7 ) ) "
       "and d = $3",
       "1|2|3"},
      {"select a from (select b, 1 from u where c = 2) x where date_trunc('day', d) = 'e'",
       "select a from ( select b , 1 from u where c = $1 ) x where date_trunc ( 'day' , d ) = $2",
       "2|e"},
      {"select a from t where b like 'x%' escape '!' union select 5 from u where c = 6",
       "select a from t where b like $1 escape '!' union select 5 from u where c = $2", "x%|6"},
      {"select t.\"Q\" from t where a is distinct from 5",
       "select t . \"Q\" from t where a is distinct from $1", "5"},
      {"select a is distinct from 5, 'x' from t where b - 1 = -1 and c -1 > 0",
       "select a is distinct from 5 , 'x' from t where b - $1 = $2 and c - $3 > $4", "1|-1|1|0"},
      {"UPDATE t SET a = a + 1, b = 'x' WHERE id = 9 RETURNING 7",  // NOLINT
       "update t set a = a + $1 , b = $2 where id = $3 returning 7", "1|x|9"},
      {"delete from t where id between 1 and 2", "delete from t where id between $1 and $2", "1|2"},
      {"select sum(a) over (order by b rows between 1 preceding and current row) from t where c = "
       "1",
       "select sum ( a ) over ( order by b rows between 1 preceding and current row ) from t where "
       "c = $1",
       "1"},
      {"select * from generate_series(1, 5) where x = 2",
       "select * from generate_series ( 1 , 5 ) where x = $1", "2"},
  };
  for (const Case& test : cases) {
    Result<LiftedStatement> lifted = LiftLiterals(test.text);
    ASSERT_TRUE(lifted.ok()) << test.text;
    EXPECT_EQ(lifted->key, test.key);
    EXPECT_EQ(Values(*lifted), test.values) << test.text;
    EXPECT_FALSE(lifted->is_values_insert);
    Result<Statement> parsed = ParseStatement(lifted->key);
    EXPECT_TRUE(parsed.ok()) << test.text << ": " << parsed.status().ToString();
  }
}

TEST(LiftTest, CollapsesTheRowsOfAnInsert) {
  const Case cases[] = {
      {"INSERT INTO t VALUES (1, 'a'), (-2, NULL), (true, '')", "insert into t values ( $1 , $2 )",
       "1|a|-2|NULL|true|"},
      {"insert into ns.T (id, b, c) values (1, NOW(), default), (2, now( ), DEFAULT) returning id, "
       "5",
       "insert into ns . t ( id , b , c ) values ( $1 , now ( ) , default ) returning id , 5",
       "1|2"},
      {"insert into t values (?, 5), (6, ?) on conflict do nothing",
       "insert into t values ( $3 , $4 ) on conflict do nothing", "NULL|5|6|NULL"},
      {"insert into t values (1,2,),(3,4,)", "insert into t values ( $1 , $2 )", "1|2|3|4"},
      {"insert into t values (current_user)", "insert into t values ( current_user )", ""},
  };
  for (const Case& test : cases) {
    Result<LiftedStatement> lifted = LiftLiterals(test.text);
    ASSERT_TRUE(lifted.ok()) << test.text;
    EXPECT_EQ(lifted->key, test.key);
    EXPECT_EQ(Values(*lifted), test.values) << test.text;
    EXPECT_TRUE(lifted->is_values_insert);
    EXPECT_EQ(lifted->literals.size(), static_cast<size_t>(lifted->values_row_count) *
                                           static_cast<size_t>(lifted->values_row_width));
    EXPECT_TRUE(ParseStatement(lifted->key).ok()) << lifted->key;
  }
  Result<LiftedStatement> lifted = LiftLiterals("insert into t values (?, 5), (6, ?)");
  EXPECT_EQ(lifted->parameter_cells, (std::vector<std::pair<int, int>>{{0, 1}, {3, 2}}));
  EXPECT_EQ(lifted->values_row_count, 2);
  EXPECT_EQ(lifted->values_row_width, 2);
}

TEST(LiftTest, OtherInsertsAreLiftedLikeAnyStatement) {
  const Case cases[] = {
      {"insert into t values (1, a + 2)", "insert into t values ( $1 , a + $2 )", "1|2"},
      {"insert into t values (1), (now())", "insert into t values ( $1 ) , ( now ( ) )", "1"},
      {"insert into t values (timestamp '2024-01-01')",
       "insert into t values ( timestamp '2024-01-01' )", ""},
      {"insert into t select a, 5 from u where b = 6",
       "insert into t select a , 5 from u where b = $1", "6"},
      {"insert into t values ('5'::int)", "insert into t values ( $1 :: int )", "5"},
  };
  for (const Case& test : cases) {
    Result<LiftedStatement> lifted = LiftLiterals(test.text);
    ASSERT_TRUE(lifted.ok()) << test.text;
    EXPECT_EQ(lifted->key, test.key);
    EXPECT_EQ(Values(*lifted), test.values);
    EXPECT_FALSE(lifted->is_values_insert);
  }
}

TEST(LiftTest, NumbersKeepTheirDigits) {
  Result<LiftedStatement> lifted = LiftLiterals(
      "insert into t values (-9223372036854775808, 9223372036854775808, 19.99, "
      "0.12345678901234567890, 1e3)");
  ASSERT_TRUE(lifted.ok());
  EXPECT_EQ(lifted->literals[0].kind(), TypeKind::kBigInt);
  EXPECT_EQ(lifted->literals[1].kind(), TypeKind::kDecimal);
  EXPECT_EQ(lifted->literals[2].kind(), TypeKind::kDouble);
  EXPECT_EQ(lifted->literals[3].kind(), TypeKind::kDecimal);
  EXPECT_EQ(lifted->literals[4].kind(), TypeKind::kDouble);
  EXPECT_EQ(Values(*lifted),
            "-9223372036854775808|9223372036854775808|19.99|0.12345678901234567890|1000");
}

TEST(LiftTest, OnlyBrokenTokensFail) {
  EXPECT_EQ(LiftLiterals("select 'x").status().position(), 7);
  EXPECT_FALSE(LiftLiterals("select $1, ?").ok());
  EXPECT_TRUE(LiftLiterals("select from from )) ((").ok());
  EXPECT_TRUE(LiftLiterals("").ok());
}

}  // namespace
}  // namespace kalam::sql
