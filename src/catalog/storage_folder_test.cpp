// Folders of scopes: templates filled in, user ids kept to one path part.
#include "catalog/storage_folder.h"

#include <gtest/gtest.h>

namespace kalam::catalog {
namespace {

TableDefinition Table(TableType type) {
  TableDefinition table;
  table.namespace_id = "shop";
  table.name = "orders";
  table.type = type;
  return table;
}

TEST(StorageFolderTest, FillsTheDefaultTemplates) {
  const StorageRecord storage;
  EXPECT_EQ(ScopeFolder(storage, Table(TableType::kShared), ""), "shop/orders");
  EXPECT_EQ(ScopeFolder(storage, Table(TableType::kUser), "ann"), "shop/orders/ann");
}

TEST(StorageFolderTest, FillsTemplatesWithTextAndLegacySpellings) {
  StorageRecord storage;
  storage.shared_tables_template = "/ns_{namespace_id}//t_{table-id}/{shard}/";
  storage.user_tables_template = "{namespaceId}/{table_name}/{user-id}_files";
  EXPECT_EQ(ScopeFolder(storage, Table(TableType::kShared), ""), "ns_shop/t_orders");
  EXPECT_EQ(ScopeFolder(storage, Table(TableType::kUser), "ann"), "shop/orders/ann_files");
}

TEST(StorageFolderTest, KeepsAnyUserIdInOnePathPart) {
  const StorageRecord storage;
  const TableDefinition table = Table(TableType::kUser);
  EXPECT_EQ(ScopeFolder(storage, table, "ann@example.org"), "shop/orders/ann@example.org");
  EXPECT_EQ(ScopeFolder(storage, table, "a b%c"), "shop/orders/a%20b%25c");
  EXPECT_EQ(ScopeFolder(storage, table, ".hidden"), "shop/orders/%2ehidden");
  EXPECT_EQ(ScopeFolder(storage, table, "_many"), "shop/orders/%5fmany");
  EXPECT_EQ(ScopeFolder(storage, table, "a/../b"), "shop/orders/a%2f..%2fb");
  EXPECT_EQ(ScopeFolder(storage, table, "\xc3\xa4"), "shop/orders/%c3%a4");
}

}  // namespace
}  // namespace kalam::catalog
