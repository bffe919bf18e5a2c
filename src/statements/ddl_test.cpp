// Namespaces, tables and views: messages, checks, schema versions, stable column ids.
#include "statements/admin_test_bench.h"

namespace kalam::statements {
namespace {

using Lines = std::vector<std::string>;

class DdlTest : public AdminTest {
 protected:
  DdlTest() { Do("CREATE NAMESPACE chat"); }
  catalog::TablePtr Table(const std::string& name) {
    return catalog_->FindTable("chat", name).value();
  }
};

TEST_F(DdlTest, NamespacesAreMadeAlteredAndDropped) {
  EXPECT_EQ(Do("CREATE NAMESPACE Shop"), "Namespace 'shop' created successfully");
  EXPECT_EQ(Do("CREATE NAMESPACE IF NOT EXISTS shop"), "Namespace 'shop' already exists");
  EXPECT_EQ(Fail("CREATE NAMESPACE shop"), "Already exists: Namespace 'shop' already exists");
  EXPECT_EQ(Do("ALTER NAMESPACE shop SET OPTIONS (a = 'x', b = 2)"),
            "Namespace 'shop' altered successfully");
  Do("ALTER NAMESPACE shop SET OPTIONS (b = true)");
  EXPECT_EQ(catalog_->FindNamespace("shop").value()->options_json, "{\"a\":\"x\",\"b\":true}");
  EXPECT_EQ(Fail("ALTER NAMESPACE nope SET OPTIONS (a = 1)"),
            "Not found: Namespace 'nope' not found");
  EXPECT_EQ(Do("DROP NAMESPACE shop"), "Namespace 'shop' dropped successfully");
  EXPECT_EQ(Fail("DROP NAMESPACE shop"), "Not found: Namespace 'shop' not found");
  EXPECT_EQ(Do("DROP NAMESPACE IF EXISTS shop"), "Namespace 'shop' does not exist");
  for (const char* name : {"system", "sys", "root", "kalamdb", "information_schema"}) {
    EXPECT_FALSE(Run("CREATE NAMESPACE " + std::string(name)).ok()) << name;
  }
  EXPECT_NE(Fail("DROP NAMESPACE system").find("Cannot drop system namespace"), std::string::npos);
}

TEST_F(DdlTest, UseLastsForTheRequestAndNeedsANamespace) {
  EXPECT_EQ(Do("USE chat"), "Namespace switched to 'chat'");
  Do("CREATE USER TABLE notes (id BIGINT PRIMARY KEY)");
  EXPECT_NE(Table("notes"), nullptr);
  EXPECT_EQ(Fail("USE nowhere"), "Not found: Namespace 'nowhere' does not exist");
}

TEST_F(DdlTest, CreateTableSaysWhatItMadeAndNumbersTheColumns) {
  EXPECT_EQ(Do("CREATE USER TABLE chat.messages (Id BIGINT PRIMARY KEY AUTO_INCREMENT, body TEXT "
               "NOT NULL DEFAULT 'x',"
               " at TIMESTAMP DEFAULT NOW()) WITH (FLUSH_POLICY = 'rows:10,interval:60')"),
            "CREATE TABLE via Raft consensus: user table chat.messages created successfully");
  const auto table = Table("messages");
  ASSERT_NE(table, nullptr);
  Lines columns;
  for (const auto& column : *table->columns) {
    columns.push_back(std::to_string(column.column_id) + " " + column.name + " " +
                      SqlName(column.type) + (column.nullable ? "" : " NN"));
  }
  EXPECT_EQ(columns, (Lines{"1 id BIGINT NN", "2 body TEXT NN", "3 at TIMESTAMP",
                            "4 _seq BIGINT NN", "5 _deleted BOOLEAN NN"}));
  EXPECT_EQ(table->next_column_id, 6u);
  EXPECT_EQ(table->schema_version, 1u);
  EXPECT_EQ(table->type, catalog::TableType::kUser);
  EXPECT_EQ(table->options.flush_policy.row_limit, 10u);
  EXPECT_EQ(table->options.flush_policy.interval_seconds, 60u);
  EXPECT_EQ((*table->columns)[0].default_value.kind, catalog::ColumnDefault::Kind::kSnowflakeId);
}

TEST_F(DdlTest, IfNotExistsLeavesTheTableAlone) {
  Do("CREATE SHARED TABLE chat.rooms (id TEXT PRIMARY KEY)");
  EXPECT_EQ(Fail("CREATE SHARED TABLE chat.rooms (id TEXT PRIMARY KEY)"),
            "Already exists: Table chat.rooms already exists");
  EXPECT_NE(Do("CREATE SHARED TABLE IF NOT EXISTS chat.rooms (id TEXT PRIMARY KEY, more TEXT)")
                .find("created"),
            std::string::npos);
  EXPECT_EQ(Table("rooms")->columns->size(), 3u);
}

TEST_F(DdlTest, EveryWrongTableIsRefusedWithItsText) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"CREATE TABLE nowhere.t (id INT PRIMARY KEY)",
       "Namespace 'nowhere' does not exist. Create it first with CREATE NAMESPACE nowhere"},
      {"CREATE TABLE chat.t (a INT)", "Shared tables require a PRIMARY KEY column"},
      {"CREATE USER TABLE chat.t (a INT)", "User tables require a PRIMARY KEY column"},
      {"CREATE TABLE chat.t (a INT, b INT, PRIMARY KEY (a, b))",
       "Composite PRIMARY KEYs are not supported yet"},
      {"CREATE TABLE chat.t (a INT PRIMARY KEY, b INT PRIMARY KEY)",
       "Multiple PRIMARY KEY definitions found"},
      {"CREATE TABLE chat.t (a INT, PRIMARY KEY (z))",
       "PRIMARY KEY column 'z' not found in column list"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY, A INT, a TEXT)",
       "Duplicate column name 'a'. Column names are case-insensitive."},
      {"CREATE USER TABLE chat.t (id INT PRIMARY KEY) WITH (TYPE = 'SHARED')",
       "Conflicting table type definitions: CREATE User TABLE vs TYPE option Shared"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (TYPE = 'NICE')",
       "Invalid TYPE option 'NICE'. Supported: USER, SHARED, STREAM"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (COLOUR = 'red')",
       "Unknown table option 'COLOUR'"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (TTL_SECONDS = 5)",
       "TTL_SECONDS is only supported for STREAM tables"},
      {"CREATE STREAM TABLE chat.t (id INT)", "STREAM tables must specify 'TTL_SECONDS'"},
      {"CREATE USER TABLE chat.t (id INT PRIMARY KEY) WITH (ACCESS_LEVEL = 'PUBLIC')",
       "ACCESS_LEVEL is only supported for SHARED tables"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (USE_USER_STORAGE = TRUE)",
       "USE_USER_STORAGE is only supported for USER tables"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (STORAGE_ID = 'nope')",
       "Storage 'nope' does not exist"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:0')",
       "Row limit must be greater than 0"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:1000000')",
       "Row limit must be less than 1,000,000"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (FLUSH_POLICY = 'interval:86400')",
       "Interval must be less than 86400 seconds (24 hours)"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (FLUSH_POLICY = 'size:4')",
       "Unknown FLUSH_POLICY key 'size'"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY) WITH (FLUSH_POLICY = '')",
       "FLUSH_POLICY must specify 'rows' or 'interval' > 0"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY, _seq INT)", "reserved"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY, n INT DEFAULT 'many')",
       "Invalid DEFAULT for column 'n'"},
      {"CREATE TABLE chat.t (id INT PRIMARY KEY, n INT DEFAULT random())", "Unsupported DEFAULT"},
      {"CREATE TABLE chat.t (id INTERVAL PRIMARY KEY)", "Unsupported"},
      {"CREATE TABLE system.t (id INT PRIMARY KEY)",
       "Cannot create system table 'system.t'. System tables are managed internally."},
  };
  for (const auto& [text, expected] : cases) {
    const std::string error = Fail(text);
    EXPECT_NE(error.find(expected), std::string::npos) << text << "\n" << error;
  }
  EXPECT_TRUE(catalog_->ListTables("chat")->empty());
}

