// Storages as SQL sees them: made, changed, tried out and dropped, and what is refused.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "statements/admin_test_bench.h"
#include "statements/local_folders.h"

namespace kalam::statements {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StoragesTest : public AdminTest {
 protected:
  std::string Folder(const std::string& name) { return (directory_ / name).string(); }
  std::string Create(const std::string& id) {
    return "CREATE STORAGE " + id + " TYPE filesystem PATH '" + Folder(id) + "'";
  }
};

TEST_F(StoragesTest, LifeOfAFolder) {
  EXPECT_EQ(
      Do("CREATE STORAGE archive TYPE filesystem NAME 'Old rows' DESCRIPTION 'on a slow disk' "
         "PATH '" +
         Folder("archive") +
         "' SHARED_TABLES_TEMPLATE 's/{namespace}/{tableName}' USER_TABLES_TEMPLATE ''"),
      "Storage 'archive' created successfully");
  EXPECT_TRUE(std::filesystem::is_directory(Folder("archive")));
  EXPECT_EQ(Rows("SELECT storage_name, description, storage_type, base_directory, credentials, "
                 "config_json, shared_tables_template, user_tables_template FROM system.storages "
                 "WHERE storage_id = 'archive'"),
            std::vector<std::string>{"\"Old rows\"|\"on a slow disk\"|\"filesystem\"|\"" +
                                     Folder("archive") +
                                     "\"|null|null|\"s/{namespace}/{tableName}\"|"
                                     "\"{namespace}/{tableName}/{userId}\""});
  EXPECT_EQ(Fail(Create("archive")), "Invalid operation: Storage 'archive' already exists");
  EXPECT_EQ(Do("ALTER STORAGE archive SET NAME 'New' SET DESCRIPTION 'd'"),
            "Storage 'archive' altered successfully");
  EXPECT_EQ(Cell("SELECT storage_name FROM system.storages WHERE storage_id = 'archive'"),
            "\"New\"");
  EXPECT_EQ(Do("DROP STORAGE archive"), "Storage 'archive' dropped successfully");
  EXPECT_EQ(Fail("DROP STORAGE archive"), "Not found: Storage 'archive' not found");
  EXPECT_EQ(Do("DROP STORAGE IF EXISTS archive"), "Storage 'archive' does not exist (skipped)");
  EXPECT_EQ(Fail("ALTER STORAGE archive SET NAME 'x'"), "Not found: Storage 'archive' not found");
  // The tables of the namespace `dba` lie there.
  EXPECT_THAT(Fail("DROP STORAGE local"), HasSubstr("Cannot drop storage 'local': "));
}

TEST_F(StoragesTest, AuditedWithoutSecrets) {
  Do(Create("a") + " CONFIG '{\"type\":\"local\"}'");
  Do("ALTER STORAGE a SET CREDENTIALS '{\"type\":\"local\"}' SET NAME 'n'");
  Do("DROP STORAGE a");
  EXPECT_EQ(Rows("SELECT action, target, details FROM system.audit_log WHERE target = 'a' ORDER BY "
                 "action"),
            (std::vector<std::string>{"\"ALTER_STORAGE\"|\"a\"|\"Set: CREDENTIALS, NAME\"",
                                      "\"CREATE_STORAGE\"|\"a\"|\"Type: filesystem\"",
                                      "\"DROP_STORAGE\"|\"a\"|null"}));
}

TEST_F(StoragesTest, CredentialsAreNeverShown) {
  // One that no store has to answer for.
  catalog::StorageRecord record;
  record.storage_id = record.storage_name = "s";
  record.storage_type = "s3";
  record.base_directory = "s3://bucket";
  record.config_json = R"({"region":"eu-west-1"})";
  record.credentials_json = R"({"access_key_id":"topid","secret_access_key":"topsecret"})";
  auto command = std::make_shared<replication::Command>();
  command->records = catalog_->PutStorage(record);
  ASSERT_TRUE(replication::ProposeAndWait(*group_, std::move(command)).status.ok());
  for (const catalog::Caller& caller : {Root(), Dba(), User()}) {
    const AdminAnswer shown = Run("SHOW STORAGES", caller);
    ASSERT_TRUE(shown.ok()) << shown.error();
    ASSERT_EQ(shown.rows.size(), 2u);
    EXPECT_TRUE(shown.rows[0].starts_with("\"local\"|"));
    EXPECT_THAT(shown.rows[1], HasSubstr("***"));
    EXPECT_THAT(shown.rows[1], Not(HasSubstr("top")));
    EXPECT_THAT(shown.rows[1], HasSubstr("eu-west-1"));
  }
}

TEST_F(StoragesTest, KeysThatWouldDoNothingAreRefused) {
  EXPECT_EQ(Fail(Create("a") + " CREDENTIALS '{\"access_key\":\"topsecret\"}'"),
            "Invalid operation: Storage 'a': Credentials has an unknown key 'access_key'; a "
            "filesystem storage needs PATH alone");
  EXPECT_EQ(Fail(Create("a") + " CONFIG '{\"compression\":\"zstd\"}'"),
            "Invalid operation: Storage 'a': CONFIG has an unknown key 'compression'; a filesystem "
            "storage needs PATH alone");
  EXPECT_EQ(Fail(Create("a") + " CONFIG '{\"root\":\"/elsewhere\"}'"),
            "Invalid operation: Storage 'a': CONFIG has another 'root' than the folder of the "
            "storage; PATH names that");
  EXPECT_EQ(Fail(Create("a") + " CONFIG '{\"type\":\"s3\"}'"),
            "Invalid operation: Storage 'a': CONFIG names another type than 'filesystem'");
  EXPECT_THAT(Fail(Create("a") + " REGION 'r'"), HasSubstr("REGION is only for buckets"));
  EXPECT_EQ(Rows("SHOW STORAGES").size(), 1u);
  Do(Create("a") + " CONFIG '{\"type\":\"local\",\"root\":\"" + Folder("a") +
     "\"}' CREDENTIALS '{}'");
  EXPECT_THAT(Fail("ALTER STORAGE a SET CONFIG '{\"x\":1}'"), HasSubstr("unknown key 'x'"));
  EXPECT_THAT(Fail("ALTER STORAGE a SET REGION 'r'"), HasSubstr("REGION is only for buckets"));
  const std::string bucket =
      "CREATE STORAGE s TYPE s3 BUCKET 'b' CREDENTIALS "
      "'{\"access_key_id\":\"topid\",\"secret_access_key\":\"topkey\"}'";
  EXPECT_EQ(Fail(bucket + " CONFIG '{\"type\":\"gcs\"}'"),
            "Invalid operation: Storage 's': CONFIG names another type than 's3'");
  EXPECT_THAT(Fail(bucket + " CONFIG '{\"regoin\":\"r\"}'"), HasSubstr("unknown key 'regoin'"));
  EXPECT_THAT(Fail("CREATE STORAGE s TYPE gcs BUCKET 'b' CONFIG '{\"account_name\":\"a\"}'"),
              HasSubstr("unknown key 'account_name'"));
  EXPECT_THAT(Fail("CREATE STORAGE s TYPE azure BUCKET 'b' CONFIG '{\"region\":\"a\"}'"),
              HasSubstr("unknown key 'region'"));
}

TEST_F(StoragesTest, WhatCannotBe) {
  const std::string base = "CREATE STORAGE s TYPE ";
  EXPECT_EQ(Fail(base + "floppy PATH '/tmp/x'"),
            "Invalid operation: Invalid storage type 'floppy'. Must be 'filesystem', 's3', 'gcs', "
            "or 'azure'");
  EXPECT_THAT(Fail(base + "S3 BUCKET 'b'"), HasSubstr("Invalid storage type 'S3'"));
  EXPECT_THAT(Fail("CREATE STORAGE s PATH '/tmp/x'"), HasSubstr("Invalid storage type ''"));
  EXPECT_THAT(Fail(base + "filesystem"), HasSubstr("needs PATH or BASE_DIRECTORY"));
  EXPECT_THAT(Fail(base + "filesystem PATH '/tmp/a' BASE_DIRECTORY '/tmp/b'"),
              HasSubstr("Only one of"));
  EXPECT_THAT(Fail(base + "filesystem PATH '/tmp/a' PATH '/tmp/b'"),
              HasSubstr("PATH is given twice"));
  EXPECT_THAT(Fail(base + "s3 PATH '/tmp/x'"), HasSubstr("PATH is only for filesystem"));
  EXPECT_THAT(Fail(base + "s3"), HasSubstr("needs BUCKET or BASE_DIRECTORY"));
  EXPECT_THAT(Fail(base + "s3 BUCKET 'b'"), HasSubstr("\"access_key_id\""));
  EXPECT_EQ(Fail(base + "s3 BUCKET 'b' CREDENTIALS '[1]'"),
            "Invalid operation: Credentials must be a JSON object");
  EXPECT_EQ(Fail(base + "s3 BUCKET 'b' CONFIG 'topsecret'"),
            "Invalid operation: CONFIG must be a JSON object");
  EXPECT_EQ(
      Fail(base + "filesystem PATH '/tmp/x' SHARED_TABLES_TEMPLATE '{tableName}/{namespace}'"),
      "Invalid operation: Invalid storage template: Shared table template: {namespace} must "
      "appear before {tableName}");
  EXPECT_THAT(Fail("ALTER STORAGE local SET TYPE 's3'"),
              HasSubstr("ALTER STORAGE cannot set TYPE"));
  EXPECT_THAT(Fail("ALTER STORAGE local SET PATH '/tmp/x'"),
              HasSubstr("ALTER STORAGE cannot set PATH"));
  EXPECT_THAT(Fail(Create("s"), User()), HasSubstr("Unauthorized"));
  EXPECT_EQ(Rows("SHOW STORAGES").size(), 1u);
}

TEST_F(StoragesTest, FoldersThatAreNotForStorages) {
  for (const char* path : {"", "/", "/etc", "/etc/kalam", "/root/x", "/proc/self", "/usr/share/x",
                           "/tmp/../etc/x", "/var/log/x", "/dev/x"}) {
    EXPECT_THAT(Fail("CREATE STORAGE s TYPE filesystem PATH '" + std::string(path) + "'"),
                HasSubstr("Path '" + std::string(path) + "'"));
  }
  for (const char* own : {"", "/rocksdb", "/storage/x", "/tmp"}) {
    EXPECT_THAT(Fail("CREATE STORAGE s TYPE filesystem PATH '" + directory_.string() + own + "'"),
                HasSubstr("is a folder of the server itself"));
  }
  std::filesystem::create_directory_symlink("/etc", Folder("link"));
  EXPECT_THAT(Fail("CREATE STORAGE s TYPE filesystem PATH '" + Folder("link") + "/x'"),
              HasSubstr("is a folder of the system"));
}

TEST_F(StoragesTest, AllowedFolders) {
  const FolderRules rules{.allowed = {"/srv/cold", directory_.string() + "/cold/"},
                          .data_directory = Folder("data")};
  EXPECT_TRUE(CheckLocalFolder("/srv/cold", rules).ok());
  EXPECT_EQ(*CheckLocalFolder("/srv/cold/a/", rules), "/srv/cold/a");
  EXPECT_TRUE(CheckLocalFolder(Folder("cold/x"), rules).ok());
  EXPECT_TRUE(CheckLocalFolder("/srv/colder", rules).status().Is(ErrorKind::InvalidOperation));
  EXPECT_THAT(CheckLocalFolder("/tmp/x", rules).status().ToString(),
              HasSubstr("storage.allowed_directories"));
}

TEST_F(StoragesTest, UsedStoragesStay) {
  Do(Create("a"));
  Do("CREATE NAMESPACE app");
  Do("CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = 'a')");
  EXPECT_EQ(Fail("DROP STORAGE a"),
            "Invalid operation: Cannot drop storage 'a': 1 table(s) still using it");
  EXPECT_EQ(Fail("ALTER STORAGE a SET SHARED_TABLES_TEMPLATE 'x/{namespace}/{tableName}'"),
            "Invalid operation: Cannot change the templates of storage 'a': 1 table(s) still using "
            "it");
  // The other template is nobody's yet, and the same text is no change.
  Do("ALTER STORAGE a SET USER_TABLES_TEMPLATE 'x/{namespace}/{tableName}/{userId}'");
  Do("ALTER STORAGE a SET SHARED_TABLES_TEMPLATE '{namespace}/{tableName}'");
  EXPECT_THAT(Fail("CREATE SHARED TABLE app.u (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = 'b')"),
              HasSubstr("Storage 'b' does not exist"));
  Do("DROP TABLE app.t");
  Do("DROP STORAGE a");
}

TEST_F(StoragesTest, CheckTellsHowAStorageIs) {
  const AdminAnswer local = Run("STORAGE CHECK local");
  ASSERT_TRUE(local.ok()) << local.error();
  EXPECT_EQ(local.columns,
            (std::vector<std::string>{"storage_id", "status", "readable", "writable", "listable",
                                      "deletable", "latency_ms", "total_bytes", "used_bytes",
                                      "error", "tested_at"}));
  EXPECT_THAT(local.rows[0], HasSubstr("\"local\"|\"healthy\"|true|true|true|true|"));
  EXPECT_THAT(local.rows[0], HasSubstr("|null|null|null|"));
  EXPECT_THAT(Run("STORAGE CHECK local EXTENDED").rows[0], Not(HasSubstr("|null|null|null|")));
  EXPECT_FALSE(std::filesystem::exists(Folder("storage/.kalamdb-health-check")));

  Do(Create("gone"));
  std::filesystem::remove_all(Folder("gone"));
  EXPECT_THAT(Rows("STORAGE CHECK gone")[0],
              HasSubstr("\"gone\"|\"unreachable\"|false|false|false|false|"));
  EXPECT_EQ(Fail("STORAGE CHECK nothing"), "Not found: Storage 'nothing' not found");
  EXPECT_THAT(Fail("STORAGE CHECK local", User()), HasSubstr("Unauthorized"));
}

TEST_F(StoragesTest, AStorageThatDoesNotAnswerIsNotMade) {
  const std::string error = Fail(
      "CREATE STORAGE s TYPE s3 BUCKET 'b' REGION 'eu-west-1' CREDENTIALS "
      "'{\"access_key_id\":\"topid\",\"secret_access_key\":\"topsecret\"}' CONFIG "
      "'{\"endpoint\":\"http://127.0.0.1:9\",\"allow_http\":true}'");
  EXPECT_THAT(error, HasSubstr("Storage connectivity check failed for 's': Storage 's' did not "
                               "write '.kalamdb-health-check/"));
  EXPECT_THAT(error, HasSubstr("Couldn't connect to server (127.0.0.1:9)"));
  EXPECT_THAT(error, Not(HasSubstr("top")));
  EXPECT_EQ(Rows("SHOW STORAGES").size(), 1u);
}

}  // namespace
}  // namespace kalam::statements
