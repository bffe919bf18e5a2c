// Feeds go on with newer snapshots without losing, doubling or inventing a row.
#include "tiering/row_feed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "replication/records.h"
#include "segments/segment_record.h"

namespace kalam::tiering {
namespace {

constexpr TableId kTable{7};

class RowFeedTest : public ::testing::Test {
 protected:
  RowFeedTest() {
    directory_ = std::filesystem::temp_directory_path() /
                 ("row_feed_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    storage::StoreOptions options;
    options.path = directory_;
    store_ = storage::Store::Open(options).value();
  }
  ~RowFeedTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Put(const storage::Scope& scope, const std::string& key, int64_t seq) {
    std::string record;
    replication::EncodeRowRecord({false, Seq{seq}, 1, "row"}, &record);
    storage::WriteBatch batch;
    batch.Put(storage::Family::kRows, storage::RowKey(kTable, scope, key), record);
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  void Forget(const storage::Scope& scope, const std::string& key) {
    storage::WriteBatch batch;
    batch.Delete(storage::Family::kRows, storage::RowKey(kTable, scope, key));
    ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  replication::View ViewAt(int64_t seq) { return {Seq{seq}, store_->TakeSnapshot()}; }

  /// The next row as "key@seq", or "end".
  static std::string Next(RowFeed& feed) {
    const auto more = feed.Next();
    EXPECT_TRUE(more.ok());
    return more.ok() && *more ? Show(feed) : "end";
  }
  static std::string Show(const RowFeed& feed) {
    return std::string(feed.encoded_pk()) + "@" + std::to_string(feed.seq().value);
  }

  std::filesystem::path directory_;
  std::unique_ptr<storage::Store> store_;
  const storage::Scope shared_ = storage::Scope::Shared();
};

TEST_F(RowFeedTest, ANewerSnapshotGoesOnAtTheCurrentRow) {
  for (const char* key : {"a", "b", "c", "d", "e"}) Put(shared_, key, 5);
  const auto feed = FeedHotScope(*store_, ViewAt(5), kTable, shared_);
  EXPECT_EQ(Next(*feed), "a@5");
  EXPECT_EQ(Next(*feed), "b@5");
  EXPECT_EQ(Next(*feed), "c@5") << "looked at, and the first of the next segment";
  Forget(shared_, "a");
  Forget(shared_, "b");
  Put(shared_, "bb", 8);
  Put(shared_, "d", 9);
  auto more = feed->Renew(store_->TakeSnapshot());
  ASSERT_TRUE(more.ok() && *more);
  EXPECT_EQ(Show(*feed), "c@5");
  EXPECT_EQ(Next(*feed), "e@5") << "a row that has changed is above the view";
  EXPECT_EQ(Next(*feed), "end");
}

TEST_F(RowFeedTest, ACurrentRowThatIsGoneGivesWayToTheNext) {
  for (const char* key : {"a", "b", "c"}) Put(shared_, key, 5);
  const auto feed = FeedHotScope(*store_, ViewAt(5), kTable, shared_);
  EXPECT_EQ(Next(*feed), "a@5");
  EXPECT_EQ(Next(*feed), "b@5");
  Put(shared_, "b", 9);
  auto more = feed->Renew(store_->TakeSnapshot());
  ASSERT_TRUE(more.ok() && *more);
  EXPECT_EQ(Show(*feed), "c@5");
  Put(shared_, "c", 10);
  more = feed->Renew(store_->TakeSnapshot());
  ASSERT_TRUE(more.ok());
  EXPECT_FALSE(*more);
}

TEST_F(RowFeedTest, OnlyScopesThatAreListedAreFed) {
  // By bucket: the order of keys is not that of names.
  std::vector<storage::Scope> scopes;
  for (int user = 0; user < 40; ++user) {
    scopes.push_back(storage::Scope::OfUser("user" + std::to_string(user)));
    Put(scopes.back(), "a" + std::to_string(user), 1);
    Put(scopes.back(), "b" + std::to_string(user), user == 4 ? 11 : 1);  // one behind the view
  }
  ScopeSet only;
  for (const int user : {1, 4, 17, 39})
    only.insert(segments::SegmentKeyPrefix(scopes[static_cast<size_t>(user)]));
  only.insert(segments::SegmentKeyPrefix(storage::Scope::OfUser("nobody")));
  for (int i = 0; i < 9; ++i) Put(scopes[17], "c" + std::to_string(i), 1);
  ScopeSet large;
  const auto feed =
      FeedSmallHotScopes(*store_, ViewAt(10), kTable, {.row_count = 10}, &large, &only);
  std::set<std::string> rows;
  for (std::string row = Next(*feed); row != "end"; row = Next(*feed)) {
    EXPECT_TRUE(rows.insert(row).second) << row;
    // Behind the current scope nobody knows what a newer snapshot shows.
    ASSERT_TRUE(feed->Renew(store_->TakeSnapshot()).ok());
  }
  EXPECT_EQ(rows, (std::set<std::string>{"a1@1", "b1@1", "a4@1", "a39@1", "b39@1"}));
  EXPECT_EQ(large, ScopeSet{segments::SegmentKeyPrefix(scopes[17])});
  for (int user = 0; user < 40; ++user) {
    const std::string key = segments::SegmentKey(scopes[static_cast<size_t>(user)], "k");
    EXPECT_EQ(HasScopeOf(only, key), user == 1 || user == 4 || user == 17 || user == 39) << user;
  }
}

TEST_F(RowFeedTest, ASmallScopeUnderWayIsGivenOutAsItWasRead) {
  const auto user = storage::Scope::OfUser("ann");
  for (const char* key : {"a", "b"}) Put(user, key, 5);
  ScopeSet large;
  const auto feed = FeedSmallHotScopes(*store_, ViewAt(5), kTable, {}, &large);
  EXPECT_EQ(Next(*feed), "a@5");
  Put(user, "b", 9);
  const auto more = feed->Renew(store_->TakeSnapshot());
  ASSERT_TRUE(more.ok() && *more);
  EXPECT_EQ(Show(*feed), "a@5");
  EXPECT_EQ(Next(*feed), "b@5") << "the hot one hides it";
  EXPECT_EQ(Next(*feed), "end");
  EXPECT_TRUE(large.empty());
}

TEST_F(RowFeedTest, RowsReadAheadAreCharged) {
  MemoryAccount held("flush", nullptr);
  for (const char* key : {"a", "b", "c"}) Put(storage::Scope::OfUser("ann"), key, 5);
  ScopeSet large;
  auto feed = FeedSmallHotScopes(*store_, ViewAt(5), kTable, {}, &large, nullptr, &held);
  EXPECT_EQ(held.used_bytes(), 0);
  EXPECT_EQ(Next(*feed), "a@5");
  EXPECT_GE(held.used_bytes(), 3 * 24) << "three places in the bytes, and these";
  feed.reset();
  EXPECT_EQ(held.used_bytes(), 0);
}

}  // namespace
}  // namespace kalam::tiering
