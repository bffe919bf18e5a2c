// Statements that must never run in the engine, whatever lets them through above it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "analytics/engine.h"
#include "analytics/test_sources.h"
#include "base/id_generators.h"

namespace kalam::analytics {
namespace {

class LockdownTest : public testing::Test {
 protected:
  LockdownTest() {
    EngineOptions options;
    options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    options.temp_directory = testing::TempDir() + "/kalam_lockdown_" + RandomHex(8);
    std::filesystem::create_directories(options.temp_directory);
    secret_ = options.temp_directory + "/secret.csv";
    std::ofstream(secret_) << "a,b\n1,2\n";
    engine_ = MakeEngine(options);
  }
  ~LockdownTest() override {
    std::filesystem::remove_all(std::filesystem::path(secret_).parent_path());
  }

  /// Ok only when the statement ran to its end.
  Status Attack(std::string sql) {
    for (size_t at = sql.find("$FILE"); at != std::string::npos; at = sql.find("$FILE")) {
      sql.replace(at, 5, secret_);
    }
    EngineQuery query;
    query.sql = sql;
    auto stream = engine_->Execute(std::move(query));
    if (!stream.ok()) return std::move(stream).status();
    TextSink sink;
    return (*stream)->Next(sink, 1 << 20).status();
  }

  std::string secret_;
  std::unique_ptr<Engine> engine_;
};

constexpr const char* kAttacks[] = {
    // Files
    "SELECT * FROM read_csv('$FILE')",
    "SELECT * FROM read_csv_auto('$FILE')",
    "SELECT * FROM '$FILE'",
    "SELECT * FROM \"$FILE\"",
    "FROM '$FILE'",
    "SELECT * FROM read_blob('$FILE')",
    "SELECT * FROM read_text('$FILE')",
    "SELECT * FROM read_parquet('$FILE')",
    "SELECT * FROM parquet_metadata('$FILE')",
    "SELECT * FROM parquet_scan('$FILE')",
    "SELECT * FROM read_json('$FILE')",
    "SELECT * FROM read_json_auto('$FILE')",
    "SELECT * FROM read_ndjson_objects('$FILE')",
    "SELECT * FROM sniff_csv('$FILE')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT (SELECT count(*) FROM read_text('$FILE'))",
    "WITH x AS (SELECT * FROM read_text('$FILE')) SELECT * FROM x",
    "SELECT 1 WHERE EXISTS (SELECT * FROM read_text('$FILE'))",
    "SELECT 1 ORDER BY (SELECT count(*) FROM read_text('$FILE'))",
    "SELECT 1 LIMIT (SELECT count(*) FROM read_text('$FILE'))",
    "VALUES ((SELECT count(*) FROM read_text('$FILE')))",
    "SELECT * FROM (SELECT 1) AS a JOIN read_text('$FILE') AS b ON true",
    "SELECT 1 UNION ALL SELECT count(*) FROM read_text('$FILE')",
    "SELECT sum(1) OVER (ORDER BY (SELECT count(*) FROM read_text('$FILE')))",
    "SELECT list_transform([1], x -> (SELECT count(*) FROM read_text('$FILE')))",
    "COPY (SELECT 1) TO '/tmp/kalam_attack.csv'",
    "COPY (SELECT 1) TO '$FILE.copy'",
    "COPY t FROM '$FILE'",
    "COPY (SELECT 1) TO 'seg://written'",
    "COPY (SELECT 1) TO 'seg://written' (FORMAT parquet)",
    "SELECT * FROM read_parquet('seg://written')",
    "SELECT * FROM parquet_scan('seg://written')",
    "SELECT * FROM parquet_metadata('seg://*')",
    "SELECT * FROM read_blob('seg://written')",
    "SELECT * FROM glob('seg://*')",
    "SELECT * FROM 'seg://written'",
    "EXPORT DATABASE '/tmp/kalam_attack'",
    "IMPORT DATABASE '/tmp/kalam_attack'",
    // Other databases, extensions, secrets
    "ATTACH '/tmp/kalam_attack.db'",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '/tmp/x.duckdb_extension'",
    "CREATE SECRET s (TYPE s3)",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM 'https://example.com/x.csv'",
    // Settings and state
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "SET threads = 64",
    "SET VARIABLE x = 1",
    "PRAGMA memory_limit = '100GB'",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CALL enable_logging()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "CREATE TABLE t (i INTEGER)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE TYPE e AS ENUM ('a')",
    "CREATE SEQUENCE s",
    "DROP VIEW duckdb_tables",
    "INSERT INTO t VALUES (1)",
    "BEGIN TRANSACTION",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN SELECT 1",
    "SELECT 1; SELECT 2",
    "",
    // What tells of the server
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM duckdb_memory()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM main.duckdb_views",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT current_setting('allowed_directories')",
    "SELECT getvariable('x')",
    "SELECT version()",
    "SELECT current_database()",
    "SELECT current_query()",
    "SHOW TABLES",
    "DESCRIBE SELECT 1",
    "SUMMARIZE SELECT 1",
    "SELECT * FROM (DESCRIBE SELECT 1)",
    // Names that pass the walk of the tree as a common table of another scope, so that only the
    // plan tells
    "SELECT * FROM (WITH duckdb_settings AS (SELECT 1) SELECT 1) AS a, duckdb_settings",
    "SELECT * FROM (WITH sqlite_master AS (SELECT 1) SELECT 1) AS a, sqlite_master",
    // Text that is run, and other doors
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('duckdb_tables')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM repeat_row(1, num_rows=100000000)",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT length(lpad('x', 2000000000, 'y'))",
    "SELECT * FROM kalam_scan(0)",
    "SELECT * FROM kalam_scan(-1)",
    "SELECT * FROM kalam_scan(NULL)",
    "SELECT * FROM seq_scan('x')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM arrow_scan_dumb(1, 1, 1)",
    "PIVOT (SELECT 1 AS a) ON a",
};

TEST_F(LockdownTest, NoAttackRuns) {
  for (const char* sql : kAttacks) {
    const Status outcome = Attack(sql);
    EXPECT_FALSE(outcome.ok()) << sql;
    EXPECT_NE(outcome.kind(), ErrorKind::Internal) << sql << ": " << outcome.ToString();
  }
  EXPECT_FALSE(std::filesystem::exists("/tmp/kalam_attack.csv"));
}

TEST_F(LockdownTest, WhatIsMeantToRunStillRuns) {
  for (const char* sql : {"SELECT * FROM range(3)", "SELECT * FROM generate_series(1, 3)",
                          "SELECT unnest([1, 2])", "SELECT * FROM unnest([1, 2]) AS t(x)",
                          "WITH duckdb_tables AS (SELECT 1) SELECT * FROM duckdb_tables",
                          "VALUES (1), (2)", "SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 1"}) {
    const Status outcome = Attack(sql);
    EXPECT_TRUE(outcome.ok()) << sql << ": " << outcome.ToString();
  }
}

TEST_F(LockdownTest, DeepNestingIsAnError) {
  std::string sql = "SELECT ";
  for (int i = 0; i < 5'000; ++i) sql += "(1 + ";
  sql += "1";
  for (int i = 0; i < 5'000; ++i) sql += ")";
  EXPECT_FALSE(Attack(sql).ok());
  EXPECT_TRUE(Attack("SELECT 1").ok());
}

}  // namespace
}  // namespace kalam::analytics
