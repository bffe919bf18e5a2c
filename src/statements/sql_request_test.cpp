// Requests from text to answer: the fast path, batches, checks before anything runs, errors and
// what they may tell.
#include <gmock/gmock.h>

#include <thread>

#include "statements/sql_request_environment.h"
#include "statements/sql_request_test_bench.h"

namespace kalam::statements {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(SqlRequestTest, OneStatementRunsWithoutAWorker) {
  Prepare();
  Answer insert = Send("INSERT INTO notes (id, body, n) VALUES ($1, $2, 3)", User("ann"),
                       {Value::BigInt(1), Value::Text("hello")});
  EXPECT_THAT(insert.results, ElementsAre("Inserted 1 row(s)")) << insert.error;
  EXPECT_THAT(insert.as_users, ElementsAre("ann"));
  EXPECT_FALSE(insert.used_worker);
  Answer select = Send("SELECT id, body FROM notes WHERE id = 1;", User("ann"));
  EXPECT_THAT(select.results, ElementsAre("1|hello")) << select.error;
  EXPECT_FALSE(select.used_worker);
  EXPECT_THAT(Run("SELECT id FROM notes WHERE id = 1", User("bob")), ElementsAre(""));
  Answer returning = Send("UPDATE notes SET n = n + 1 WHERE id = 1 RETURNING n", User("ann"));
  EXPECT_THAT(returning.results, ElementsAre("4")) << returning.error;
  EXPECT_THAT(Run("DELETE FROM notes WHERE id = 9", User("ann")), ElementsAre("Deleted 0 row(s)"));
}

TEST_F(SqlRequestTest, BatchesSumUpTheirChanges) {
  Prepare();
  EXPECT_THAT(
      Run("INSERT INTO notes VALUES (1, 'a', 1), (2, 'b', 2); SELECT n FROM notes WHERE id = 2;"
          "INSERT INTO notes VALUES (3, 'c', 3) RETURNING id; UPDATE notes SET n = 9 WHERE id = 1;"
          "DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (4, 'd', 4)",
          User("ann")),
      ElementsAre("2", "3", "Inserted 3 row(s)", "Updated 1 row(s)", "Deleted 1 row(s)"));
  EXPECT_THAT(Run("USE app; DELETE FROM notes WHERE id = 77", User("ann")),
              ElementsAre("Namespace switched to 'app'"));
}

TEST_F(SqlRequestTest, ABadStatementAnywhereRunsNothing) {
  Prepare();
  const catalog::Caller ann = User("ann");
  Answer syntax = Send("INSERT INTO notes VALUES (1, 'a', 1); SELECT frm FROM WHERE", ann);
  EXPECT_THAT(syntax.error, HasSubstr("syntax error at or near \"WHERE\""));
  EXPECT_EQ(syntax.code, "INVALID_SQL");
  EXPECT_EQ(syntax.position, 54);
  Answer role = Send("INSERT INTO notes VALUES (1, 'a', 1); DROP TABLE board", ann);
  EXPECT_EQ(role.http_status, 403);
  EXPECT_EQ(role.code, "PERMISSION_DENIED");
  // The role is checked before the syntax.
  EXPECT_EQ(Send("CREATE NAMESPACE (((", ann).http_status, 403);
  EXPECT_EQ(Send("TRUNCATE notes", ann).code, "INVALID_SQL");
  EXPECT_THAT(Run("SELECT id FROM notes WHERE id = 1", ann), ElementsAre(""));
}

TEST_F(SqlRequestTest, ABatchStopsAtItsFirstFailure) {
  Prepare();
  Answer answer =
      Send("INSERT INTO notes VALUES (1, 'a', 1); INSERT INTO notes VALUES (1, 'b', 1); SELECT 1",
           Dba());
  EXPECT_THAT(answer.error, HasSubstr("Statement 2 failed: "));
  EXPECT_THAT(answer.error, HasSubstr("Primary key violation"));
  EXPECT_EQ(answer.details, "INSERT INTO notes VALUES (1, 'b', 1)");
  EXPECT_TRUE(answer.results.empty());
  EXPECT_THAT(Run("SELECT body FROM notes WHERE id = 1", Dba()), ElementsAre("a"));
}

TEST_F(SqlRequestTest, ErrorsTellCallersOnlyTheirOwnBusiness) {
  Prepare();
  Answer hidden = Send("SELECT * FROM app.secrets", User("ann"));
  EXPECT_EQ(hidden.error, "SQL statement failed");
  EXPECT_EQ(hidden.details, "");
  EXPECT_EQ(hidden.http_status, 400);
  Answer shown = Send("SELECT * FROM app.secrets", Dba());
  EXPECT_THAT(shown.error, HasSubstr("Table not found"));
  EXPECT_EQ(shown.details, "SELECT * FROM app.secrets");
  EXPECT_THAT(Send("SELECT nope FROM notes WHERE id = 1", User("ann")).error, HasSubstr("nope"));
  EXPECT_EQ(Send("", User("ann")).code, "EMPTY_SQL");
  EXPECT_EQ(Send("SELECT 'x", User("ann")).code, "BATCH_PARSE_ERROR");
  EXPECT_EQ(Send("SELECT $1; SELECT 2", User("ann"), {Value::BigInt(1)}).code, "PARAMS_WITH_BATCH");
  EXPECT_THAT(Send("CREATE USER x WITH PASSWORD 'secret' ROLE nonsense", Dba()).details,
              HasSubstr("PASSWORD '***'"));
}

TEST_F(SqlRequestTest, ConcurrentIncrementsAllCount) {
  Prepare();
  ASSERT_THAT(Run("INSERT INTO notes VALUES (1, 'x', 0)", User("ann")),
              ElementsAre("Inserted 1 row(s)"));
  constexpr int kThreads = 8;
  constexpr int kRounds = 25;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (int round = 0; round < kRounds; ++round) {
        Answer answer = Send("UPDATE notes SET n = n + 1 WHERE id = 1", User("ann"));
        EXPECT_EQ(answer.error, "");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Run("SELECT n FROM notes WHERE id = 1", User("ann")),
              ElementsAre(std::to_string(kThreads * kRounds)));
}

TEST_F(SqlRequestTest, ACancelledBatchStops) {
  Prepare();
  RequestInput input;
  input.sql = "INSERT INTO notes VALUES (1, 'a', 1); INSERT INTO notes VALUES (2, 'b', 1)";
  input.caller = User("ann");
  input.namespace_id = "app";
  input.cancelled = [] { return true; };
  Answer answer = Send(std::move(input));
  EXPECT_EQ(answer.code, "STATEMENT_CANCELLED");
  EXPECT_THAT(Run("SELECT id FROM notes WHERE id = 1", User("ann")), ElementsAre(""));
}

TEST_F(SqlRequestTest, ExecuteAsRunsInTheTargetsScope) {
  Prepare();
  const catalog::Caller service{"bot", catalog::Role::kService};
  Answer insert = Send("EXECUTE AS USER 'ann' (INSERT INTO notes VALUES ($1, CURRENT_USER(), 1))",
                       service, {Value::BigInt(5)});
  EXPECT_THAT(insert.results, ElementsAre("Inserted 1 row(s)")) << insert.error;
  EXPECT_THAT(insert.as_users, ElementsAre("ann"));
  EXPECT_THAT(Run("SELECT body FROM notes WHERE id = 5", User("ann")), ElementsAre("ann"));
  EXPECT_THAT(Run("SELECT body FROM notes WHERE id = 5", service), ElementsAre(""));

  Answer denied = Send("EXECUTE AS USER ann (SELECT 1)", User("bob"));
  EXPECT_EQ(denied.http_status, 403);
  EXPECT_EQ(denied.error,
            "Unauthorized: EXECUTE AS USER is not authorized: actor 'bob' with role User cannot "
            "target 'ann' with role "
            "User");
  Answer shared = Send("EXECUTE AS USER ann (INSERT INTO board VALUES (1, 'x'))", service);
  EXPECT_EQ(shared.http_status, 400);
  EXPECT_THAT(shared.error,
              HasSubstr("EXECUTE AS USER is not allowed on SHARED tables (table 'app:board')"));
  EXPECT_EQ(Send("EXECUTE AS USER ann (SELECT 1; SELECT 2)", service).code, "INVALID_INPUT");
  // What is inside is checked with the caller's own role.
  EXPECT_EQ(Send("EXECUTE AS USER bob (DROP TABLE notes)", User("bob")).http_status, 403);
  EXPECT_THAT(
      Run("SELECT action, subject_user_id FROM system.audit_log WHERE actor_user_id = 'bob'",
          Dba()),
      ElementsAre("EXECUTE_AS_USER_DENIED|ann"));
}

TEST_F(SqlRequestTest, EveryStatementUnderAnotherNameIsOnRecordOnce) {
  Prepare();
  const catalog::Caller service{"forwarder", catalog::Role::kService};
  const auto records = [this] {
    return Run("SELECT COUNT(*) FROM system.audit_log WHERE action = 'EXECUTE_AS_USER'", Dba());
  };
  const std::string insert = "EXECUTE AS USER ann (INSERT INTO notes (id, body) VALUES (1, 'x'))";
  EXPECT_EQ(Send(insert, service).error, "");
  EXPECT_THAT(records(), ElementsAre("1"));
  EXPECT_NE(Send(insert, service).error, "") << "the key is there";
  EXPECT_THAT(records(), ElementsAre("2"));
  EXPECT_THAT(
      Send("EXECUTE AS USER ann (UPDATE notes SET body = 'y' WHERE id = 9)", service).results,
      ElementsAre("Updated 0 row(s)"));
  EXPECT_THAT(records(), ElementsAre("3"));
  EXPECT_EQ(Send("EXECUTE AS USER ann (SELECT body FROM notes)", service).error, "");
  EXPECT_THAT(records(), ElementsAre("4"));
}

/// Two thousand rows: enough that a statement over all of them asks whether it is cancelled, which
/// is the moment for somebody else to come in between.
constexpr int kManyRows = 2000;

std::string InsertManyRows() {
  std::string sql = "INSERT INTO notes (id, n) VALUES (1, 0)";
  for (int id = 2; id <= kManyRows; ++id) sql += ", (" + std::to_string(id) + ", 0)";
  return sql;
}

TEST_F(SqlRequestTest, WhoeverKeepsLosingGetsItsTurnAtTheGate) {
  Prepare();
  ASSERT_THAT(Run(InsertManyRows(), User("ann")), ElementsAre("Inserted 2000 row(s)"));
  RequestInput input;
  input.sql = "UPDATE notes SET n = n + 1 WHERE n >= 0";
  input.caller = User("ann");
  input.namespace_id = "app";
  int came_between = 0;
  bool is_inside = false;
  input.cancelled = [&] {
    // At the gate nobody can come in between: this would wait for ever.
    if (is_inside || came_between == kConflictRoundsMax) return false;
    is_inside = true;
    ++came_between;
    Run("UPDATE notes SET n = n + 1000 WHERE id = 1", User("ann"));
    is_inside = false;
    return false;
  };
  const Answer answer = Send(std::move(input));
  EXPECT_THAT(answer.results, ElementsAre("Updated 2000 row(s)")) << answer.error;
  EXPECT_GT(came_between, 1);
  EXPECT_THAT(Run("SELECT min(n), max(n) FROM notes", User("ann")),
              ElementsAre("1|" + std::to_string(came_between * 1000 + 1)));
}

/// A group in which others are faster as often as a test wants, and then write out what they wrote.
class ContestedGroup final : public replication::ReplicationGroup {
 public:
  ContestedGroup(std::unique_ptr<replication::ReplicationGroup> group, storage::Store& store)
      : group_(std::move(group)), store_(store) {}

