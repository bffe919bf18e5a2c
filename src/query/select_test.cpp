// Native SELECT over a real store: access paths, order, limits, aggregates, the plan cache and what
// goes to the engine.
#include "query/query_fixture.h"

namespace kalam::query {
namespace {

using ::testing::Test;

class SelectTest : public QueryTest {
 protected:
  void SetUp() override {
    QueryTest::SetUp();
    ASSERT_EQ(Run("INSERT INTO notes (id, name, score, price, required) VALUES (3, 'c', 30, 1.50, "
                  "1), (1, 'a', 10, 2, 1),"
                  " (2, 'b', NULL, 0.25, 1), (10, 'd', 5, NULL, 1)"),
              Lines{"4"});
  }
};

TEST_F(SelectTest, FollowsThePrimaryKeyByDefault) {
  EXPECT_EQ(Run("SELECT id, name FROM notes"), (Lines{"1|a", "2|b", "3|c", "10|d"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY id DESC LIMIT 2"), (Lines{"10", "3"}));
  EXPECT_EQ(Run("SELECT id FROM app.notes n WHERE n.score > 5 OFFSET 1"), (Lines{"3"}));
}

TEST_F(SelectTest, OrdersByOtherThings) {
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY score"), (Lines{"10", "1", "3", "2"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY score DESC"), (Lines{"2", "3", "1", "10"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY score DESC NULLS LAST LIMIT 2"), (Lines{"3", "1"}));
  EXPECT_EQ(Run("SELECT id, -score AS negated FROM notes WHERE score > 5 ORDER BY negated"),
            (Lines{"3|-30", "1|-10"}));
  EXPECT_EQ(Run("SELECT name, id FROM notes ORDER BY 2 DESC LIMIT 1 OFFSET 1"), (Lines{"c|3"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY _seq DESC LIMIT 1"), (Lines{"10"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY 7"),
            (Lines{"error: Invalid SQL: ORDER BY position 7 is not in select list"}));
}

TEST_F(SelectTest, ChoosesThePathFromTheFilter) {
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id = 2").find("access=primary key lookup"),
            std::string::npos);
  EXPECT_NE(
      Explain("SELECT * FROM notes WHERE name = 'x' AND id IN (1, 2)").find("primary key lookup"),
      std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id > 2 AND id <= 9").find("primary key range scan"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE _seq > 2").find("_seq range scan"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE score = 1").find("full scan"), std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id = 1 OR score = 1").find("full scan"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes").find("TableScan: app.notes"), std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes").find("source=user_table_scan"), std::string::npos);
  EXPECT_NE(
      Explain("SELECT name, count(*) FROM notes GROUP BY name").find("the statement has GROUP BY"),
      std::string::npos);
}

TEST_F(SelectTest, PathsAndFiltersAgree) {
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = 2"), (Lines{"2"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = '2'"), (Lines{"2"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = 2.0"), (Lines{"2"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = 2.5"), Lines{});
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = NULL"), Lines{});
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id IN (10, 1, 1, 77)"), (Lines{"1", "10"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE 2 < id"), (Lines{"3", "10"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id >= 2 AND id < 10"), (Lines{"2", "3"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id BETWEEN 2 AND 3 ORDER BY id DESC"),
            (Lines{"3", "2"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id > 5 AND id < 3"), Lines{});
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = 2 AND id = 3"), Lines{});
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id > 2.5"), (Lines{"3", "10"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = $1", {Value::Text("3")}), (Lines{"3"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE name LIKE $1", {Value::Text("_")}),
            (Lines{"1", "2", "3", "10"}));
  const Lines seqs = Run("SELECT _seq FROM notes WHERE id = 1");
  EXPECT_EQ(Run("SELECT id FROM notes WHERE _seq > " + seqs[0]), (Lines{"2", "10"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE _seq = " + seqs[0]), (Lines{"1"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE _seq <= " + seqs[0]), (Lines{"1", "3"}));
}

TEST_F(SelectTest, DeletedRowsShowOnlyWhenAskedFor) {
  EXPECT_EQ(Run("DELETE FROM notes WHERE id = 2"), Lines{"1"});
  EXPECT_EQ(Run("SELECT count(*) FROM notes"), Lines{"3"});
  EXPECT_EQ(Run("SELECT id, name, _deleted FROM notes WHERE _deleted = true"), Lines{"2|b|true"});
}

TEST_F(SelectTest, Aggregates) {
  EXPECT_EQ(Run("SELECT count(*), count(score), sum(score), avg(score), min(name), max(price) FROM "
                "notes"),
            Lines{"4|3|45|15|a|2.00"});
  EXPECT_EQ(Run("SELECT sum(score) + 1, coalesce(max(id), 0) FROM notes WHERE id > 100"),
            Lines{"NULL|0"});
  EXPECT_EQ(Run("SELECT count(DISTINCT required), sum(price) FROM notes"), Lines{"1|3.75"});
  EXPECT_EQ(Run("SELECT count(*) FILTER (WHERE score > 5) FROM notes"), Lines{"2"});
  EXPECT_EQ(Run("SELECT sum(id * 4611686018427387904) FROM notes WHERE id = 1 OR id = 10"),
            Lines{"error: Execution error: bigint out of range"});
  EXPECT_EQ(Run("SELECT name, count(*) FROM notes")[0].substr(0, 59),
            "error: Invalid SQL: column 'name' must appear in the GROUP ");
}

TEST_F(SelectTest, WithoutATable) {
  EXPECT_EQ(Run("SELECT 1 + 1, current_user, 'x' || $1", {Value::Text("y")}), Lines{"2|ann|xy"});
  EXPECT_EQ(Run("SELECT 1 WHERE false"), Lines{});
  EXPECT_EQ(Run("SELECT NULL"), Lines{"NULL"});
}

TEST_F(SelectTest, ErrorsNameWhatIsWrong) {
  EXPECT_EQ(Run("SELECT * FROM nothing"),
            Lines{"error: Table not found: table 'kalam.app.nothing' not found"});
  EXPECT_EQ(Run("SELECT nope FROM notes"), Lines{"error: Invalid operation: No field named 'nope': "
                                                 "column not found in table 'app.notes'"});
  EXPECT_EQ(Run("SELECT id FROM notes LIMIT -1"),
            Lines{"error: Invalid SQL: LIMIT must not be negative"});
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id = $1"),
            Lines{"error: Parameter binding error: the statement has 1 parameters but 0 values "
                  "were given"});
  const auto bound = engine_->Prepare(
      "SELECT id FROM notes WHERE  name = 'long enough' AND nope = 1", {}, Context());
  EXPECT_EQ(bound.status().position(), 53);
}

TEST_F(SelectTest, UsersSeeTheirOwnRows) {
  EXPECT_EQ(RunAs(Context("bob"), "SELECT count(*) FROM notes"), Lines{"0"});
  EXPECT_EQ(RunAs(Context("root", catalog::Role::kSystem), "SELECT count(*) FROM notes"),
            Lines{"0"});
  EXPECT_EQ(
      RunAs(Context("x", catalog::Role::kAnonymous), "SELECT count(*) FROM notes")[0].substr(0, 40),
      "error: Permission denied: Access denied:");
}

TEST_F(SelectTest, StreamsInChunksWithoutLosingTheirPlace) {
  for (int i = 100; i < 400; ++i) {
    ASSERT_EQ(Run("INSERT INTO shared VALUES ($1, 'n', 1)", {Value::BigInt(i)}),
              (Lines{"error: Permission denied: Access denied: Role 'User' cannot access table "
                     "'app.shared'. "
                     "Shared table write denied (access_level=Public)"}));
    ASSERT_EQ(RunAs(Context("s", catalog::Role::kService), "INSERT INTO shared VALUES ($1, 'n', 1)",
                    {Value::BigInt(i)}),
              Lines{"1"});
  }
  const auto bound = engine_->Prepare("SELECT id FROM shared", {}, Context());
  ASSERT_TRUE(bound.ok());
  auto stream = engine_->OpenSelect(*bound, Context());
  ASSERT_TRUE(stream.ok());
  RunAs(Context("s", catalog::Role::kService), "INSERT INTO shared VALUES (150000, 'late', 1)");
  const Lines lines = Drain(**stream, 64);
  ASSERT_EQ(lines.size(), 300u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(lines[static_cast<size_t>(i)], std::to_string(100 + i));
}

TEST_F(SelectTest, PlansAreCachedByShape) {
  const PlanCacheStats before = engine_->plan_cache_stats();
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id = 1"), Lines{"a"});
  EXPECT_EQ(Run("select  name from notes where id = 3 -- again"), Lines{"c"});
  EXPECT_EQ(RunAs(Context("bob"), "SELECT name FROM notes WHERE id = 1"), Lines{});
  PlanCacheStats after = engine_->plan_cache_stats();
  EXPECT_EQ(after.misses - before.misses, 1);
  EXPECT_EQ(after.hits - before.hits, 2);
  // Another type of the constant is another plan; a change of the catalog ends them all.
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id = '1'"), Lines{"a"});
  AddTable("later", catalog::TableType::kShared,
           {{.name = "id",
             .type = DataType::Of(TypeKind::kInt),
             .nullable = false,
             .primary_key = true}});
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id = 1"), Lines{"a"});
  EXPECT_EQ(engine_->plan_cache_stats().misses - after.misses, 2);
}

TEST_F(SelectTest, ConfiguredLimitsAreTold) {
  QueryLimits limits;
  limits.default_query_limit = 2;
  limits.max_query_limit = 3;
  MakeEngine(limits);
  EXPECT_EQ(Run("SELECT id FROM notes"), (Lines{"1", "2"}));
  EXPECT_NE(last_notice_.find("cut after 2 rows"), std::string::npos);
  EXPECT_EQ(Run("SELECT id FROM notes LIMIT 100"), (Lines{"1", "2", "3"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id < 3"), (Lines{"1", "2"}));
  EXPECT_EQ(last_notice_, "");
}

TEST_F(SelectTest, LimitsOfAStatementHold) {
  StatementContext context = Context();
  context.memory_max_bytes = 200;
  EXPECT_EQ(RunAs(context, "SELECT id FROM notes ORDER BY name")[0].substr(0, 29),
            "error: Memory limit exceeded:");
  // Nobody asked for the default order: it is given up instead.
  EXPECT_EQ(RunAs(context, "SELECT id FROM notes WHERE _seq > 0"), (Lines{"1", "2", "3", "10"}));
  context = Context();
  context.deadline_steady_us = clock_.SteadyUs() - 1;
  EXPECT_EQ(RunAs(context, "SELECT id FROM notes")[0].substr(0, 15), "error: Timeout:");
  context = Context();
  context.cancelled = [] { return true; };
  EXPECT_EQ(RunAs(context, "SELECT id FROM notes")[0].substr(0, 17), "error: Cancelled:");
}

TEST_F(SelectTest, TheEngineGetsTheRest) {
  EXPECT_EQ(Run("SELECT name, count(*) FROM notes n GROUP BY name"),
            Lines{"error: no engine here"});
  EXPECT_EQ(analytics_.source_count, 1u);
  EXPECT_NE(analytics_.last_sql.find("kalam_scan(0)"), std::string::npos) << analytics_.last_sql;
  Run("WITH x AS (SELECT id FROM app.notes) SELECT * FROM x JOIN shared ON x.id = shared.id");
  EXPECT_EQ(analytics_.source_count, 2u);
  EXPECT_EQ(Run("SELECT * FROM x JOIN nothing ON true")[0].substr(0, 24),
            "error: Table not found: ");
  EXPECT_EQ(Run("SELECT read_csv('/etc/passwd')")[0].substr(0, 19), "error: Invalid SQL:");
}

}  // namespace
}  // namespace kalam::query
