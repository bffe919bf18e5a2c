// System tables, SHOW, information_schema: columns in order, who may read, what rows say.
#include "statements/system_tables.h"

#include <algorithm>
#include <fstream>

#include "statements/admin_test_bench.h"

namespace kalam::statements {
namespace {

using Lines = std::vector<std::string>;

class SystemTablesTest : public AdminTest {
 protected:
  std::string Columns(const std::string& table) {
    std::string names;
    for (const std::string& name : Run("SELECT * FROM " + table + " LIMIT 1").columns) {
      names += (names.empty() ? "" : ",") + name;
    }
    return names;
  }
};

TEST_F(SystemTablesTest, ColumnsStandInTheirOrder) {
  EXPECT_EQ(Columns("system.users"),
            "user_id,password_hash,role,email,auth_type,auth_data,storage_mode,storage_id,failed_"
            "login_attempts,"
            "locked_until,last_login_at,created_at,updated_at,last_seen,deleted_at");
  EXPECT_EQ(Columns("system.namespaces"), "namespace_id,name,created_at,options,table_count");
  EXPECT_EQ(Columns("system.schemas"),
            "table_id,table_name,namespace_id,table_type,created_at,schema_version,columns,table_"
            "comment,updated_at,"
            "options,access_level,is_latest,storage_id,use_user_storage");
  EXPECT_EQ(Columns("system.jobs"),
            "job_id,job_type,status,leader_status,parameters,message,exception_trace,idempotency_"
            "key,queue,priority,"
            "retry_count,max_retries,memory_used,cpu_used,created_at,updated_at,started_at,"
            "finished_at,node_id,"
            "leader_node_id");
  EXPECT_EQ(Columns("system.live"),
            "live_id,connection_id,subscription_id,namespace_id,table_name,user_id,query,options,"
            "status,created_at,"
            "last_update,changes,node_id,last_ping_at");
  EXPECT_EQ(Columns("system.transactions"),
            "transaction_id,owner_id,origin,state,age_ms,idle_ms,write_count,write_bytes,touched_"
            "tables_count,"
            "snapshot_commit_seq");
  EXPECT_EQ(Columns("information_schema.tables"),
            "table_catalog,table_schema,table_name,table_type");
}

TEST_F(SystemTablesTest, EveryObjectCanBeReadAndItsAliasesToo) {
  for (const char* name : {"users",
                           "namespaces",
                           "schemas",
                           "storages",
                           "jobs",
                           "job_nodes",
                           "audit_log",
                           "manifest",
                           "topics",
                           "topic_offsets",
                           "tables",
                           "columns",
                           "stats",
                           "settings",
                           "server_logs",
                           "live",
                           "sessions",
                           "transactions",
                           "cluster",
                           "cluster_groups",
                           "datatypes",
                           "describe",
                           "memory",
                           "system_users",
                           "system_namespaces",
                           "system_schemas",
                           "system_storages",
                           "system_jobs",
                           "system_job_nodes",
                           "system_audit_log",
                           "system_topics",
                           "system_topic_offsets",
                           "system_tables",
                           "system_columns",
                           "manifest_cache"}) {
    const AdminAnswer answer = Run("SELECT * FROM system." + std::string(name));
    EXPECT_TRUE(answer.ok()) << name << ": " << answer.error();
  }
  EXPECT_FALSE(Run("SELECT * FROM system.table_schemas").ok());
}

TEST_F(SystemTablesTest, OthersThanAdminsReadOnlyWhatIsForEverybody) {
  for (const char* name : {"users", "jobs", "stats", "audit_log", "live", "schemas"}) {
    const std::string error = Fail("SELECT * FROM system." + std::string(name), User());
    EXPECT_NE(error.find("System tables require 'dba' or 'system' role."), std::string::npos)
        << error;
    EXPECT_TRUE(Run("SELECT * FROM system." + std::string(name), Dba()).ok()) << name;
  }
  for (const char* name :
       {"system.namespaces", "system.tables", "system.columns", "information_schema.tables",
        "information_schema.columns", "information_schema.schemata"}) {
    EXPECT_TRUE(Run("SELECT * FROM " + std::string(name), User()).ok())
        << Run("SELECT * FROM " + std::string(name), User()).error();
  }
  EXPECT_FALSE(Run("DELETE FROM system.users WHERE user_id = 'root'").ok());
}

TEST_F(SystemTablesTest, SchemasTellOptionsAndColumnsAsJson) {
  Do("CREATE NAMESPACE chat");
  Do("CREATE SHARED TABLE chat.r (id BIGINT PRIMARY KEY, e EMBEDDING(3)) WITH (ACCESS_LEVEL = "
     "'PUBLIC', FLUSH_POLICY = "
     "'rows:7')");
  EXPECT_EQ(
      Rows(
          "SELECT table_id, table_type, access_level, is_latest, storage_id, use_user_storage FROM "
          "system.schemas WHERE table_name = 'r'"),
      Lines{"\"chat:r\"|\"shared\"|\"public\"|true|\"local\"|null"});
  const std::string options = Cell("SELECT options FROM system.schemas WHERE table_name = 'r'");
  for (const char* part :
       {"table_type", "SHARED", "access_level", "public", "row_limit", "storage_id"}) {
    EXPECT_NE(options.find(part), std::string::npos) << part << " in " << options;
  }
  const std::string columns = Cell("SELECT columns FROM system.schemas WHERE table_name = 'r'");
  EXPECT_NE(columns.find("Embedding"), std::string::npos) << columns;
  EXPECT_NE(columns.find("_deleted"), std::string::npos) << columns;
  EXPECT_EQ(
      Rows("SELECT table_name FROM system.schemas WHERE namespace_id = 'dba' ORDER BY table_name"),
      (Lines{"\"notifications\"", "\"stats\""}));
}

TEST_F(SystemTablesTest, NamespacesHideWhatACallerCannotSee) {
  Do("CREATE NAMESPACE secret");
  Do("CREATE SHARED TABLE secret.t (id INT PRIMARY KEY)");
  Do("CREATE NAMESPACE commons");
  Do("CREATE USER TABLE commons.t (id INT PRIMARY KEY)");
  const Lines seen = Rows("SELECT name FROM system.namespaces", User());
  EXPECT_EQ(std::count(seen.begin(), seen.end(), "\"secret\""), 0);
  EXPECT_EQ(std::count(seen.begin(), seen.end(), "\"commons\""), 1);
  EXPECT_EQ(std::count(seen.begin(), seen.end(), "\"default\""), 1);
  EXPECT_EQ(Fail("DESCRIBE TABLE secret.t", User()),
            "Not found: Table 't' not found in namespace 'secret'");
}

TEST_F(SystemTablesTest, StatsHoldTheMetricsThatClientsAskFor) {
  const Lines names = Rows("SELECT metric_name FROM system.stats");
  for (const char* name : {"server_uptime_seconds",
                           "memory_usage_bytes",
                           "memory_usage_mb",
                           "cpu_usage_percent",
                           "pid",
                           "thread_count",
                           "open_files_total",
                           "open_files_regular",
                           "total_users",
                           "total_namespaces",
                           "total_tables",
                           "total_jobs",
                           "jobs_running",
                           "jobs_queued",
                           "jobs_failed",
                           "total_live_queries",
                           "active_connections",
                           "active_subscriptions",
                           "server_version",
                           "cluster_mode",
                           "schema_cache_size",
                           "schema_registry_size",
                           "server_workers_effective",
                           "max_connections",
                           "memory_usage_source",
                           "allocator_name",
                           "rocksdb_estimate_num_keys",
                           "plan_cache_size",
                           "node_id"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), "\"" + std::string(name) + "\""), 1) << name;
  }
  EXPECT_EQ(Cell("SELECT metric_value FROM system.stats WHERE metric_name = 'total_tables'"),
            "\"2\"");
  EXPECT_EQ(Cell("SELECT metric_value FROM system.stats WHERE metric_name = 'pid'"),
            "\"" + std::to_string(getpid()) + "\"");
}

