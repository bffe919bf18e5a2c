// The catalog over a real store: round trips, restarts, the bounded cache, ids that are never used
// again.
#include "catalog/catalog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "catalog/record_codec.h"

namespace kalam::catalog {
namespace {

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() : account_("catalog", nullptr) {
    directory_ = std::filesystem::temp_directory_path() /
                 ("catalog_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    Reopen(100);
  }
  ~CatalogTest() override {
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Reopen(size_t definitions_max) {
    catalog_.reset();
    store_.reset();
    storage::StoreOptions options;
    options.path = directory_;
    auto store = storage::Store::Open(options);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    auto catalog = Catalog::Open(*store_, account_, definitions_max);
    ASSERT_TRUE(catalog.ok()) << catalog.status().ToString();
    catalog_ = *std::move(catalog);
  }

  /// What the committer does with records.
  void Commit(const RecordWrites& writes) {
    storage::WriteBatch batch;
    for (const RecordWrite& write : writes) {
      if (write.value) {
        batch.Put(write.family, write.key, *write.value);
      } else {
        batch.Delete(write.family, write.key);
      }
    }
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
    catalog_->OnCommitted(writes);
  }

  static ColumnDefinition Column(uint32_t id, std::string name, TypeKind kind) {
    ColumnDefinition column;
    column.column_id = id;
    column.name = std::move(name);
    column.type = DataType::Of(kind);
    return column;
  }

  TableDefinition Table(std::string ns, std::string name) {
    std::vector<ColumnDefinition> columns = {
        Column(1, "id", TypeKind::kBigInt), Column(2, "body", TypeKind::kText),
        Column(3, std::string(kSeqColumn), TypeKind::kBigInt),
        Column(4, std::string(kDeletedColumn), TypeKind::kBoolean)};
    columns[0].primary_key = true;
    columns[0].nullable = false;
    columns[0].default_value.kind = ColumnDefault::Kind::kSnowflakeId;
    columns[1].default_value = {ColumnDefault::Kind::kLiteral, Value::Text("none")};
    columns[1].comment = "what was said";
    TableDefinition table;
    table.id = catalog_->AllocateTableId();
    table.namespace_id = std::move(ns);
    table.name = std::move(name);
    table.type = TableType::kUser;
    table.next_column_id = 5;
    table.layouts = std::make_shared<const std::vector<RowLayout>>(std::vector{LayoutOf(columns)});
    table.columns = std::make_shared<const std::vector<ColumnDefinition>>(std::move(columns));
    table.options.flush_policy = {.row_limit = 7, .interval_seconds = 8};
    table.created_at_us = 11;
    table.updated_at_us = 12;
    return table;
  }

  TablePtr Find(std::string_view ns, std::string_view name) {
    auto found = catalog_->FindTable(ns, name);
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    return found.ok() ? *found : nullptr;
  }

  std::filesystem::path directory_;
  MemoryAccount account_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, ATableComesBackAsItWasPutAlsoAfterARestart) {
  const TableDefinition table = Table("chat", "messages");
  Commit(catalog_->PutTable(table));
  for (int pass = 0; pass < 2; ++pass) {
    const TablePtr found = Find("chat", "messages");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->id, table.id);
    EXPECT_EQ(found->type, TableType::kUser);
    EXPECT_EQ(*found->columns, *table.columns);
    EXPECT_EQ(*found->layouts, *table.layouts);
    EXPECT_EQ(found->options, table.options);
    EXPECT_EQ(found->created_at_us, 11);
    EXPECT_EQ(found->updated_at_us, 12);
    EXPECT_EQ(found->next_column_id, 5u);
    EXPECT_EQ(catalog_->CurrentSchemaVersion(table.id), 1u);
    EXPECT_EQ(found->PrimaryKey(), 0u);
    EXPECT_EQ(found->StoragePosition(1), 1u);
    EXPECT_EQ(found->StoragePosition(2), std::nullopt);
    Reopen(100);
  }
  EXPECT_EQ(Find("chat", "other"), nullptr);
}

TEST_F(CatalogTest, LiteralsOfEveryShapeSurviveTheCodec) {
  Datum decimal = Datum::Decimal((static_cast<__int128>(-3) << 70) + 5, 4);
  const std::vector<Value> literals = {
      Value::BigInt(INT64_MIN),    Value::BigInt(-1),
      Value::Double(-0.25),        Value::Text(std::string_view("a\0b", 3)),
      Value::Boolean(true),        Value(decimal),
      Value::Null(TypeKind::kText)};
  for (const Value& literal : literals) {
    TableDefinition table = Table("chat", "messages");
    auto columns = *table.columns;
    columns[1].default_value.literal = literal;
    table.columns = std::make_shared<const std::vector<ColumnDefinition>>(columns);
    auto decoded = DecodeTable(EncodeTable(table));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ((*decoded->columns)[1].default_value.literal, literal);
  }
}

TEST_F(CatalogTest, ADamagedRecordIsAnErrorAtEveryLength) {
  const std::string bytes = EncodeTable(Table("chat", "messages"));
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_TRUE(DecodeTable(bytes.substr(0, length)).status().Is(ErrorKind::Corruption)) << length;
  }
  std::string newer = bytes;
  newer[0] = 9;
  EXPECT_FALSE(DecodeTable(newer).ok());
}

TEST_F(CatalogTest, VersionsAreListedAndOnlyTheNewestIsCurrent) {
  TableDefinition table = Table("chat", "messages");
  Commit(catalog_->PutTable(table));
  const uint64_t before = catalog_->version();
  const TablePtr old = Find("chat", "messages");
  auto columns = *table.columns;
  columns.push_back(Column(table.next_column_id++, "likes", TypeKind::kInt));
  auto layouts = *table.layouts;
  layouts.push_back(LayoutOf(columns));
  table.columns = std::make_shared<const std::vector<ColumnDefinition>>(columns);
  table.layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
  table.schema_version = 2;
  Commit(catalog_->PutTable(table));
  EXPECT_EQ(catalog_->version(), before + 1);
  EXPECT_EQ(catalog_->CurrentSchemaVersion(table.id), 2u);
  EXPECT_EQ(Find("chat", "messages")->schema_version, 2u);
  EXPECT_EQ(old->schema_version, 1u) << "a published definition never changes";
  auto versions = catalog_->ListVersions(table.id);
  ASSERT_TRUE(versions.ok());
  ASSERT_EQ(versions->size(), 2u);
  EXPECT_EQ((*versions)[0]->columns->size(), 4u);
  EXPECT_EQ((*versions)[1]->columns->size(), 5u);
  EXPECT_EQ((*versions)[1]->layouts->size(), 2u);
}

TEST_F(CatalogTest, ADroppedTableIsGoneAndItsIdIsNeverUsedAgain) {
  const TableDefinition table = Table("chat", "messages");
  Commit(catalog_->PutTable(table));
  Commit(catalog_->DropTable(*Find("chat", "messages")));
  EXPECT_EQ(Find("chat", "messages"), nullptr);
  EXPECT_EQ(catalog_->CurrentSchemaVersion(table.id), 0u);
  EXPECT_EQ(catalog_->table_count(), 0u);
  Reopen(100);
  EXPECT_EQ(Find("chat", "messages"), nullptr);
  EXPECT_GT(catalog_->AllocateTableId(), table.id);
}

TEST_F(CatalogTest, ListsTablesOfOneNamespaceByName) {
  for (const char* name : {"b", "a", "c"}) Commit(catalog_->PutTable(Table("chat", name)));
  Commit(catalog_->PutTable(Table("chatter", "z")));
  auto tables = catalog_->ListTables("chat");
  ASSERT_TRUE(tables.ok());
  ASSERT_EQ(tables->size(), 3u);
  EXPECT_EQ((*tables)[0]->name, "a");
  EXPECT_EQ((*tables)[2]->name, "c");
  EXPECT_EQ(catalog_->ListTables("")->size(), 4u);
}

TEST_F(CatalogTest, EqualShapesExistOnceAndTheCacheIsBounded) {
  for (int i = 0; i < 50; ++i) Commit(catalog_->PutTable(Table("chat", "t" + std::to_string(i))));
  Reopen(10);
  EXPECT_EQ(catalog_->registry_stats().definitions_cached, 0);
  for (int i = 0; i < 50; ++i) ASSERT_NE(Find("chat", "t" + std::to_string(i)), nullptr);
  const RegistryStats stats = catalog_->registry_stats();
  EXPECT_EQ(stats.definitions_cached, 10);
  EXPECT_EQ(stats.shapes_shared, 9) << "ten tables, one shape";
  EXPECT_EQ(stats.misses, 50);
  EXPECT_EQ(Find("chat", "t49")->columns, Find("chat", "t48")->columns);
  EXPECT_EQ(catalog_->registry_stats().hits, 2);
}

TEST_F(CatalogTest, AThousandTablesTakeLittleMemoryAndGiveItBack) {
  const int64_t before = account_.used_bytes();
  RecordWrites writes;
  for (int i = 0; i < 1000; ++i) {
    for (RecordWrite& write : catalog_->PutTable(Table("chat", "table_" + std::to_string(i)))) {
      writes.push_back(std::move(write));
    }
  }
  Commit(writes);
  EXPECT_GT(account_.used_bytes() - before, 100 * 1000);
  EXPECT_LT(account_.used_bytes() - before, 512 * 1024);
  for (int i = 0; i < 1000; ++i)
    Commit(catalog_->DropTable(*Find("chat", "table_" + std::to_string(i))));
  EXPECT_EQ(account_.used_bytes(), before);
}

TEST_F(CatalogTest, NamespacesViewsUsersAndStoragesSurviveARestart) {
  Commit(catalog_->PutNamespace({"chat", "{\"a\":1}", 5}));
  Commit(catalog_->PutView({"chat", "recent", "SELECT 1", {"one"}, "default", 6}));
  UserRecord user;
  user.user_id = "Ann";
  user.role = Role::kService;
  user.password_hash = "$2b$12$x";
  user.locked_until_us = 77;
  user.tokens_valid_from_us = 88;
  Commit(catalog_->PutUser(user));
  StorageRecord storage;
  storage.storage_id = "local";
  storage.base_directory = "/data";
  Commit(catalog_->PutStorage(storage));
  Reopen(10);
  EXPECT_TRUE(catalog_->NamespaceExists("chat"));
  EXPECT_EQ((*catalog_->FindNamespace("chat"))->options_json, "{\"a\":1}");
  auto view = catalog_->FindView("chat", "recent");
  ASSERT_TRUE(view.ok() && view->has_value());
  EXPECT_EQ((*view)->column_names, std::vector<std::string>{"one"});
  auto found = catalog_->FindUser("Ann");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->role, Role::kService);
  EXPECT_EQ((*found)->locked_until_us, 77);
  EXPECT_EQ((*found)->deleted_at_us, std::nullopt);
  EXPECT_EQ((*found)->tokens_valid_from_us, 88);
  EXPECT_FALSE(catalog_->FindUser("ann")->has_value()) << "user ids are case-sensitive";
  EXPECT_EQ((*catalog_->FindStorage("local"))->base_directory, "/data");
  Commit(catalog_->DropNamespace("chat"));
  Commit(catalog_->DropView("chat", "recent"));
  Commit(catalog_->DropUser("Ann"));
  EXPECT_FALSE(catalog_->NamespaceExists("chat"));
  EXPECT_TRUE(catalog_->ListViews().empty());
  EXPECT_FALSE(catalog_->FindUser("Ann")->has_value());
}

