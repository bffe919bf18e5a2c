// INSERT, UPDATE and DELETE over a real store, alone and in transactions.
#include "query/query_fixture.h"

namespace kalam::query {
namespace {

class DmlTest : public QueryTest {};

TEST_F(DmlTest, InsertFillsInDefaults) {
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (1, 'a') RETURNING id, name, score, created, "
                "required"),
            Lines{"1|a|NULL|2025-06-15 15:06:40|0"});
  EXPECT_EQ(Run("INSERT INTO notes VALUES (2, 'b', 5, 1.255, '2024-01-02', 7)"), Lines{"1"});
  EXPECT_EQ(Run("SELECT price, created, required FROM notes WHERE id = 2"),
            Lines{"1.26|2024-01-02 00:00:00|7"});
  EXPECT_EQ(Run("INSERT INTO notes (id, created, required) VALUES (3, DEFAULT, 1), (4, NULL, 1)"),
            Lines{"2"});
  EXPECT_EQ(Run("SELECT created FROM notes WHERE id > 2"), (Lines{"2025-06-15 15:06:40", "NULL"}));
  EXPECT_EQ(Run("INSERT INTO notes (id, name, required) VALUES ($1, $2, 1)",
                {Value::Text("5"), Value::BigInt(9)}),
            Lines{"1"});
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id = 5"), Lines{"9"});
  EXPECT_EQ(
      Run("INSERT INTO notes (id, name, required) VALUES (2 + 4, upper('x') || current_user, 1)"),
      Lines{"1"});
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id = 6"), Lines{"Xann"});
}

TEST_F(DmlTest, InsertRefusals) {
  EXPECT_EQ(Run("INSERT INTO notes (id, nope) VALUES (1, 2)"),
            Lines{"error: Invalid operation: Column 'nope' does not exist"});
  EXPECT_EQ(
      Run("INSERT INTO notes (id, _seq) VALUES (1, 2)"),
      Lines{"error: Invalid operation: Column '_seq' is a system column and cannot be written"});
  EXPECT_EQ(Run("INSERT INTO notes (id, score) VALUES (1, 3000000000)")[0].substr(0, 83),
            "error: Execution error: Schema coercion failed: Unable to cast value '3000000000' t");
  EXPECT_NE(Run("INSERT INTO notes (id, score) VALUES (1, 'abc')")[0].find("for column 'score'"),
            std::string::npos);
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (1)")[0].substr(0, 45),
            "error: Invalid SQL: INSERT has more target co");
  EXPECT_NE(Run("INSERT INTO notes (id, required) VALUES (1, NULL)")[0].find("NOT NULL"),
            std::string::npos);
  EXPECT_EQ(Run("INSERT INTO notes (id) VALUES (1), (1)")[0].substr(0, 37),
            "error: Already exists: Primary key vi");
  EXPECT_EQ(Run("SELECT count(*) FROM notes"), Lines{"0"});
  EXPECT_EQ(Run("INSERT INTO notes (id) VALUES (1) RETURNING _seq")[0].substr(0, 57),
            "error: Invalid operation: RETURNING cannot give '_seq': i");
}

TEST_F(DmlTest, OnConflict) {
  EXPECT_EQ(Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 1)"), Lines{"1"});
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (1, 'b'), (2, 'c') ON CONFLICT DO NOTHING"),
            Lines{"1"});
  EXPECT_EQ(Run("INSERT INTO notes (id, name, score) VALUES (1, 'n', 10), (3, 'd', 1) ON CONFLICT "
                "(id) DO UPDATE SET name = "
                "excluded.name, score = notes.score + excluded.score"),
            Lines{"2"});
  EXPECT_EQ(Run("SELECT id, name, score FROM notes"), (Lines{"1|n|11", "2|c|NULL", "3|d|1"}));
  EXPECT_EQ(Run("INSERT INTO notes (id, score) VALUES (1, 0) ON CONFLICT DO UPDATE SET score = 0 "
                "WHERE notes.score > 100"),
            Lines{"0"});
  EXPECT_EQ(Run("INSERT INTO notes (id) VALUES (1) ON CONFLICT (name) DO NOTHING")[0].substr(0, 58),
            "error: Invalid operation: ON CONFLICT can only name the pr");
}

TEST_F(DmlTest, UpdateCountsWhatChanged) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
  EXPECT_EQ(Run("UPDATE notes SET score = score + 10 WHERE id = 2"), Lines{"1"});
  EXPECT_EQ(Run("UPDATE notes SET score = 12 WHERE id = 2"), Lines{"0"});
  EXPECT_EQ(Run("UPDATE notes SET name = name || '!', score = NULL WHERE score < 10 RETURNING id, "
                "name, score"),
            (Lines{"1|a!|NULL", "3|c!|NULL"}));
  EXPECT_EQ(Run("UPDATE notes SET name = 'x' WHERE id = 99"), Lines{"0"});
  EXPECT_EQ(Run("UPDATE notes SET name = 'x'"),
            Lines{"error: Invalid operation: UPDATE requires a WHERE clause"});
  EXPECT_EQ(Run("UPDATE notes SET id = 2 WHERE id = 2"),
            Lines{"error: Invalid operation: UPDATE cannot modify primary key column 'id'"});
  EXPECT_EQ(Run("UPDATE notes SET score = 1 / 0 WHERE id = 2"),
            Lines{"error: Execution error: division by zero"});
  EXPECT_EQ(Run("UPDATE events SET name = 'x' WHERE id = 2"),
            Lines{"error: Invalid operation: UPDATE not supported for STREAM tables"});
  EXPECT_EQ(Run("UPDATE notes SET created = DEFAULT WHERE id = 1"), Lines{"0"});
}