TEST_F(DdlTest, ASerialKeyIsWideEnoughForItsValues) {
  Do("CREATE USER TABLE chat.t (id SERIAL PRIMARY KEY, small INT)");
  EXPECT_EQ((*Table("t")->columns)[0].type.kind, TypeKind::kBigInt);
  EXPECT_EQ((*Table("t")->columns)[1].type.kind, TypeKind::kInt);
}

TEST_F(DdlTest, DefaultsKeepTheirFormsInDescribe) {
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), a TEXT DEFAULT "
     "'it''s', b INT DEFAULT -5,"
     " c BOOLEAN DEFAULT true, d TIMESTAMP DEFAULT CURRENT_TIMESTAMP, e TEXT DEFAULT UUID_V7(), f "
     "TEXT DEFAULT "
     "CURRENT_USER(), g DECIMAL(6,2) DEFAULT 1.5, h TEXT DEFAULT ULID())");
  const AdminAnswer described = Run("DESCRIBE TABLE chat.t");
  ASSERT_EQ(described.rows.size(), 11u);
  EXPECT_EQ(described.columns,
            (Lines{"column_name", "ordinal_position", "column_id", "data_type", "is_nullable",
                   "is_primary_key", "column_default", "column_comment", "schema_version"}));
  EXPECT_EQ(described.rows[0], "\"id\"|1|\"1\"|\"BIGINT\"|false|true|\"SNOWFLAKE_ID()\"|null|1");
  EXPECT_EQ(described.rows[1], "\"a\"|2|\"2\"|\"TEXT\"|true|false|\"'it''s'\"|null|1");
  EXPECT_EQ(described.rows[2], "\"b\"|3|\"3\"|\"INT\"|true|false|\"-5\"|null|1");
  EXPECT_EQ(described.rows[3], "\"c\"|4|\"4\"|\"BOOLEAN\"|true|false|\"TRUE\"|null|1");
  EXPECT_EQ(described.rows[4], "\"d\"|5|\"5\"|\"TIMESTAMP\"|true|false|\"NOW()\"|null|1");
  EXPECT_EQ(described.rows[7], "\"g\"|8|\"8\"|\"DECIMAL(6, 2)\"|true|false|\"1.50\"|null|1");
  EXPECT_EQ(described.rows[10], "\"_deleted\"|11|\"11\"|\"BOOLEAN\"|false|false|\"FALSE\"|null|1");
}

