// Explicit transactions within one request.
#include <gmock/gmock.h>

#include <thread>

#include "statements/sql_request_test_bench.h"

namespace kalam::statements {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SqlTransactionTest : public SqlRequestTest {};

TEST_F(SqlTransactionTest, CommitMakesEverythingVisibleAtOnce) {
  Prepare();
  const catalog::Caller ann = User("ann");
  EXPECT_THAT(
      Run("BEGIN; INSERT INTO notes VALUES (1, 'a', 1); SELECT body FROM notes WHERE id = 1;"
          "UPDATE notes SET body = 'b' WHERE id = 1; COMMIT; SELECT body FROM notes WHERE id = 1",
          ann),
      ElementsAre(StartsWith("Transaction started ("), "a", StartsWith("Transaction committed ("),
                  "b", "Inserted 1 row(s)", "Updated 1 row(s)"));
  EXPECT_THAT(Run("SELECT transaction_id FROM system.transactions", Dba()), ElementsAre(""));
}

TEST_F(SqlTransactionTest, RollbackLeavesNothing) {
  Prepare();
  const catalog::Caller ann = User("ann");
  Run("BEGIN; INSERT INTO notes VALUES (1, 'a', 1); ROLLBACK", ann);
  EXPECT_THAT(Run("SELECT id FROM notes WHERE id = 1", ann), ElementsAre(""));
  Answer open = Send("BEGIN; INSERT INTO notes VALUES (1, 'a', 1)", ann);
  EXPECT_EQ(open.error,
            "Request completed with an open explicit transaction; rolled back automatically");
  EXPECT_EQ(open.code, "SQL_EXECUTION_ERROR");
  EXPECT_EQ(open.http_status, 400);
  Answer failing = Send(
      "BEGIN; INSERT INTO notes VALUES (1, 'a', 1); INSERT INTO notes VALUES (2, 'a', 'no "
      "number'); COMMIT",
      ann);
  EXPECT_THAT(failing.error, HasSubstr("Statement 3 failed: "));
  EXPECT_THAT(Run("SELECT id FROM notes WHERE id = 1", ann), ElementsAre(""));
}

TEST_F(SqlTransactionTest, MisuseIsTold) {
  Prepare();
  const catalog::Caller ann = User("ann");
  EXPECT_THAT(Send("COMMIT", ann).error,
              HasSubstr("Invalid operation: COMMIT requires an active explicit SQL transaction"));
  EXPECT_THAT(Send("BEGIN; START TRANSACTION", ann).error,
              HasSubstr("already has an active transaction '"));
  EXPECT_THAT(Send("BEGIN; CREATE NAMESPACE x; COMMIT", Dba()).error,
              HasSubstr("DDL is not allowed inside explicit transaction '"));
  EXPECT_THAT(
      Send("BEGIN; INSERT INTO notes VALUES (1, 'a', 1); INSERT INTO board VALUES (1, 'x'); COMMIT",
           Dba())
          .error,
      HasSubstr("is already bound to data raft group"));
}

TEST_F(SqlTransactionTest, LosersRunAgain) {
  Prepare();
  const catalog::Caller ann = User("ann");
  Run("INSERT INTO notes VALUES (1, 'x', 0)", ann);
  constexpr int kThreads = 3;
  constexpr int kRounds = 10;
  std::vector<std::thread> threads;
  std::atomic<int> committed{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        Answer answer = Send("BEGIN; UPDATE notes SET n = n + 1 WHERE id = 1; COMMIT", ann);
        // After five lost runs the caller is told, and nothing of it has happened.
        if (answer.error.empty()) {
          ++committed;
        } else {
          EXPECT_THAT(answer.error, HasSubstr("failed to commit transaction '"));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(committed.load(), 0);
  EXPECT_THAT(Run("SELECT n FROM notes WHERE id = 1", ann),
              ElementsAre(std::to_string(committed.load())));
}

TEST_F(SqlTransactionTest, RunningAgainIsAuditedOnce) {
  Prepare();
  const catalog::Caller ann = User("ann");
  Run("INSERT INTO notes VALUES (1, 'x', 0)", ann);
  RequestInput input;
  input.sql =
      "BEGIN; EXECUTE AS USER 'ann' (UPDATE notes SET n = n + 1 WHERE id = 1); "
      "EXECUTE AS USER 'ann' (UPDATE notes SET body = 'y' WHERE id = 1); COMMIT";
  input.caller = {"robot", catalog::Role::kService};
  input.namespace_id = "app";
  // Asked before every statement: the moment for another writer to come in between.
  bool came_between = false;
  input.cancelled = [&] {
    const auto open = Run("SELECT write_count FROM system.transactions", Dba());
    if (!came_between && open == std::vector<std::string>{"1"}) {
      came_between = true;
      Run("UPDATE notes SET n = 100 WHERE id = 1", ann);
    }
    return false;
  };
  const Answer answer = Send(std::move(input));
  EXPECT_EQ(answer.error, "");
  EXPECT_TRUE(came_between);
  EXPECT_THAT(Run("SELECT n, body FROM notes WHERE id = 1", ann), ElementsAre("101|y"));
  EXPECT_THAT(Run("SELECT count(*) FROM system.audit_log WHERE action = 'EXECUTE_AS_USER'", Dba()),
              ElementsAre("2"));
}

}  // namespace
}  // namespace kalam::statements