TEST_F(DmlTest, DeleteAndInsertAgain) {
  Run("INSERT INTO notes (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  EXPECT_EQ(Run("DELETE FROM notes WHERE name >= 'b' RETURNING name"), (Lines{"b", "c"}));
  EXPECT_EQ(Run("DELETE FROM notes WHERE id = 2"), Lines{"0"});
  EXPECT_EQ(Run("DELETE FROM notes"),
            Lines{"error: Invalid operation: DELETE requires a WHERE clause"});
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (2, 'again')"), Lines{"1"});
  EXPECT_EQ(Run("SELECT name FROM notes"), (Lines{"a", "again"}));
}

TEST_F(DmlTest, ManyRowsShareOnePlan) {
  Run("INSERT INTO notes (id, name) VALUES (1, 'a')");
  const int64_t misses = engine_->plan_cache_stats().misses;
  EXPECT_EQ(
      Run("INSERT INTO notes (id, name) VALUES (2, 'b'), (3, NULL), ($1, 'd')", {Value::BigInt(4)}),
      Lines{"3"});
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES ('5', 5)"), Lines{"1"});
  EXPECT_LE(engine_->plan_cache_stats().misses - misses, 1);
  EXPECT_EQ(Run("SELECT id, name FROM notes"), (Lines{"1|a", "2|b", "3|NULL", "4|d", "5|5"}));
}

TEST_F(DmlTest, TheSameTextWithOtherParameters) {
  const std::string insert = "INSERT INTO notes (id, name, score) VALUES ($1, $2, 7)";
  EXPECT_EQ(Run(insert, {Value::BigInt(1), Value::Text("a")}), Lines{"1"});
  EXPECT_EQ(Run(insert, {Value::BigInt(2), Value::Null()}), Lines{"1"});
  EXPECT_EQ(Run(insert, {Value::BigInt(3)}),
            Lines{"error: Parameter binding error: the statement has 2 parameters but 1 values "
                  "were given"});
  const std::string change = "UPDATE notes SET score = score + 10 WHERE id = $1 AND score < 10";
  EXPECT_EQ(Run(change, {Value::BigInt(2)}), Lines{"1"});
  EXPECT_EQ(Run(change, {Value::BigInt(2)}), Lines{"0"});
  const int64_t bytes = engine_->plan_cache_stats().bytes;
  engine_->ClearPlanCache();
  EXPECT_GT(bytes, 0);
  EXPECT_EQ(engine_->plan_cache_stats().bytes, 0);
  EXPECT_EQ(Run(change, {Value::BigInt(1)}), Lines{"1"});
  EXPECT_EQ(Run("SELECT id, name, score FROM notes"), (Lines{"1|a|17", "2|NULL|17"}));
}

TEST_F(DmlTest, InsertFromAQuery) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 1), (2, 'b', 2)");
  const StatementContext service = Context("ann", catalog::Role::kService);
  EXPECT_EQ(RunAs(service, "INSERT INTO shared SELECT id, name, score FROM notes WHERE score > 1"),
            Lines{"1"});
  EXPECT_EQ(RunAs(service, "INSERT INTO shared (name, id) SELECT name || '+', id + 10 FROM shared"),
            Lines{"1"});
  EXPECT_EQ(Run("SELECT id, name, score FROM shared"), (Lines{"2|b|2", "12|b+|NULL"}));
}

TEST_F(DmlTest, ChangesThroughTheEngine) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 1), (2, 'b', 2)");
  auto answer = std::make_shared<RowBuffer>(ResultSchema{
      {"key", DataType::Of(TypeKind::kBigInt)}, {"value_0", DataType::Of(TypeKind::kText)}});
  for (const char* value : {"x", "y"}) answer->Append({Value::BigInt(2), Value::Text(value)});
  answer->Append({Value::BigInt(77), Value::Text("gone")});
  analytics_.answer = answer;
  EXPECT_EQ(Run("UPDATE notes SET name = shared.name FROM shared WHERE shared.id = notes.id"),
            Lines{"1"});
  EXPECT_EQ(Run("SELECT name FROM notes"), (Lines{"a", "x"}));
  EXPECT_EQ(Run("DELETE FROM notes WHERE id IN (SELECT id FROM shared)"), Lines{"1"});
  EXPECT_EQ(Run("SELECT name FROM notes"), Lines{"a"});
}