TEST_F(DdlTest, EachAlterMakesOneVersionAndSaysSo) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY, a TEXT)");
  EXPECT_EQ(Do("ALTER TABLE chat.t ADD COLUMN b INT"),
            "Table chat.t altered successfully: ADD COLUMN b INT (version 2)");
  EXPECT_EQ(Do("ALTER TABLE chat.t RENAME COLUMN a TO c"),
            "Table chat.t altered successfully: RENAME COLUMN a TO c (version 3)");
  EXPECT_EQ(Do("ALTER TABLE chat.t ALTER COLUMN c SET DEFAULT 'x'"),
            "Table chat.t altered successfully: ALTER COLUMN c SET DEFAULT 'x' (version 4)");
  EXPECT_EQ(Do("ALTER TABLE chat.t MODIFY COLUMN b BIGINT NOT NULL"),
            "Table chat.t altered successfully: MODIFY COLUMN b BIGINT NOT NULL (version 5)");
  EXPECT_EQ(Do("ALTER TABLE chat.t SET ACCESS LEVEL PUBLIC"),
            "Table chat.t altered successfully: SET ACCESS LEVEL Public (version 6)");
  EXPECT_EQ(Do("ALTER TABLE chat.t SET ACCESS LEVEL PUBLIC"),
            "Table chat.t unchanged: SET ACCESS LEVEL Public (version 6 - no changes needed)");
  EXPECT_EQ(Do("ALTER TABLE chat.t DROP COLUMN b"),
            "Table chat.t altered successfully: DROP COLUMN b (version 7)");
  EXPECT_EQ(Rows("SELECT count(*) FROM system.schemas WHERE namespace_id = 'chat'"),
            Lines{"\"7\""});
  EXPECT_EQ(
      Rows("SELECT schema_version FROM system.schemas WHERE namespace_id = 'chat' AND is_latest"),
      Lines{"7"});
  EXPECT_EQ(Run("DESCRIBE TABLE chat.t").rows.size(), 4u);
  EXPECT_EQ(Run("DESCRIBE TABLE chat.t HISTORY").rows.size(), 4u + 5 + 5 + 5 + 5 + 5 + 4);
}