TEST_F(SystemTablesTest, OneNodeLeadsItself) {
  EXPECT_EQ(Rows("SELECT is_self, is_leader, role, status, api_addr FROM system.cluster"),
            Lines{"true|true|\"leader\"|\"active\"|\"127.0.0.1:8080\""});
  EXPECT_EQ(Rows("SELECT group_type FROM system.cluster_groups WHERE current_leader = 1").size(),
            3u);
  EXPECT_EQ(Rows("SELECT arrow_type FROM system.datatypes").size(), 29u);
  EXPECT_EQ(Rows("SELECT name, value, description, category FROM system.settings"),
            Lines{"\"server.port\"|\"8080\"|\"Port to listen on.\"|\"server\""});
}

TEST_F(SystemTablesTest, ServerLogsShowTheTailOfTheJsonLog) {
  std::ofstream log(directory_ / "server.jsonl");
  log << R"({"timestamp":"2026-01-01T00:00:00Z","level":"INFO","target":"sql","threadName":"w1","message":"hi \"x\""})"
      << "\n{\"broken\n";
  log.close();
  EXPECT_EQ(Rows("SELECT timestamp, level, thread, target, line, message FROM system.server_logs"),
            Lines{R"("2026-01-01T00:00:00Z"|"INFO"|"w1"|"sql"|null|"hi \"x\"")"});
}

