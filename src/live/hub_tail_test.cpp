// What the memory of recent changes costs: little for those who do not read, nothing when everybody
// is level.
#include <gtest/gtest.h>

#include "live/hub_test_world.h"

namespace kalam::live {
namespace {

class HubTailTest : public HubTest {
 protected:
  int64_t tail_bytes() { return world_.memory().Child("change_tail").used_bytes(); }
  void InsertMany(int64_t first, int64_t last) {
    for (int64_t id = first; id <= last; ++id) {
      world_.Insert(table_, id, 7, std::string(1000, 'x'));
      world_.DeliverCommits();
    }
  }
  void ExpectAll(int64_t first, int64_t last) {
    for (int64_t id = first; id <= last; ++id)
      ASSERT_EQ(socket_.Take()["rows"][0]["id"], std::to_string(id));
    EXPECT_TRUE(socket_.messages.empty());
  }
};

TEST_F(HubTailTest, AStalledSubscriberKeepsLittleAndGetsEverything) {
  SubscribeQuietly(kAll);
  socket_.full = true;
  InsertMany(1, 100);
  EXPECT_GT(tail_bytes(), 0);
  EXPECT_LE(tail_bytes(), 16 << 10);
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.Settle();
  ExpectAll(1, 100);
  EXPECT_EQ(tail_bytes(), 0);
  EXPECT_EQ(world_.memory().Child("resumes").used_bytes(), 0);
}

TEST_F(HubTailTest, OneWhoAsksForTheNextBatchLateKeepsLittle) {
  InsertMany(1, 3);
  SubscribeOptions options = Options();
  options.batch_size = 2;
  Subscribe(kAll, options);
  InsertMany(4, 100);
  EXPECT_LE(tail_bytes(), 16 << 10);
}

TEST_F(HubTailTest, OneWhoAsksForABatchAndDoesNotReadKeepsLittle) {
  InsertMany(1, 5);
  SubscribeOptions options = Options();
  options.batch_size = 2;
  Subscribe(kAll, options);
  world_.Settle();
  socket_.messages.clear();
  socket_.full = true;
  world_.hub->NextBatch(connection_, "s1", std::nullopt);
  InsertMany(6, 100);
  EXPECT_LE(tail_bytes(), 16 << 10);
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.Settle();
  EXPECT_EQ(socket_.Take()["rows"].size(), 2u);
  world_.hub->NextBatch(connection_, "s1", std::nullopt);
  world_.Settle();
  EXPECT_EQ(socket_.Take()["rows"].size(), 1u);
  ExpectAll(6, 100);
  EXPECT_EQ(tail_bytes(), 0);
}

TEST_F(HubTailTest, ReleasedTailsKeepNothing) {
  SubscribeQuietly(kAll);
  socket_.full = true;
  world_.hub->SetTailBytes(0);
  InsertMany(1, 20);
  EXPECT_EQ(tail_bytes(), 0);
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.Settle();
  ExpectAll(1, 20);
}

}  // namespace
}  // namespace kalam::live