TEST_F(DdlTest, EveryWrongAlterIsRefusedWithItsText) {
  Do("CREATE USER TABLE chat.t (id BIGINT PRIMARY KEY, a TEXT)");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"ADD COLUMN A TEXT", "Column 'a' already exists"},
      {"ADD COLUMN _mine TEXT", "Cannot add column '_mine': reserved system column name"},
      {"DROP COLUMN z", "Column 'z' does not exist"},
      {"DROP COLUMN _seq", "Cannot drop column '_seq': system column cannot be modified"},
      {"DROP COLUMN _deleted", "Cannot drop column '_deleted': system column cannot be modified"},
      {"DROP COLUMN id", "Column 'id' is a PRIMARY KEY and cannot be dropped"},
      {"MODIFY COLUMN id TEXT", "Column 'id' is a PRIMARY KEY and its type cannot be changed"},
      {"ALTER COLUMN id DROP NOT NULL", "Column 'id' is a PRIMARY KEY and cannot be nullable"},
      {"RENAME COLUMN a TO _b", "Cannot rename column to '_b': reserved system column name"},
      {"RENAME COLUMN a TO id", "Column 'id' already exists"},
      {"SET ACCESS LEVEL PUBLIC", "ACCESS LEVEL can only be set on SHARED tables"},
      {"ALTER COLUMN a SET DEFAULT nonsense()", "Unsupported DEFAULT"},
      {"CREATE INDEX a", "Column 'a' is not EMBEDDING"},
      {"RENAME TO u", "Unsupported ALTER TABLE operation"},
      {"ADD COLUMN x INT, ADD COLUMN y INT",
       "Only one ALTER TABLE operation is supported per statement"},
  };
  for (const auto& [operation, expected] : cases) {
    const std::string error = Fail("ALTER TABLE chat.t " + operation);
    EXPECT_NE(error.find(expected), std::string::npos) << operation << "\n" << error;
  }
  EXPECT_EQ(Table("t")->schema_version, 1u);
  EXPECT_EQ(Fail("ALTER TABLE chat.missing ADD COLUMN x INT"),
            "Not found: Table 'missing' not found in namespace 'chat'");
  EXPECT_NE(Fail("ALTER TABLE system.users ADD COLUMN x INT")
                .find("Cannot alter system table 'system.users'"),
            std::string::npos);
}

TEST_F(DdlTest, ColumnIdsAreNeverUsedAgainAndRenameKeepsThem) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY, a TEXT)");
  Do("INSERT INTO chat.t (id, a) VALUES (1, 'one')");
  Do("ALTER TABLE chat.t RENAME COLUMN a TO b");
  EXPECT_EQ(Rows("SELECT b FROM chat.t"), Lines{"\"one\""}) << "renaming keeps the values";
  Do("ALTER TABLE chat.t DROP COLUMN b");
  Do("ALTER TABLE chat.t ADD COLUMN b TEXT");
  EXPECT_EQ(Rows("SELECT b FROM chat.t"), Lines{"null"})
      << "a new column of the same name starts empty";
  const auto table = Table("t");
  EXPECT_EQ((*table->columns)[*table->FindColumn("b")].column_id, 5u);
  EXPECT_EQ(table->next_column_id, 6u);
}

TEST_F(DdlTest, OldRowsReadNullOrZeroInAddedColumnsAndDefaultsHoldForNewOnes) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY)");
  Do("INSERT INTO chat.t (id) VALUES (1)");
  Do("ALTER TABLE chat.t ADD COLUMN note TEXT");
  Do("ALTER TABLE chat.t ADD COLUMN stars INT NOT NULL DEFAULT 5");
  Do("INSERT INTO chat.t (id) VALUES (2)");
  EXPECT_EQ(Rows("SELECT id, note, stars FROM chat.t ORDER BY id"),
            (Lines{"\"1\"|null|0", "\"2\"|null|5"}));
  const std::string error = Fail("ALTER TABLE chat.t ADD COLUMN must TEXT NOT NULL");
  EXPECT_NE(error.find("NOT NULL"), std::string::npos) << error;
  EXPECT_NE(error.find("DEFAULT"), std::string::npos) << error;
  Do("CREATE SHARED TABLE chat.empty (id BIGINT PRIMARY KEY)");
  Do("ALTER TABLE chat.empty ADD COLUMN must TEXT NOT NULL");
}

TEST_F(DdlTest, NotNullSetLaterHoldsForLaterRows) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY, a TEXT)");
  Do("INSERT INTO chat.t (id, a) VALUES (1, NULL)");
  Do("ALTER TABLE chat.t MODIFY COLUMN a TEXT NOT NULL");
  EXPECT_FALSE(Run("INSERT INTO chat.t (id, a) VALUES (2, NULL)").ok());
  Do("ALTER TABLE chat.t ALTER COLUMN a DROP NOT NULL");
  Do("INSERT INTO chat.t (id, a) VALUES (2, NULL)");
}

