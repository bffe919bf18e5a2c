// What the tests of replication groups share: a directory, a store, a catalog with one table, and
// short ways to write.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/memory_account.h"
#include "catalog/catalog.h"
#include "replication/group.h"
#include "replication/records.h"
#include "storage/store.h"
#include "types/key_codec.h"

namespace kalam::replication {

inline constexpr TableId kTestTable{7};

/// The definition of a shared table `app.numbers<id>` (id BIGINT PRIMARY KEY) in a given version.
inline catalog::TableDefinition TestTable(TableId id, uint32_t version) {
  catalog::TableDefinition table;
  table.id = id;
  table.namespace_id = "app";
  table.name = "numbers" + std::to_string(id.value);
  table.schema_version = version;
  table.next_column_id = 2;
  catalog::ColumnDefinition key{.column_id = 1,
                                .name = "id",
                                .type = DataType::Of(TypeKind::kBigInt),
                                .nullable = false,
                                .primary_key = true};
  auto columns = std::make_shared<std::vector<catalog::ColumnDefinition>>();
  columns->push_back(key);
  table.layouts =
      std::make_shared<const std::vector<RowLayout>>(version, catalog::LayoutOf(*columns));
  table.columns = std::move(columns);
  return table;
}

inline std::string TestKey(int64_t key) {
  std::string encoded;
  EncodeKey(Datum::BigInt(key), &encoded);
  return encoded;
}

/// A row with an opaque image; the group never looks inside.
inline RowMutation TestRow(int64_t key, ChangeOp op, Seq read_seq, std::string image) {
  RowMutation row;
  row.table = kTestTable;
  row.encoded_pk = TestKey(key);
  row.op = op;
  row.read_seq = read_seq;
  row.row = std::move(image);
  return row;
}

inline std::shared_ptr<Command> TestCommand(Seq view, RowMutation row) {
  auto command = std::make_shared<Command>();
  command->view_seq = view;
  command->rows.push_back(std::move(row));
  return command;
}

struct TestImage {
  Seq seq;
  bool tombstone = false;
  std::string row;
};

/// A data directory that lives as long as this, with a store and a catalog that can be closed and
/// opened again.
class TestDatabase {
 public:
  TestDatabase() {
    std::string pattern = testing::TempDir() + "kalam_group_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    store_options.path = directory_ + "/db";
    Open();
  }
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;
  ~TestDatabase() {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    auto opened = storage::Store::Open(store_options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store = std::move(opened).value();
    auto loaded = catalog::Catalog::Open(*store, account, 64);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    catalog = std::move(loaded).value();
  }
  void Close() {
    catalog.reset();
    store.reset();
  }

  std::optional<TestImage> Read(int64_t key, const storage::SnapshotPtr& snapshot = nullptr,
                                TableId table = kTestTable) const {
    auto value =
        store->Get(storage::Family::kRows,
                   storage::RowKey(table, storage::Scope::Shared(), TestKey(key)), snapshot);
    EXPECT_TRUE(value.ok()) << value.status().ToString();
    if (!value.ok() || !*value) return std::nullopt;
    auto record = DecodeRowRecord(**value);
    EXPECT_TRUE(record.ok());
    return TestImage{record->seq, record->tombstone, std::string(record->row)};
  }
  int64_t Count(storage::Family family, TableId table = kTestTable) const {
    int64_t count = 0;
    std::string prefix = storage::TablePrefix(table);
    auto iterator = store->NewIterator(family, {prefix, PrefixEnd(prefix)});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
    EXPECT_TRUE(iterator->status().ok());
    return count;
  }

  storage::StoreOptions store_options;
  MemoryAccount account{"root", nullptr};
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<catalog::Catalog> catalog;

 private:
  std::string directory_;
};

/// A group over an open database that does not wait for the disk.
inline std::unique_ptr<ReplicationGroup> OpenTestGroup(TestDatabase& database, const Clock& clock) {
  StandaloneOptions options;
  options.durability = storage::Durability::kOs;
  options.clock = &clock;
  return OpenStandaloneGroup(*database.store, *database.catalog, options).value();
}

/// Makes the table known through the group, as DDL does.
inline Status CreateTestTable(TestDatabase& database, ReplicationGroup& group,
                              TableId id = kTestTable, uint32_t version = 1) {
  auto command = std::make_shared<Command>();
  command->records = database.catalog->PutTable(TestTable(id, version));
  return ProposeAndWait(group, command).status;
}

}  // namespace kalam::replication
