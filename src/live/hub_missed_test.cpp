// A core that missed commits: everyone gets what was missed, once and in order, and nobody is
// disconnected.
#include <gtest/gtest.h>

#include "live/hub_test_world.h"

namespace kalam::live {
namespace {

using nlohmann::json;

std::vector<std::string> Ids(ScriptedSubscriber* socket) {
  std::vector<std::string> ids;
  while (!socket->messages.empty()) ids.push_back(socket->Take()["rows"][0]["id"]);
  return ids;
}

TEST_F(HubTest, MissedCommitsArePulledFromTheLog) {
  SubscribeQuietly(kAll);
  for (int64_t id = 1; id <= 5; ++id) world_.Insert(table_, id, 7, "a");
  world_.LoseCommits();
  world_.Insert(table_, 6, 7, "a");
  world_.Settle();
  EXPECT_EQ(Ids(&socket_), (std::vector<std::string>{"1", "2", "3", "4", "5", "6"}));
  EXPECT_EQ(world_.metrics().counter("live_mailbox_overflows").value(), 1);
  // Level again: the next change comes from its batch.
  const int64_t reads = world_.metrics().counter("live_catch_up_reads").value();
  world_.Insert(table_, 7, 7, "a");
  world_.Settle();
  EXPECT_EQ(Ids(&socket_), (std::vector<std::string>{"7"}));
  EXPECT_EQ(world_.metrics().counter("live_catch_up_reads").value(), reads);
}

TEST_F(HubTest, MissedCommitsWaitForAFullSocket) {
  SubscribeQuietly(kAll);
  socket_.full = true;
  for (int64_t id = 1; id <= 3; ++id) world_.Insert(table_, id, 7, "a");
  world_.LoseCommits();
  world_.Settle();
  EXPECT_TRUE(socket_.messages.empty());
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.Settle();
  EXPECT_EQ(Ids(&socket_), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(HubTest, WhoeverLaggedAlreadyKeepsTheOwnCursor) {
  SubscribeQuietly(kAll);
  socket_.full = true;
  world_.Insert(table_, 1, 7, "a");
  world_.Settle();
  world_.Insert(table_, 2, 7, "a");
  world_.Insert(table_, 3, 7, "a");
  world_.LoseCommits();
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.Settle();
  EXPECT_EQ(Ids(&socket_), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(HubTest, AMissedDropEndsTheSubscription) {
  SubscribeQuietly(kAll);
  world_.Propose(world_.catalog().DropTable(*table_), {table_->id});
  const catalog::TablePtr other = world_.CreateTable("others");
  world_.Insert(other, 1, 7, "a");
  world_.LoseCommits();
  world_.Settle();
  const json error = socket_.Take();
  EXPECT_EQ(error["type"], "error");
  EXPECT_EQ(error["code"], "NOT_FOUND");
  EXPECT_EQ(world_.hub->subscription_count(), 0u);
}

TEST_F(HubTest, OverflowsAgainAndAgainLoseNothing) {
  SubscribeQuietly("SELECT * FROM app.items WHERE room = 7");
  std::vector<std::string> expected;
  for (int64_t id = 1; id <= 60; ++id) {
    world_.Insert(table_, id, id % 3 == 0 ? 8 : 7, "a");
    if (id % 3 != 0) expected.push_back(std::to_string(id));
    if (id % 7 == 0) world_.LoseCommits();
    if (id % 10 == 0) world_.DeliverCommits(1);
    if (id % 13 == 0) world_.RunWorkerTask();
  }
  world_.Settle();
  EXPECT_EQ(Ids(&socket_), expected);
}

}  // namespace
}  // namespace kalam::live
