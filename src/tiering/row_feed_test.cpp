// Feeds go on with newer snapshots without losing, doubling or inventing a row.
#include "tiering/row_feed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "replication/records.h"

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

}  // namespace
}  // namespace kalam::tiering
