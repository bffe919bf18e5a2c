// Falling behind and coming back: stalled sockets, resumes from the tail, the log and the current
// state.
#include <gtest/gtest.h>

#include "live/hub_test_world.h"
#include "tables/lost_history.h"
#include "tables/retention.h"

namespace kalam::live {
namespace {

using nlohmann::json;

TEST_F(HubTest, ResumeAnswersWithAnEmptyReadyBatchAndThenChanges) {
  const Seq first = world_.Insert(table_, 1, 7, "a");
  world_.Update(table_, 1, 7, "b");
  world_.Delete(table_, 1);
  world_.Settle();
  Subscribe(kAll, Options(first.value));
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["batch_control"]["last_seq_id"], nullptr);
  const json batch = socket_.Take();
  EXPECT_EQ(batch["rows"], json::array());
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
  EXPECT_EQ(batch["batch_control"]["last_seq_id"], first.value);
  EXPECT_EQ(socket_.Take()["change_type"], "update");
  EXPECT_EQ(socket_.Take()["change_type"], "delete");
  EXPECT_TRUE(socket_.messages.empty());
  world_.Insert(table_, 2, 7, "a");
  world_.Settle();
  EXPECT_EQ(socket_.Take()["rows"][0]["id"], "2");
}

/// What a client with `from` gets when the change log is gone up to now.
class HubStateReplayTest : public HubTest {
 protected:
  HubStateReplayTest() {
    world_.Insert(table_, 1, 7, "leaves");
    world_.Insert(table_, 2, 7, "goes");
    seen_ = world_.Insert(table_, 3, 8, "enters");
    world_.Update(table_, 1, 8, "leaves");
    world_.Update(table_, 3, 7, "enters");
    world_.Delete(table_, 2);
    world_.Insert(table_, 4, 7, "new");
    world_.Update(table_, 4, 7, "newer");
    const Seq floor = world_.group().published_seq();
    world_.Propose(tables::RaiseFloor(table_->id, floor), {});
    world_.Start();
    connection_ = world_.hub->AddConnection(socket_);
  }
  Seq seen_;
};

TEST_F(HubStateReplayTest, RowsAndTombstonesComeAsChangesBySeq) {
  Subscribe("SELECT * FROM app.items WHERE room = 7", Options(seen_.value));
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  const json batch = socket_.Take();
  EXPECT_EQ(batch["rows"], json::array());
  EXPECT_EQ(batch["batch_control"]["last_seq_id"], seen_.value);
  std::vector<std::string> events;
  int64_t last = seen_.value;
  while (!socket_.messages.empty()) {
    const json change = socket_.Take();
    const json& row =
        change["change_type"] == "delete" ? change["old_values"][0] : change["rows"][0];
    EXPECT_GT(std::stoll(row["_seq"].get<std::string>()), last);
    last = std::stoll(row["_seq"].get<std::string>());
    events.push_back(change["change_type"].get<std::string>() + " " + row["id"].get<std::string>());
  }
  EXPECT_EQ(events, (std::vector<std::string>{"delete 1", "insert 3", "delete 2", "insert 4"}));
  world_.Update(table_, 4, 9, "left");
  world_.Settle();
  EXPECT_EQ(socket_.Take()["change_type"], "delete");
}

TEST_F(HubStateReplayTest, APurgedTombstoneEndsWhatTheStateCanTell) {
  tables::TableReader reader(world_.store(), world_.clock());
  const auto purge = tables::PrepareTombstonePurge(reader, world_.group().TakeView(), table_,
                                                   world_.group().published_seq(), 100, "");
  ASSERT_TRUE(purge.ok());
  ASSERT_EQ(purge->tombstone_count, 1);
  ASSERT_TRUE(replication::ProposeAndWait(world_.group(), purge->command).status.ok());
  world_.Settle();
  SubscribeOptions options = Options(seen_.value);
  options.reports_cursor_too_old = true;
  Subscribe("SELECT * FROM app.items WHERE room = 7", options);
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["code"], "CURSOR_TOO_OLD");
  EXPECT_TRUE(socket_.messages.empty());
  // A client that does not know the code gets the rows as if it were new.
  Subscribe("SELECT id FROM app.items WHERE room = 7", Options(seen_.value), "s2");
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  const json batch = socket_.Take();
  EXPECT_EQ(batch["rows"].size(), 2u);
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
  EXPECT_TRUE(socket_.messages.empty());
}

TEST_F(HubTest, ResumeFromTheFutureIsASnapshotOrAnErrorForThoseWhoAsk) {
  world_.Insert(table_, 1, 7, "a");
  world_.Settle();
  const int64_t future = world_.group().published_seq().value + 1000;
  Subscribe(kAll, Options(future));
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  EXPECT_EQ(socket_.Take()["rows"].size(), 1u);
  SubscribeOptions options = Options(future);
  options.reports_cursor_too_old = true;
  Subscribe(kAll, options, "s2");
  EXPECT_EQ(socket_.Take()["code"], "CURSOR_TOO_OLD");
  EXPECT_EQ(world_.hub->subscription_count(), 1u);
}