TEST_F(DdlTest, ADroppedTableIsGoneAndItsNameStartsEmpty) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY)");
  Do("INSERT INTO chat.t (id) VALUES (1)");
  const std::string message = Do("DROP TABLE chat.t");
  ASSERT_TRUE(message.starts_with("Table chat.t dropped successfully. Cleanup job: CL-"))
      << message;
  EXPECT_FALSE(Run("SELECT * FROM chat.t").ok());
  EXPECT_EQ(Fail("DROP TABLE chat.t"), "Not found: Table 't' not found in namespace 'chat'");
  EXPECT_EQ(Do("DROP TABLE IF EXISTS chat.t"), "Table chat.t does not exist (skipped)");
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY)");
  EXPECT_TRUE(Rows("SELECT * FROM chat.t").empty());
  Do("DROP TABLE chat.t");  // while the first cleanup has not run
  const std::string job_id = message.substr(message.find("CL-"));
  EXPECT_EQ(Cell("SELECT status FROM system.jobs WHERE job_id = '" + job_id + "'"), "\"queued\"");
  clock_.AdvanceUs(1000);
  admin_->Tick();
  EXPECT_EQ(Cell("SELECT status FROM system.jobs WHERE job_id = '" + job_id + "'"),
            "\"completed\"");
  EXPECT_EQ(Cell("SELECT status FROM system.job_nodes WHERE job_id = '" + job_id + "'"),
            "\"completed\"");
  EXPECT_EQ(Rows("SELECT job_id FROM system.jobs WHERE status = 'completed'").size(), 2u);
}

TEST_F(DdlTest, DroppingANamespaceDropsItsTablesAndViews) {
  Do("CREATE SHARED TABLE chat.a (id BIGINT PRIMARY KEY)");
  Do("CREATE SHARED TABLE chat.b (id BIGINT PRIMARY KEY)");
  Do("CREATE VIEW chat.v AS SELECT id FROM chat.a");
  Do("DROP NAMESPACE chat");
  EXPECT_TRUE(catalog_->ListTables("chat")->empty());
  EXPECT_TRUE(catalog_->ListViews().empty());
  EXPECT_EQ(Rows("SELECT target FROM system.audit_log WHERE action = 'DROP_TABLE' ORDER BY target"),
            (Lines{"\"chat.a\"", "\"chat.b\""}));
  EXPECT_EQ(Rows("SELECT job_id FROM system.jobs WHERE job_type = 'cleanup'").size(), 2u);
}

TEST_F(DdlTest, ViewsAreCheckedStoredReplacedAndDropped) {
  Do("CREATE USER TABLE chat.notes (id BIGINT PRIMARY KEY, body TEXT)");
  EXPECT_EQ(Do("CREATE VIEW chat.mine AS SELECT body FROM chat.notes"),
            "View chat.mine created successfully");
  EXPECT_EQ(Fail("CREATE VIEW chat.mine AS SELECT 1"),
            "Already exists: View chat.mine already exists");
  Do("CREATE OR REPLACE VIEW chat.mine AS SELECT body AS text FROM chat.notes");
  Close();
  Open();
  const auto view = catalog_->FindView("chat", "mine").value();
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->query, "SELECT body AS text FROM chat.notes");
  EXPECT_EQ(view->default_namespace, "default");
  EXPECT_FALSE(Run("CREATE VIEW chat.bad AS SELECT nothing FROM chat.notes").ok());
  EXPECT_EQ(Do("DROP VIEW chat.mine"), "View chat.mine dropped successfully");
  EXPECT_EQ(Fail("DROP VIEW chat.mine"), "Not found: View 'mine' not found in namespace 'chat'");
  EXPECT_EQ(Do("DROP VIEW IF EXISTS chat.mine"), "View chat.mine does not exist (skipped)");
}

TEST_F(DdlTest, TablesAndViewsShareTheirNames) {
  Do("CREATE SHARED TABLE chat.t (id BIGINT PRIMARY KEY)");
  Do("CREATE VIEW chat.v AS SELECT 1");
  EXPECT_FALSE(Run("CREATE VIEW chat.t AS SELECT 1").ok());
  EXPECT_FALSE(Run("CREATE SHARED TABLE chat.v (id BIGINT PRIMARY KEY)").ok());
}

}  // namespace
}  // namespace kalam::statements
