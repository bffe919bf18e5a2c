// What walks over hot rows find, over a real store.
#include "tiering/hot_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "replication/group_test_bench.h"

namespace kalam::tiering {
namespace {

constexpr TableId kTable{7};

class HotRowsTest : public ::testing::Test {
 protected:
  void Put(TableId table, const std::string& user, int row_count) {
    storage::WriteBatch batch;
    std::string record;
    replication::EncodeRowRecord({false, Seq{1}, 1, "row"}, &record);
    for (int i = 0; i < row_count; ++i) {
      batch.Put(storage::Family::kRows,
                storage::RowKey(table, storage::Scope::OfUser(user), "key" + std::to_string(i)),
                record);
    }
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  uint32_t Count(const std::string& user, uint32_t count_max) {
    return CountHotRows(*database_.store, kTable, storage::Scope::OfUser(user), count_max).value();
  }
  /// The large scopes by name, in the order of names.
  static std::vector<std::string> Users(const LargeScopes& found) {
    std::vector<std::string> users;
    for (const storage::Scope& scope : found.scopes) users.push_back(scope.user_id());
    std::sort(users.begin(), users.end());
    return users;
  }

  replication::TestDatabase database_;
};

TEST_F(HotRowsTest, AScopeIsCountedUpToTheLimit) {
  Put(kTable, "ann", 7);
  Put(TableId{8}, "bob", 7);
  EXPECT_EQ(Count("ann", 10), 7u);
  EXPECT_EQ(Count("ann", 7), 7u);
  EXPECT_EQ(Count("ann", 5), 5u);
  EXPECT_EQ(Count("an", 5), 0u);
  EXPECT_EQ(Count("bob", 5), 0u) << "another table's";
}

TEST_F(HotRowsTest, LargeScopesAreFoundAndTheOthersAreCounted) {
  Put(TableId{6}, "cat", 9);
  Put(kTable, "ann", 5);
  Put(kTable, "bob", 4);
  Put(kTable, "cat", 9);
  Put(kTable, "dan", 1);
  const LargeScopes found =
      FindLargeScopes(*database_.store, kTable,
                      {.row_count_min = 5, .scopes_max = 10, .user_id_bytes_max = 100})
          .value();
  EXPECT_EQ(Users(found), (std::vector<std::string>{"ann", "cat"}));
  EXPECT_EQ(found.other_row_count, 5);
  EXPECT_EQ(found.other_largest, 4u);
  EXPECT_TRUE(found.complete);
}

TEST_F(HotRowsTest, OnesForWhichThereIsNoRoomAreCountedInFull) {
  for (const char* user : {"ann", "bob", "cat"}) Put(kTable, user, 20);
  LargeScopes found =
      FindLargeScopes(*database_.store, kTable,
                      {.row_count_min = 5, .scopes_max = 2, .user_id_bytes_max = 100})
          .value();
  EXPECT_EQ(found.scopes.size(), 2u);
  EXPECT_EQ(found.other_row_count, 20);
  EXPECT_TRUE(found.complete);
  found = FindLargeScopes(*database_.store, kTable,
                          {.row_count_min = 5, .scopes_max = 10, .user_id_bytes_max = 1})
              .value();
  EXPECT_EQ(found.scopes.size(), 1u);
  EXPECT_EQ(found.other_row_count, 40);
}

TEST_F(HotRowsTest, AWalkEndsAtItsBounds) {
  for (int user = 0; user < 50; ++user) Put(kTable, "user" + std::to_string(user), 2);
  LargeScopes found =
      FindLargeScopes(*database_.store, kTable, {.row_count_min = 5, .other_row_count_max = 30})
          .value();
  EXPECT_FALSE(found.complete);
  EXPECT_EQ(found.other_row_count, 30);
  found =
      FindLargeScopes(*database_.store, kTable, {.row_count_min = 5, .looked_at_max = 10}).value();
  EXPECT_FALSE(found.complete);
  EXPECT_EQ(found.other_row_count, 10);
  found =
      FindLargeScopes(*database_.store, kTable, {.row_count_min = 5, .other_row_count_max = 101})
          .value();
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.other_row_count, 100);
}

}  // namespace
}  // namespace kalam::tiering