  replication::ProposeResult Propose(std::shared_ptr<const replication::Command> command,
                                     replication::CommitCallback done) override {
    if (losses_left == 0) return group_->Propose(std::move(command), std::move(done));
    if (--losses_left == 0) EXPECT_TRUE(store_.FlushMemtables().ok());
    return {replication::ProposeOutcome::kConflict, Status::Ok()};
  }
  replication::View TakeView() override { return group_->TakeView(); }
  Seq published_seq() const override { return group_->published_seq(); }
  std::unique_ptr<Gate> EnterGate() override {
    ++gates_entered;
    return group_->EnterGate();
  }
  int AddObserver(replication::CommitObserver observer) override {
    return group_->AddObserver(std::move(observer));
  }
  void RemoveObserver(int id) override { group_->RemoveObserver(id); }
  void Close() override { group_->Close(); }

  int losses_left = 0;
  int gates_entered = 0;

 private:
  const std::unique_ptr<replication::ReplicationGroup> group_;
  storage::Store& store_;
};

class ContestedRequestTest : public SqlRequestTest {
 protected:
  std::unique_ptr<replication::ReplicationGroup> MakeGroup(
      std::unique_ptr<replication::ReplicationGroup> group) override {
    auto contested = std::make_unique<ContestedGroup>(std::move(group), *store_);
    contested_ = contested.get();
    return contested;
  }
  ContestedGroup* contested_ = nullptr;  // is group_
};

TEST_F(ContestedRequestTest, AtTheGateTheDiskMayBeRead) {
  Prepare();
  const catalog::Caller ann = User("ann");
  Run("INSERT INTO notes (id, body, n) VALUES (1, 'a', 5)", ann);
  contested_->losses_left = kConflictRoundsMax;
  // On a core until it has lost, with the row in memory; at the gate it is only on the disk.
  const Answer answer = Send("UPDATE notes SET n = n + 1 WHERE id = 1", ann);
  EXPECT_THAT(answer.results, ElementsAre("Updated 1 row(s)")) << answer.error;
  EXPECT_TRUE(answer.used_worker);
  EXPECT_EQ(contested_->losses_left, 0);
  EXPECT_EQ(contested_->gates_entered, 1);
  EXPECT_THAT(Run("SELECT n FROM notes WHERE id = 1", ann), ElementsAre("6"));
}

TEST_F(SqlRequestTest, ATableThatChangesMeanwhileIsPlannedAnew) {
  Prepare();
  ASSERT_THAT(Run(InsertManyRows(), User("ann")), ElementsAre("Inserted 2000 row(s)"));
  int altered = 0;
  const auto update = [&](int times) {
    altered = 0;
    RequestInput input;
    input.sql = "UPDATE notes SET n = 7 WHERE n >= 0";
    input.caller = User("ann");
    input.namespace_id = "app";
    input.cancelled = [this, &altered, times] {
      if (altered < times) {
        const std::string name = "c" + std::to_string(times) + "_" + std::to_string(altered++);
        EXPECT_EQ(Send("ALTER TABLE notes ADD COLUMN " + name + " TEXT", Dba()).error, "");
      }
      return false;
    };
    return Send(std::move(input));
  };
  const Answer once = update(1);
  EXPECT_THAT(once.results, ElementsAre("Updated 2000 row(s)")) << once.error;
  EXPECT_EQ(altered, 1);
  EXPECT_THAT(Run("SELECT min(n), count(c1_0) FROM notes", User("ann")), ElementsAre("7|0"));
  Run("UPDATE notes SET n = 0 WHERE n = 7", User("ann"));
  const Answer always = update(1000);
  EXPECT_EQ(always.code, "SCHEMA_CHANGED") << always.error;
  EXPECT_THAT(Run("SELECT max(n) FROM notes", User("ann")), ElementsAre("0"));
}

TEST_F(SqlRequestTest, RowsThatFailLateTellUsersNoMoreThanOtherFailures) {
  Prepare();
  const auto fail = [&](const catalog::Caller& caller) {
    RequestInput input;
    input.sql = "SELECT * FROM notes";
    input.caller = caller;
    input.namespace_id = "app";
    std::unique_ptr<SqlRequest> request = processor_->Start(std::move(input));
    bool used_worker = false;
    Drive(*request, &used_worker);
    EXPECT_EQ(request->results().size(), 1u);
    RequestError error = request->FailRows(Status(ErrorKind::Corruption, "in /data/000030.sst"));
    request->Finish(0);
    return error;
  };
  const RequestError theirs = fail(User("ann"));
  EXPECT_EQ(theirs.code, "DATA_CORRUPTED");
  EXPECT_EQ(theirs.message, "SQL request failed");
  EXPECT_EQ(theirs.details, "");
  const RequestError mine = fail(Dba());
  EXPECT_THAT(mine.message, HasSubstr("in /data/000030.sst"));
  EXPECT_EQ(mine.details, "SELECT * FROM notes");
}

}  // namespace
}  // namespace kalam::statements