TEST_F(SystemTablesTest, DbaStatsAreSampledASecondAfterTheStart) {
  admin_->Tick();
  EXPECT_TRUE(Rows("SELECT id FROM dba.stats").empty());
  clock_.AdvanceUs(1'000'000);
  admin_->Tick();
  const auto first = Rows("SELECT id FROM dba.stats").size();
  EXPECT_GT(first, 20u);
  EXPECT_EQ(Rows("SELECT node_id, metric_value, metric_unit FROM dba.stats WHERE metric_name = "
                 "'total_tables'"),
            Lines{"\"1\"|2.0|\"count\""});
  admin_->Tick();
  EXPECT_EQ(Rows("SELECT id FROM dba.stats").size(), first) << "thirty seconds have not passed";
  clock_.AdvanceUs(30'000'000);
  admin_->Tick();
  EXPECT_EQ(Rows("SELECT id FROM dba.stats WHERE metric_name = 'server_uptime_seconds'").size(),
            2u);
  EXPECT_EQ(Rows("SELECT id FROM dba.stats WHERE metric_name = 'total_tables'").size(), 1u)
      << "it did not move";
  clock_.AdvanceUs(int64_t{8} * 86'400 * 1'000'000);
  admin_->Tick();
  clock_.AdvanceUs(2'000'000);
  admin_->Tick();
  EXPECT_EQ(Rows("SELECT id FROM dba.stats WHERE metric_name = 'server_uptime_seconds'").size(), 1u)
      << "samples older than a week are gone";
  EXPECT_FALSE(Run("SELECT * FROM dba.stats", Service()).ok());
}

TEST_F(SystemTablesTest, ShowStatementsAnswerRows) {
  Do("CREATE NAMESPACE chat");
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY)");
  Do("INSERT INTO chat.t (id) VALUES (1), (2)", User());
  Do("INSERT INTO chat.t (id) VALUES (3)", Service());
  EXPECT_EQ(Run("SHOW TABLES IN chat", User()).rows.size(), 1u);
  EXPECT_EQ(Run("SHOW TABLES").rows.size(), 3u) << "chat.t and the two of dba";
  EXPECT_EQ(Run("SHOW NAMESPACES").rows.size(), 4u);
  const AdminAnswer storages = Run("SHOW STORAGES", User());
  ASSERT_EQ(storages.rows.size(), 1u);
  EXPECT_TRUE(storages.rows[0].starts_with("\"local\"|")) << storages.rows[0];
  const AdminAnswer stats = Run("SHOW STATS FOR TABLE chat.t");
  ASSERT_EQ(stats.rows.size(), 1u);
  EXPECT_TRUE(stats.rows[0].starts_with("\"t\"|\"chat\"|\"1\"|\"3\"|\"0\"|\"0\"|"))
      << stats.rows[0];
  EXPECT_TRUE(
      Run("SHOW STATS FOR TABLE chat.t", User()).rows[0].starts_with("\"t\"|\"chat\"|\"1\"|\"2\"|"))
      << "a user's own rows only";
  EXPECT_EQ(Run("SHOW MANIFEST").rows.size(), 0u);
  EXPECT_EQ(Run("SHOW EXPORT", User()).columns,
            (Lines{"job_id", "status", "created_at", "message", "download_url"}));
  EXPECT_EQ(Rows("DESCRIBE chat.t"), (Lines{"\"id\"|\"Int64\"|\"NO\"", "\"_seq\"|\"Int64\"|\"NO\"",
                                            "\"_deleted\"|\"Boolean\"|\"NO\""}));
  EXPECT_EQ(Rows("SHOW COLUMNS FROM chat.t")[0],
            "\"kalam\"|\"chat\"|\"t\"|\"id\"|\"Int64\"|\"NO\"");
  EXPECT_EQ(Rows("SHOW ALL"), Lines{"\"server.port\"|\"8080\""});
  EXPECT_EQ(Fail("DESCRIBE TABLE chat.z"), "Not found: Table 'z' not found in namespace 'chat'");
}