TEST_F(HubTest, ACursorOfWhatARestoreHasUndoneIsTooOld) {
  const Seq first = world_.Insert(table_, 1, 7, "a");
  const Seq undone = world_.Insert(table_, 2, 7, "b");
  const Seq third = world_.Insert(table_, 3, 7, "c");
  const catalog::TablePtr other = world_.CreateTable("other");
  world_.Propose({tables::SetLostHistory(table_->id, {.after = first, .before = third})}, {});
  world_.Settle();
  SubscribeOptions options = Options(undone.value);
  options.reports_cursor_too_old = true;
  Subscribe(kAll, options, "lost");
  EXPECT_EQ(socket_.Take()["code"], "CURSOR_TOO_OLD");
  Subscribe("SELECT * FROM app.other", options, "other");
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  EXPECT_EQ(socket_.Take()["rows"], json::array());
  for (const Seq known : {first, third}) {
    options.from_seq = known.value;
    Subscribe(kAll, options, "at " + std::to_string(known.value));
    world_.RunTasks();
    EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
    EXPECT_EQ(socket_.Take()["rows"], json::array());
    socket_.messages.clear();
  }
  // Everything was restored later, to a state between the two that are left.
  const auto all = tables::NoteLostHistory(world_.store(), TableId{}, {undone, {third.value + 1}});
  world_.Propose(*all, {});
  const auto more = tables::NoteLostHistory(world_.store(), TableId{}, {{5}, {7}});
  world_.Propose(*more, {});
  world_.Settle();
  options.from_seq = third.value;
  for (const char* table : {"items", "other"}) {
    Subscribe(std::string("SELECT * FROM app.") + table, options, std::string("all ") + table);
    EXPECT_EQ(socket_.Take()["code"], "CURSOR_TOO_OLD");
  }
  options.from_seq = 6;
  Subscribe(kAll, options, "six");
  EXPECT_EQ(socket_.Take()["code"], "CURSOR_TOO_OLD");
  world_.Propose({tables::ForgetLostHistory(TableId{})}, {});
  options.from_seq = third.value;
  Subscribe(kAll, options, "again");
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
}

TEST_F(HubTest, ACursorAheadOfThisCoreWaitsForIt) {
  world_.Insert(table_, 1, 7, "a");
  const Seq second = world_.Insert(table_, 2, 7, "b");
  world_.Insert(table_, 3, 7, "c");
  // Another core has shown the client 2 already; this one has not heard of anything.
  Subscribe(kAll, Options(second.value));
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  EXPECT_EQ(socket_.Take()["type"], "initial_data_batch");
  world_.Settle();
  EXPECT_EQ(socket_.Take()["rows"][0]["id"], "3");
  EXPECT_TRUE(socket_.messages.empty());
}

TEST_F(HubTest, TheTailIsNotTrustedForTablesThatNobodyWatched) {
  const catalog::TablePtr other = world_.CreateTable("other");
  world_.Insert(other, 1, 1, "first");
  const Seq before = world_.Insert(table_, 1, 7, "x");
  world_.Settle();
  ScriptedSubscriber slow;
  const ConnectionId slow_connection = world_.hub->AddConnection(slow);
  world_.hub->Subscribe(slow_connection, "slow", kAll, {});
  slow.full = true;
  world_.Insert(table_, 2, 7, "kept in the tail");
  world_.Insert(other, 2, 1, "while nobody watched");
  world_.Settle();
  Subscribe("SELECT * FROM app.other", Options(before.value));
  world_.RunTasks();
  socket_.Take();
  socket_.Take();
  EXPECT_EQ(socket_.Take()["rows"][0]["id"], "2");
}

TEST_F(HubTest, AFullSocketGetsEverythingInOrderOnceItDrains) {
  SubscribeQuietly(kAll);
  socket_.full = true;
  for (int id = 1; id <= 10; ++id) world_.Insert(table_, id, 7, "x");
  world_.Settle();
  EXPECT_TRUE(socket_.messages.empty());
  socket_.full = false;
  socket_.messages_until_full = 3;
  world_.hub->OnWritable(connection_);
  world_.RunTasks();
  EXPECT_EQ(socket_.messages.size(), 3u);
  world_.Insert(table_, 11, 7, "x");
  world_.Settle();
  EXPECT_EQ(socket_.messages.size(), 3u);
  socket_.full = false;
  world_.hub->OnWritable(connection_);
  world_.RunTasks();
  for (int id = 1; id <= 11; ++id) EXPECT_EQ(socket_.Take()["rows"][0]["id"], std::to_string(id));
  EXPECT_TRUE(socket_.messages.empty());
  EXPECT_EQ(world_.metrics().counter("live_catch_up_reads").value(), 0);
}

}  // namespace
}  // namespace kalam::live