TEST_F(DmlTest, TransactionsReadTheirOwnWrites) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 1), (2, 'b', 2)");
  transaction_ = engine_->Begin(Context(), 1 << 20, 0);
  EXPECT_EQ(Run("UPDATE notes SET score = score * 10 WHERE score > 0"), Lines{"2"});
  EXPECT_EQ(Run("INSERT INTO notes (id, name, score) VALUES (3, 'c', 3)"), Lines{"1"});
  EXPECT_EQ(Run("DELETE FROM notes WHERE id = 1"), Lines{"1"});
  EXPECT_EQ(Run("SELECT id, score FROM notes"), (Lines{"2|20", "3|3"}));
  EXPECT_EQ(Run("UPDATE notes SET id_copy = 1 WHERE id = 1")[0].substr(0, 6), "error:");
  const auto command = transaction_->Finish();
  transaction_.reset();
  EXPECT_EQ(Run("SELECT id, score FROM notes"), (Lines{"1|1", "2|2"}));
  ASSERT_TRUE(replication::ProposeAndWait(*group_, command).status.ok());
  EXPECT_EQ(Run("SELECT id, score FROM notes"), (Lines{"2|20", "3|3"}));
}

TEST_F(DmlTest, WhatAStatementStagesIsCharged) {
  const std::string text(100'000, 'x');
  Run("INSERT INTO notes (id, name) VALUES (1, '" + text + "'), (2, '" + text + "')");
  MemoryAccount statements("statements", nullptr);
  StatementContext context = Context();
  context.memory = &statements;
  const auto evaluate = [&](const std::string& sql) -> Result<DmlEvaluation> {
    KALAM_ASSIGN_OR_RETURN(const BoundPlan plan, engine_->Prepare(sql, {}, context));
    return engine_->EvaluateDml(plan, context);
  };
  {
    const auto update = evaluate("UPDATE notes SET name = name || 'y' WHERE id > 0 RETURNING name");
    ASSERT_TRUE(update.ok()) << update.status().ToString();
    // New and old texts, and those of RETURNING; the last step may be missing.
    EXPECT_GT(statements.used_bytes(), 5 * 100'000);
    EXPECT_EQ(update->memory.bytes(), statements.used_bytes());
  }
  EXPECT_EQ(statements.used_bytes(), 0);
  statements.set_limit_bytes(300'000);
  EXPECT_TRUE(evaluate("UPDATE notes SET name = name || 'y' WHERE id > 0")
                  .status()
                  .Is(ErrorKind::MemoryPressure));
  EXPECT_EQ(statements.used_bytes(), 0);
  context.memory_max_bytes = 200'000;
  EXPECT_TRUE(evaluate("UPDATE notes SET name = name || 'y' WHERE id > 0")
                  .status()
                  .Is(ErrorKind::MemoryExceeded));
  EXPECT_EQ(statements.used_bytes(), 0);
  // Within a transaction only the growth is the statement's.
  context.memory_max_bytes = 64 << 20;
  statements.set_limit_bytes(0);
  transaction_ = engine_->Begin(context, 10 << 20, 0);
  context.transaction = transaction_.get();
  ASSERT_TRUE(evaluate("UPDATE notes SET name = name || 'y' WHERE id = 1").ok());
  const auto second = evaluate("INSERT INTO notes (id, name) VALUES (3, 'short')");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(statements.used_bytes(), 0);
  EXPECT_GT(transaction_->write_bytes(), 200'000);
  transaction_.reset();
}

TEST_F(DmlTest, ParsingALargeTextIsCharged) {
  MemoryAccount statements("statements", nullptr, 1'000'000);
  StatementContext context = Context();
  context.memory = &statements;
  std::string list = "1";
  while (list.size() < 20'000) list += ", 12345";
  const auto large =
      engine_->Prepare("SELECT name FROM notes WHERE id IN (" + list + ")", {}, context);
  EXPECT_TRUE(large.status().Is(ErrorKind::MemoryPressure)) << large.status().ToString();
  statements.set_limit_bytes(0);
  EXPECT_TRUE(
      engine_->Prepare("SELECT name FROM notes WHERE id IN (" + list + ")", {}, context).ok());
  EXPECT_GT(statements.peak_bytes(), 1'000'000);
  EXPECT_EQ(statements.used_bytes(), 0);
}

TEST_F(DmlTest, StreamsTakeInsertsAndDeletes) {
  EXPECT_EQ(Run("INSERT INTO events VALUES (1, 'a'), (2, 'b'), (1, 'c')"), Lines{"3"});
  EXPECT_EQ(Run("SELECT id, name FROM events WHERE name <> 'x'"), (Lines{"1|a", "1|c", "2|b"}));
  EXPECT_EQ(Run("SELECT name FROM events"), (Lines{"a", "b", "c"}));
  EXPECT_EQ(Run("SELECT name FROM events ORDER BY _seq DESC LIMIT 1"), Lines{"c"});
  EXPECT_EQ(Run("DELETE FROM events WHERE id = 2"), Lines{"1"});
  EXPECT_EQ(Run("SELECT count(*) FROM events"), Lines{"2"});
  clock_.AdvanceUs(61'000'000);
  EXPECT_EQ(Run("SELECT count(*) FROM events"), Lines{"0"});
}

}  // namespace
}  // namespace kalam::query