TEST_F(SystemTablesTest, InformationSchemaNamesSystemAndUserTables) {
  Do("CREATE NAMESPACE chat");
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY, d DECIMAL(6, 2))");
  EXPECT_EQ(Rows("SELECT table_catalog, column_name, ordinal_position, is_nullable, data_type, "
                 "numeric_scale FROM "
                 "information_schema.columns WHERE table_schema = 'chat' AND column_name = 'd'"),
            Lines{"\"kalam\"|\"d\"|\"2\"|\"YES\"|\"Decimal128(6, 2)\"|\"2\""});
  for (const char* table : {"users", "topics", "topic_offsets"}) {
    EXPECT_FALSE(
        Rows("SELECT column_name FROM information_schema.columns WHERE table_schema = 'system' AND "
             "table_name = '" +
             std::string(table) + "'")
            .empty())
        << table;
  }
  EXPECT_EQ(
      Rows("SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'chat'").size(),
      1u);
}

TEST_F(SystemTablesTest, KillSubscribeAndAbsentFeaturesAnswerClearly) {
  Do("CREATE NAMESPACE chat");
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY)");
  const std::string dropped = Do("DROP TABLE chat.t");
  const std::string job = dropped.substr(dropped.find("CL-"));
  EXPECT_EQ(Do("KILL JOB '" + job + "'"), "Job " + job + " killed: cancelled");
  EXPECT_FALSE(Run("KILL JOB '" + job + "'").ok());
  EXPECT_TRUE(Run("KILL JOB 'CL-000000000000'").status.Is(ErrorKind::NotFound));
  EXPECT_EQ(Do("KILL LIVE QUERY 'ann-1-sub'"), "Live query killed: ann-1-sub");
  EXPECT_TRUE(Run("KILL LIVE QUERY 'bob-1-sub'").status.Is(ErrorKind::NotFound));
  EXPECT_NE(Fail("KILL LIVE QUERY 'nonsense'").find("Invalid live_query_id format"),
            std::string::npos);
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY)");
  const AdminAnswer subscribed =
      Run("SUBSCRIBE TO chat.t WHERE id > 3 OPTIONS (last_rows = 5)", User());
  ASSERT_EQ(subscribed.rows.size(), 1u) << subscribed.error();
  EXPECT_TRUE(subscribed.rows[0].starts_with("\"active\"|\"ws://127.0.0.1:8080/v1/ws\"|"))
      << subscribed.rows[0];
  EXPECT_NE(subscribed.rows[0].find("sub-chat-t-"), std::string::npos);
  EXPECT_FALSE(Run("SUBSCRIBE TO SELECT * FROM chat.t ORDER BY id", User()).ok());
  for (const char* text : {"CREATE TOPIC chat.x", "CONSUME FROM chat.x",
                           "STORAGE FLUSH TABLE chat.t", "EXPORT USER DATA"}) {
    EXPECT_TRUE(Run(text).status.Is(ErrorKind::NotAvailable)) << text << ": " << Run(text).error();
  }
  EXPECT_EQ(
      Fail("CLUSTER SNAPSHOT"),
      "Invalid operation: CLUSTER SNAPSHOT requires cluster mode (Raft executor not available)");
  EXPECT_NE(Fail("CLUSTER LIST").find("CLUSTER LIST is a CLI-only command."), std::string::npos);
  EXPECT_NE(Fail("CLUSTER PURGE").find("CLUSTER PURGE requires --upto <index> or a numeric index"),
            std::string::npos);
}

}  // namespace
}  // namespace kalam::statements