TEST_F(CatalogTest, AChangedUserIsSeenAtOnceAlthoughItWasCached) {
  UserRecord user;
  user.user_id = "ann";
  user.role = Role::kDba;
  Commit(catalog_->PutUser(user));
  ASSERT_EQ((*catalog_->FindUser("ann"))->role, Role::kDba);
  const uint64_t version = catalog_->version();
  user.role = Role::kUser;
  user.deleted_at_us = 3;
  Commit(catalog_->PutUser(user));
  EXPECT_EQ((*catalog_->FindUser("ann"))->role, Role::kUser);
  EXPECT_EQ((*catalog_->FindUser("ann"))->deleted_at_us, 3);
  EXPECT_EQ(catalog_->version(), version) << "plans do not depend on users";
}

TEST_F(CatalogTest, SystemTablesAreFoundByNameAndIdButNotListed) {
  TableDefinition table = Table("system", "users");
  table.id.value = kFirstSystemTableId + 3;
  table.type = TableType::kSystem;
  catalog_->RegisterSystemTable(std::make_shared<const TableDefinition>(table));
  EXPECT_EQ(Find("system", "users")->id, table.id);
  EXPECT_EQ((*catalog_->FindTable(table.id))->name, "users");
  EXPECT_TRUE(catalog_->ListTables("")->empty());
  EXPECT_EQ(catalog_->table_count(), 0u);
}

TEST_F(CatalogTest, AMissingDefinitionIsAnErrorOfThatTableAlone) {
  const TableDefinition broken = Table("chat", "broken");
  Commit(catalog_->PutTable(broken));
  Commit(catalog_->PutTable(Table("chat", "fine")));
  storage::WriteBatch batch;
  batch.Put(storage::Family::kCatalog, TableVersionKey(broken.id, 1), "rubbish");
  ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  Reopen(10);
  EXPECT_TRUE(catalog_->FindTable("chat", "broken").status().Is(ErrorKind::Corruption));
  EXPECT_NE(Find("chat", "fine"), nullptr);
}

}  // namespace
}  // namespace kalam::catalog
