// Users, roles, what they may do, and the audit trail.
#include <algorithm>

#include "statements/admin_test_bench.h"

namespace kalam::statements {
namespace {

using Lines = std::vector<std::string>;

class UsersTest : public AdminTest {
 protected:
  catalog::UserRecord Record(const std::string& id) {
    return catalog_->FindUser(id).value().value();
  }
};

TEST_F(UsersTest, TheFirstStartMakesRootAndTheNextLeavesItAlone) {
  const catalog::UserRecord root = Record("root");
  EXPECT_EQ(root.role, catalog::Role::kSystem);
  EXPECT_EQ(root.auth_type, catalog::AuthType::kInternal);
  EXPECT_EQ(root.email, "root@localhost");
  EXPECT_TRUE(root.password_hash.empty());
  clock_.AdvanceUs(1000);
  Close();
  Open();
  EXPECT_EQ(Record("root").created_at_us, root.created_at_us);
  EXPECT_EQ(Record("root").updated_at_us, root.updated_at_us);
  ASSERT_TRUE(admin_->Bootstrap("$2b$04$first").ok());
  EXPECT_EQ(Record("root").password_hash, "$2b$04$first");
  ASSERT_TRUE(admin_->Bootstrap("$2b$04$second").ok());
  EXPECT_EQ(Record("root").password_hash, "$2b$04$first") << "a password that is there stays";
}

TEST_F(UsersTest, UsersAreCreatedChangedAndDroppedSoftly) {
  EXPECT_EQ(Do("CREATE USER 'Ann' WITH PASSWORD 'S3cret!pass' ROLE developer EMAIL 'a@b.c'"),
            "User 'Ann' created");
  EXPECT_EQ(Record("Ann").role, catalog::Role::kService);
  EXPECT_EQ(Record("Ann").email, "a@b.c");
  EXPECT_TRUE(Record("Ann").password_hash.starts_with("$2"));
  EXPECT_EQ(Fail("CREATE USER Ann WITH PASSWORD 'S3cret!pass' ROLE user"),
            "Already exists: User 'Ann' already exists");
  const std::string hash = Record("Ann").password_hash;
  clock_.AdvanceUs(1000);
  EXPECT_EQ(Do("ALTER USER Ann SET PASSWORD 'An0ther!pass'"), "User 'Ann' updated");
  EXPECT_NE(Record("Ann").password_hash, hash);
  EXPECT_EQ(Record("Ann").tokens_valid_from_us, clock_.NowUs()) << "older tokens end";
  clock_.AdvanceUs(1000);
  EXPECT_EQ(Do("ALTER USER Ann SET EMAIL 'new@b.c'"), "User 'Ann' updated");
  EXPECT_EQ(Record("Ann").tokens_valid_from_us, clock_.NowUs() - 1000)
      << "an address ends no token";
  Do("ALTER USER Ann SET ROLE dba");
  EXPECT_EQ(Record("Ann").role, catalog::Role::kDba);
  EXPECT_EQ(Record("Ann").tokens_valid_from_us, clock_.NowUs());
  EXPECT_EQ(Do("DROP USER Ann"), "User 'Ann' dropped (soft delete)");
  EXPECT_TRUE(Record("Ann").deleted_at_us.has_value());
  EXPECT_EQ(Rows("SELECT user_id FROM system.users WHERE deleted_at IS NOT NULL"),
            Lines{"\"Ann\""});
  EXPECT_EQ(Fail("DROP USER Ann"), "Not found: User 'Ann' not found");
  EXPECT_EQ(Do("DROP USER IF EXISTS Ann"), "User 'Ann' does not exist (skipped)");
  EXPECT_EQ(Fail("ALTER USER Ann SET ROLE user"), "Not found: User 'Ann' not found");
  // The id is free only after the grace period: 30 days after 2025-10-09.
  const std::string taken =
      "User 'Ann' already exists: dropped, but the rows are kept until 2025-11-08 "
      "(user_management.deletion_grace_period_days); use another id, or create it again after the "
      "user_cleanup job";
  const std::string again = "Ann WITH PASSWORD 'S3cret!pass' ROLE user";
  EXPECT_EQ(Fail("CREATE USER " + again), "Already exists: " + taken);
  EXPECT_EQ(Do("CREATE USER IF NOT EXISTS " + again), taken + " (skipped)");
}

TEST_F(UsersTest, WrongUsersAreRefused) {
  EXPECT_NE(Fail("CREATE USER x WITH PASSWORD 'S3cret!pass' ROLE boss")
                .find("Invalid role 'boss'. Hint: Valid roles"),
            std::string::npos);
  EXPECT_NE(Fail("CREATE USER x WITH PASSWORD 'S3cret!pass' ROLE anonymous").find("Invalid role"),
            std::string::npos);
  EXPECT_NE(Fail("CREATE USER x WITH PASSWORD 'S3cret!pass'").find("ROLE"), std::string::npos);
  EXPECT_NE(Fail("CREATE USER x PASSWORD 'p' ROLE user").find("Expected WITH after username"),
            std::string::npos);
  EXPECT_NE(Fail("CREATE USER x WITH OAUTH ROLE user").find("OAuth user requires JSON payload"),
            std::string::npos);
  EXPECT_NE(Fail("CREATE USER x WITH OAUTH '{\"provider\":\"p\"}' ROLE user")
                .find("requires 'subject' field"),
            std::string::npos);
  for (const char* id : {"'a..b'", "'a/b'", "'system'", "'anonymous'", "''"}) {
    EXPECT_FALSE(Run("CREATE USER " + std::string(id) + " WITH INTERNAL ROLE user").ok()) << id;
  }
  EXPECT_FALSE(Run("DROP USER root").ok());
}

TEST_F(UsersTest, OAuthUsersKeepProviderAndSubjectAndHaveNoPassword) {
  Do("CREATE USER kc WITH OAUTH '{\"provider\":\"keycloak\",\"subject\":\"s1\"}' ROLE user");
  EXPECT_EQ(Rows("SELECT auth_type, auth_data FROM system.users WHERE user_id = 'kc'"),
            Lines{R"("OAuth"|"{\"provider\":\"keycloak\",\"subject\":\"s1\"}")"});
  EXPECT_TRUE(Record("kc").password_hash.empty());
  EXPECT_NE(
      Fail("ALTER USER kc SET PASSWORD 'S3cret!pass'").find("OAuth users cannot have a password"),
      std::string::npos);
}

TEST_F(UsersTest, ADbaCannotMakeOrTouchSystemUsers) {
  EXPECT_EQ(Fail("CREATE USER evil WITH PASSWORD 'S3cret!pass' ROLE system", Dba()),
            "Unauthorized: DBA cannot grant System role");
  Do("CREATE USER bob WITH PASSWORD 'S3cret!pass' ROLE user", Dba());
  EXPECT_EQ(Fail("ALTER USER bob SET ROLE system", Dba()),
            "Unauthorized: DBA cannot grant System role");
  EXPECT_FALSE(Run("ALTER USER root SET PASSWORD 'S3cret!pass'", Dba()).ok());
  EXPECT_FALSE(Run("DROP USER root", Dba()).ok());
  Do("ALTER USER bob SET ROLE dba", Dba());
}

TEST_F(UsersTest, OnlyAdminsManageUsersAndNamespaces) {
  for (const catalog::Caller& caller : {User(), Service()}) {
    EXPECT_EQ(
        Fail("CREATE USER x WITH INTERNAL ROLE user", caller),
        "Unauthorized: Insufficient privileges to create users. DBA or System role required.");
    EXPECT_EQ(Fail("ALTER USER ann SET PASSWORD 'S3cret!pass'", caller),
              "Unauthorized: ALTER USER requires DBA or System role");
    EXPECT_TRUE(Run("DROP USER x", caller).status.Is(ErrorKind::Unauthorized));
    EXPECT_TRUE(Run("CREATE NAMESPACE !!", caller).status.Is(ErrorKind::Unauthorized))
        << "before it is parsed";
    EXPECT_TRUE(Run("DROP TABLE dba.stats", caller).status.Is(ErrorKind::Unauthorized));
    EXPECT_NE(Fail("EXPLAIN SELECT 1", caller)
                  .find("Admin privileges (DBA or System role) required for EXPLAIN"),
              std::string::npos);
    for (const char* text : {"SHOW ALL", "SHOW COLUMNS FROM dba.stats", "DESCRIBE dba.stats",
                             "SET a = 1", "CREATE VIEW default.v AS SELECT 1", "KILL JOB 'x'",
                             "CLUSTER SNAPSHOT", "CREATE STORAGE s TYPE filesystem PATH '/x'"}) {
      EXPECT_TRUE(Run(text, caller).status.Is(ErrorKind::Unauthorized)) << text;
    }
    for (const char* text :
         {"SHOW NAMESPACES", "SHOW TABLES", "SHOW STORAGES", "DESCRIBE TABLE dba.notifications"}) {
      EXPECT_TRUE(Run(text, caller).ok()) << text << Run(text, caller).error();
    }
  }
  EXPECT_TRUE(Run("STORAGE FLUSH ALL", User()).status.Is(ErrorKind::Unauthorized));
  EXPECT_TRUE(Run("STORAGE FLUSH ALL", Service()).status.Is(ErrorKind::NotAvailable));
  EXPECT_TRUE(
      Run("SHOW TABLES", As("", catalog::Role::kAnonymous)).status.Is(ErrorKind::PermissionDenied));
}

TEST_F(UsersTest, TableTypesNeedTheirRoles) {
  Do("CREATE NAMESPACE chat");
  Do("CREATE NAMESPACE ann");
  Do("CREATE USER TABLE chat.u (id INT PRIMARY KEY)", User());
  Do("CREATE STREAM TABLE chat.s (id INT) WITH (TTL_SECONDS = 5)", User());
  EXPECT_TRUE(Run("CREATE SHARED TABLE chat.x (id INT PRIMARY KEY)", User())
                  .status.Is(ErrorKind::Unauthorized));
  Do("CREATE SHARED TABLE chat.x (id INT PRIMARY KEY)", Service());
  EXPECT_EQ(Do("CREATE TABLE ann.own (id INT PRIMARY KEY)", User()),
            "CREATE TABLE via Raft consensus: user table ann.own created successfully");
  Do("ALTER TABLE chat.u ADD COLUMN a INT", User());
  EXPECT_TRUE(
      Run("ALTER TABLE chat.x ADD COLUMN a INT", User()).status.Is(ErrorKind::Unauthorized));
  Do("ALTER TABLE chat.x ADD COLUMN a INT", Service());
  EXPECT_EQ(Fail("DROP TABLE chat.u", User()),
            "Unauthorized: Insufficient privileges to drop this table");
}

TEST_F(UsersTest, AccessLevelsDecideWhoReadsAndWritesSharedTables) {
  Do("CREATE NAMESPACE chat");
  for (const char* level : {"public", "private", "restricted", "dba"}) {
    const std::string table = "chat.t_" + std::string(level);
    Do("CREATE SHARED TABLE " + table + " (id INT PRIMARY KEY) WITH (ACCESS_LEVEL = '" + level +
       "')");
    Do("INSERT INTO " + table + " (id) VALUES (1)");
  }
  Do("CREATE SHARED TABLE chat.plain (id INT PRIMARY KEY)");
  const auto reads = [&](const std::string& table, const catalog::Caller& caller) {
    return Run("SELECT id FROM chat." + table, caller).ok();
  };
  const auto writes = [&](const std::string& table, const catalog::Caller& caller) {
    return Run("DELETE FROM chat." + table + " WHERE id = 99", caller).ok();
  };
  EXPECT_TRUE(reads("t_public", User()));
  EXPECT_FALSE(writes("t_public", User()));
  for (const char* table : {"t_private", "t_restricted", "t_dba", "plain"})
    EXPECT_FALSE(reads(table, User())) << table;
  for (const char* table : {"t_public", "t_private", "t_restricted", "plain"}) {
    EXPECT_TRUE(reads(table, Service())) << table;
    EXPECT_TRUE(writes(table, Service())) << table;
  }
  EXPECT_FALSE(reads("t_dba", Service()));
  EXPECT_TRUE(reads("t_dba", Dba()));
  EXPECT_EQ(Rows("SELECT table_name FROM system.tables WHERE namespace_id = 'chat'", User()),
            Lines{"\"t_public\""});
  Do("ALTER TABLE chat.t_public SET ACCESS LEVEL PRIVATE");
  EXPECT_FALSE(reads("t_public", User())) << "also with a plan that was cached";
}

TEST_F(UsersTest, WhatHappenedIsInTheAuditLogWithoutSecrets) {
  Do("CREATE NAMESPACE chat", Dba());
  Do("CREATE USER TABLE chat.t (id INT PRIMARY KEY)", Dba());
  Do("ALTER TABLE chat.t ADD COLUMN a TEXT", Dba());
  Do("CREATE USER bob WITH PASSWORD 'S3cret!pass' ROLE user", Dba());
  Do("ALTER USER bob SET PASSWORD 'An0ther!pass'", Dba());
  Do("ALTER USER bob SET ROLE dba", Dba());
  Do("DROP USER bob", Dba());
  Do("SHOW TABLES", Dba());
  Do("DROP TABLE chat.t", Dba());
  const Lines expected = {
      "\"CREATE_NAMESPACE\"|\"chat\"|null",
      "\"CREATE_TABLE\"|\"chat.t\"|\"Type: user\"",
      "\"ALTER_TABLE\"|\"chat.t\"|\"Operation: ADD COLUMN a TEXT, New Version: 2\"",
      "\"CREATE_USER\"|\"bob\"|\"Role: User\"",
      "\"ALTER_USER\"|\"bob\"|\"Modification: SetPassword([REDACTED])\"",
      "\"ALTER_USER\"|\"bob\"|\"Modification: SetRole(Dba)\"",
      "\"DROP_USER\"|\"bob\"|null",
      "\"SHOW\"|\"tables\"|\"{\\\"took\\\":0}\"",
      "\"DROP_TABLE\"|\"chat.t\"|null",
  };
  const Lines rows =
      Rows("SELECT action, target, details FROM system.audit_log WHERE actor_user_id = 'dana'");
  EXPECT_EQ(rows.size(), expected.size());
  for (const std::string& row : expected) {
    EXPECT_NE(std::find(rows.begin(), rows.end(), row), rows.end()) << row;
  }
  EXPECT_EQ(Rows("SELECT ip_address FROM system.audit_log WHERE action = 'DROP_USER'"),
            Lines{"\"10.0.0.7\""});
  ASSERT_TRUE(
      admin_->Audit(Dba(), "LOGIN", "user:dana", std::nullopt, "10.0.0.9", std::nullopt).ok());
  EXPECT_EQ(Rows("SELECT target, ip_address FROM system.audit_log WHERE action = 'LOGIN'"),
            Lines{"\"user:dana\"|\"10.0.0.9\""});
}

}  // namespace
}  // namespace kalam::statements
