// The contract of LiveHub step by step: acknowledgements, batches, changes, resumes, limits, DDL.
#include <gtest/gtest.h>

#include <set>

#include "live/hub_test_world.h"

namespace kalam::live {

namespace {

using nlohmann::json;

TEST_F(HubTest, WithoutOptionsThereIsAnAckAndChangesFromNow) {
  world_.Insert(table_, 1, 7, "old");
  world_.Settle();
  Subscribe(kAll);
  const json ack = socket_.Take();
  EXPECT_EQ(ack["type"], "subscription_ack");
  EXPECT_EQ(ack["subscription_id"], "s1");
  EXPECT_EQ(ack["total_rows"], 0);
  const json control = {
      {"batch_num", 0}, {"has_more", false}, {"status", "ready"}, {"last_seq_id", nullptr}};
  EXPECT_EQ(ack["batch_control"], control);
  EXPECT_EQ(ack["schema"].size(), 5u);
  EXPECT_EQ(ack["schema"][0]["name"], "id");
  EXPECT_TRUE(socket_.messages.empty());
  const Seq seq = world_.Insert(table_, 2, 7, "new");
  world_.Settle();
  const json change = socket_.Take();
  const json expected = {{"type", "change"},
                         {"subscription_id", "s1"},
                         {"change_type", "insert"},
                         {"rows",
                          {{{"id", "2"},
                            {"room", 7},
                            {"body", "new"},
                            {"_seq", std::to_string(seq.value)},
                            {"_deleted", false}}}}};
  EXPECT_EQ(change, expected);
}

TEST_F(HubTest, SnapshotComesInExactBatchesInSeqOrder) {
  for (int id = 5; id >= 1; --id) world_.Insert(table_, id, 7, "x");
  world_.Insert(table_, 6, 8, "other room");
  world_.Settle();
  SubscribeOptions options = Options();
  options.batch_size = 2;
  Subscribe("SELECT id FROM app.items WHERE room = 7", options);
  const json ack = socket_.Take();
  EXPECT_EQ(ack["batch_control"]["has_more"], true);
  EXPECT_EQ(ack["batch_control"]["status"], "loading");
  EXPECT_EQ(ack["batch_control"]["last_seq_id"], nullptr);
  EXPECT_EQ(ack["schema"].size(), 1u);
  std::vector<std::string> ids;
  const char* statuses[] = {"loading", "loading_batch", "ready"};
  for (int batch_num = 0; batch_num < 3; ++batch_num) {
    const json batch = socket_.Take();
    EXPECT_EQ(batch["type"], "initial_data_batch");
    EXPECT_EQ(batch["batch_control"]["batch_num"], batch_num);
    EXPECT_EQ(batch["batch_control"]["status"], statuses[batch_num]);
    EXPECT_EQ(batch["batch_control"]["has_more"], batch_num < 2);
    for (const json& row : batch["rows"]) {
      ids.push_back(row["id"]);
      EXPECT_EQ(row.size(), 3u);  // id, _seq, _deleted
    }
    EXPECT_EQ(std::to_string(batch["batch_control"]["last_seq_id"].get<int64_t>()),
              batch["rows"].back()["_seq"].get<std::string>());
    EXPECT_TRUE(socket_.messages.empty());
    if (batch_num < 2) world_.hub->NextBatch(connection_, "s1", std::nullopt);
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"5", "4", "3", "2", "1"}));
}

TEST_F(HubTest, BatchesAreSmallWhereSocketsHoldAlmostWhatTheyMay) {
  const std::string wide(1'000, 'x');
  for (int id = 1; id <= 200; ++id) world_.Insert(table_, id, 7, wide);
  world_.Settle();
  world_.unsent().set_limit_bytes(8 << 20);
  Subscribe(kAll, Options());
  socket_.Take();
  EXPECT_EQ(socket_.Take()["rows"].size(), 200u) << "there is room";
  const MemoryCharge unread(world_.unsent(), 8 << 20);
  Subscribe(kAll, Options(), "s2");
  EXPECT_EQ(socket_.Take()["batch_control"]["has_more"], true);
  std::set<std::string> ids;
  for (bool more = true; more;) {
    const json batch = socket_.Take();
    EXPECT_LE(batch["rows"].size(), 20u);
    for (const json& row : batch["rows"]) ids.insert(row["id"]);
    more = batch["batch_control"]["has_more"];
    if (more) world_.hub->NextBatch(connection_, "s2", std::nullopt);
    world_.Settle();
  }
  EXPECT_EQ(ids.size(), 200u) << "nothing is left out";
}

TEST_F(HubTest, ALargeSubscriptionAsksForRoom) {
  std::string large = "SELECT * FROM app.items WHERE room = 7";
  for (int i = 0; i < 500; ++i) large += " OR body = 'something that is long'";
  MemoryAccount& account = world_.memory().Child("subscriptions");
  account.set_limit_bytes(2 << 10);
  Subscribe(kAll);
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack") << "small ones are not asked";
  Subscribe(large, {}, "s2");
  EXPECT_EQ(socket_.Take()["code"], "MEMORY_PRESSURE");
  account.set_limit_bytes(0);
  Subscribe(large, {}, "s2");
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
}

TEST_F(HubTest, ExactlyOneBatchFullHasNoMore) {
  for (int id = 1; id <= 2; ++id) world_.Insert(table_, id, 7, "x");
  world_.Settle();
  SubscribeOptions options = Options();
  options.batch_size = 2;
  Subscribe(kAll, options);
  EXPECT_EQ(socket_.Take()["batch_control"]["status"], "ready");
  EXPECT_EQ(socket_.Take()["batch_control"]["has_more"], false);
}

TEST_F(HubTest, EmptySnapshotIsOneReadyBatch) {
  Subscribe(kAll, Options());
  EXPECT_EQ(socket_.Take()["batch_control"]["status"], "ready");
  const json batch = socket_.Take();
  EXPECT_EQ(batch["rows"], json::array());
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
  EXPECT_EQ(batch["batch_control"]["last_seq_id"], nullptr);
}

TEST_F(HubTest, NoChangeComesBetweenBatchesAndNoneIsLost) {
  for (int id = 1; id <= 4; ++id) world_.Insert(table_, id, 7, "v1");
  world_.Settle();
  SubscribeOptions options = Options();
  options.batch_size = 2;
  Subscribe(kAll, options);
  socket_.Take();
  EXPECT_EQ(socket_.Take()["rows"].size(), 2u);
  // 1 was sent, 3 was not, 5 is new, 4 goes before it was sent.
  world_.Update(table_, 1, 7, "v2");
  world_.Update(table_, 3, 7, "v2");
  world_.Insert(table_, 5, 7, "v1");
  world_.Delete(table_, 4);
  world_.Settle();
  EXPECT_TRUE(socket_.messages.empty());
  world_.hub->NextBatch(connection_, "s1", 12345);
  const json batch = socket_.Take();
  EXPECT_EQ(batch["rows"].size(), 0u);
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
  const char* kinds[] = {"update", "update", "insert", "delete"};
  for (const char* kind : kinds) EXPECT_EQ(socket_.Take()["change_type"], kind);
  EXPECT_TRUE(socket_.messages.empty());
}

TEST_F(HubTest, LastRowsAreTheNewestMatchingOnesOldestFirst) {
  for (int id = 1; id <= 9; ++id) world_.Insert(table_, id, id % 2, "x");
  world_.Settle();
  SubscribeOptions options = Options();
  options.last_rows = 2;
  Subscribe("SELECT * FROM app.items WHERE room = 0", options);
  EXPECT_EQ(socket_.Take()["batch_control"]["has_more"], false);
  const json batch = socket_.Take();
  ASSERT_EQ(batch["rows"].size(), 2u);
  EXPECT_EQ(batch["rows"][0]["id"], "6");
  EXPECT_EQ(batch["rows"][1]["id"], "8");
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
}

TEST_F(HubTest, UpdatesCarryTheFullRowWithNullsAndTheDelta) {
  const Seq first = world_.Insert(table_, 1, 7, "a");
  world_.Settle();
  SubscribeQuietly(kAll);
  const Seq second = world_.Update(table_, 1, std::nullopt, "a");
  world_.Settle();
  const json expected = {
      {"type", "change"},
      {"subscription_id", "s1"},
      {"change_type", "update"},
      {"rows",
       {{{"id", "1"},
         {"room", nullptr},
         {"body", "a"},
         {"_seq", std::to_string(second.value)},
         {"_deleted", false}}}},
      {"old_values", {{{"id", "1"}, {"room", 7}, {"_seq", std::to_string(first.value)}}}}};
  EXPECT_EQ(socket_.Take(), expected);
}

TEST_F(HubTest, EnteringIsAnInsertAndLeavingADelete) {
  world_.Insert(table_, 1, 6, "a");
  world_.Settle();
  SubscribeQuietly("SELECT * FROM app.items WHERE room = 7");
  SubscribeQuietly("SELECT * FROM app.items WHERE room >= 7 AND body LIKE 'a%'", "s2");
  world_.Update(table_, 1, 7, "a");
  world_.Settle();
  EXPECT_EQ(socket_.Take()["change_type"], "insert");
  EXPECT_EQ(socket_.Take()["change_type"], "insert");
  const Seq left = world_.Update(table_, 1, 5, "a");
  world_.Settle();
  for (int i = 0; i < 2; ++i) {
    const json leave = socket_.Take();
    EXPECT_EQ(leave["change_type"], "delete");
    EXPECT_FALSE(leave.contains("rows"));
    EXPECT_EQ(leave["old_values"][0]["room"], 7);
    EXPECT_EQ(leave["old_values"][0]["_seq"], std::to_string(left.value));
    EXPECT_EQ(leave["old_values"][0]["_deleted"], true);
  }
  world_.Update(table_, 1, 4, "a");
  world_.Settle();
  EXPECT_TRUE(socket_.messages.empty());
}

TEST_F(HubTest, DeleteCarriesTheOldRowWithTheNewSeq) {
  world_.Insert(table_, 1, 7, "a");
  world_.Settle();
  SubscribeQuietly("SELECT body FROM app.items WHERE room = 7");
  const Seq seq = world_.Delete(table_, 1);
  world_.Settle();
  const json expected = {
      {{"id", "1"}, {"body", "a"}, {"_seq", std::to_string(seq.value)}, {"_deleted", true}}};
  EXPECT_EQ(socket_.Take()["old_values"], expected);
}

TEST_F(HubTest, RowsOfAnotherUserAreNeverSeen) {
  const catalog::TablePtr notes = world_.CreateTable("notes", catalog::TableType::kUser);
  world_.Insert(notes, 1, 1, "of bob", "bob");
  world_.Insert(notes, 1, 1, "of ann", "ann");
  world_.Settle();
  Subscribe("SELECT * FROM app.notes", Options());
  socket_.Take();
  const json batch = socket_.Take();
  ASSERT_EQ(batch["rows"].size(), 1u);
  EXPECT_EQ(batch["rows"][0]["body"], "of ann");
  world_.Insert(notes, 2, 1, "of bob", "bob");
  world_.Settle();
  EXPECT_TRUE(socket_.messages.empty());
  world_.Insert(notes, 2, 1, "of ann", "ann");
  world_.Settle();
  EXPECT_EQ(socket_.Take()["rows"][0]["body"], "of ann");
}

TEST_F(HubTest, ATransactionsChangesComeTogetherInOrder) {
  SubscribeQuietly(kAll);
  world_.Write(table_, "ann", [](auto& writer, const auto& scope, auto&) {
    for (int id = 1; id <= 3; ++id)
      EXPECT_TRUE(writer.Insert(scope, HubWorld::Cells(id, 7, "x")).ok());
  });
  world_.Settle();
  int64_t last = 0;
  ASSERT_EQ(socket_.messages.size(), 3u);
  while (!socket_.messages.empty()) {
    const int64_t seq = std::stoll(socket_.Take()["rows"][0]["_seq"].get<std::string>());
    EXPECT_GT(seq, last);
    last = seq;
  }
}

TEST_F(HubTest, LimitsCountRegistrationsAndGiveThemBack) {
  for (int i = 0; i < 10; ++i) SubscribeQuietly(kAll, "s" + std::to_string(i));
  Subscribe(kAll, {}, "s10");
  EXPECT_EQ(socket_.Take()["code"], "SUBSCRIPTION_LIMIT_EXCEEDED");
  world_.hub->Unsubscribe(connection_, "nobody");
  Subscribe(kAll, {}, "s10");
  EXPECT_EQ(socket_.Take()["code"], "SUBSCRIPTION_LIMIT_EXCEEDED");
  // The same id again replaces; it does not count twice.
  SubscribeQuietly("SELECT id FROM app.items", "s3");
  world_.hub->Unsubscribe(connection_, "s4");
  SubscribeQuietly(kAll, "s10");
  EXPECT_EQ(world_.hub->subscription_count(), 10u);
  EXPECT_EQ(world_.counts().count("ann"), 10u);
  world_.Insert(table_, 1, 7, "x");
  world_.Settle();
  EXPECT_EQ(socket_.messages.size(), 10u);
  world_.hub->RemoveConnection(connection_);
  EXPECT_EQ(world_.hub->subscription_count(), 0u);
  EXPECT_EQ(world_.counts().count("ann"), 0u);
  EXPECT_EQ(world_.memory().Child("subscriptions").used_bytes(), 0);
}

TEST_F(HubTest, RefusalsHaveTheirCodes) {
  const auto code_of = [this](const std::string& sql, const SubscribeOptions& options,
                              const std::string& id) {
    Subscribe(sql, options, id);
    const json error = socket_.Take();
    EXPECT_EQ(error["type"], "error") << error;
    return error["code"].get<std::string>() + " " + error["subscription_id"].get<std::string>();
  };
  SubscribeOptions wrong = Options();
  wrong.last_rows = 1001;
  EXPECT_EQ(code_of(kAll, {}, " "), "INVALID_SUBSCRIPTION_ID invalid_subscription");
  EXPECT_EQ(code_of(kAll, wrong, "s"), "UNSUPPORTED s");
  EXPECT_EQ(code_of("SELECT * FROM app.items ORDER BY id", {}, "s"), "INVALID_SQL s");
  EXPECT_EQ(code_of("SELECT * FROM app.nothing", {}, "s"), "NOT_FOUND s");
  EXPECT_EQ(world_.counts().count("ann"), 0u);
  world_.hub->NextBatch(connection_, "ghost", std::nullopt);
  const json error = socket_.Take();
  EXPECT_EQ(error["code"], "BATCH_FETCH_FAILED");
  EXPECT_EQ(error["subscription_id"], "ghost");
}

TEST_F(HubTest, DropEndsSubscriptionsWithAnError) {
  SubscribeQuietly(kAll);
  world_.Propose(world_.catalog().DropTable(*table_), {table_->id});
  world_.Settle();
  const json error = socket_.Take();
  EXPECT_EQ(error["code"], "NOT_FOUND");
  EXPECT_EQ(error["subscription_id"], "s1");
  EXPECT_EQ(world_.hub->subscription_count(), 0u);
}

TEST_F(HubTest, AlterKeepsSubscriptionsWhoseColumnsStay) {
  SubscribeQuietly(kAll);
  SubscribeQuietly("SELECT body FROM app.items WHERE room = 7", "s2");
  SubscribeQuietly("SELECT id FROM app.items WHERE room = 7", "s3");
  // Drops `body` and adds `score`.
  auto next = std::make_shared<catalog::TableDefinition>(*table_);
  auto columns = *table_->columns;
  columns.erase(columns.begin() + 2);
  catalog::ColumnDefinition score;
  score.column_id = next->next_column_id++;
  score.name = "score";
  score.type = DataType::Of(TypeKind::kInt);
  columns.push_back(score);
  next->columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
  auto layouts = *table_->layouts;
  layouts.push_back(catalog::LayoutOf(columns));
  next->layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
  next->schema_version = 2;
  world_.Propose(world_.catalog().PutTable(*next), {});
  world_.Settle();
  const json error = socket_.Take();
  EXPECT_EQ(error["subscription_id"], "s2");
  EXPECT_EQ(error["code"], "INVALID_SQL");
  EXPECT_TRUE(socket_.messages.empty());
  const catalog::TablePtr altered = world_.catalog().FindTable("app", "items").value();
  world_.Write(altered, "ann", [](auto& writer, const auto& scope, auto&) {
    const std::vector<Datum> cells = {
        Datum::BigInt(1), Datum::OfInt(TypeKind::kInt, 7), Datum::Null(TypeKind::kBigInt),
        Datum::Null(TypeKind::kBoolean), Datum::OfInt(TypeKind::kInt, 3)};
    EXPECT_TRUE(writer.Insert(scope, cells).ok());
  });
  world_.Settle();
  std::map<std::string, json> rows;
  while (!socket_.messages.empty()) {
    const json change = socket_.Take();
    rows[change["subscription_id"]] = change["rows"][0];
  }
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows["s1"]["score"], 3);
  EXPECT_FALSE(rows["s1"].contains("body"));
  EXPECT_EQ(rows["s3"]["id"], "1");
}

TEST_F(HubTest, KillAndListKnowSubscriptionsByLiveId) {
  SubscribeQuietly("SELECT * FROM app.items WHERE room = 7");
  SubscribeOptions options = Options();
  options.batch_size = 5;
  Subscribe("SELECT * FROM app.items WHERE room = 12345", options, "a-b");
  socket_.messages.clear();
  const std::vector<LiveRecord> records = world_.hub->List();
  ASSERT_EQ(records.size(), 2u);
  const LiveRecord& record = records[0].subscription_id == "a-b" ? records[0] : records[1];
  EXPECT_EQ(record.query, "SELECT * FROM app.items WHERE room = 12345");
  EXPECT_EQ(record.options_json, R"({"batch_size":5})");
  EXPECT_EQ(record.namespace_id, "app");
  EXPECT_EQ(record.table_name, "items");
  EXPECT_EQ(record.user_id, "ann");
  EXPECT_EQ(record.live_id, "ann-" + record.connection_id + "-a-b");
  EXPECT_FALSE(world_.hub->Kill("ann-999-a-b"));
  EXPECT_FALSE(world_.hub->Kill(""));
  EXPECT_TRUE(world_.hub->Kill(record.live_id));
  EXPECT_EQ(socket_.Take()["subscription_id"], "a-b");
  EXPECT_FALSE(world_.hub->Kill(record.live_id));
  EXPECT_EQ(world_.hub->subscription_count(), 1u);
}

TEST_F(HubTest, OneEncodingServesAllWithTheSameProjection) {
  world_.hub->Close();
  LiveLimits limits;
  limits.subscriptions_per_user = 1000;
  HubWorld world(limits);
  const catalog::TablePtr table = world.CreateTable();
  world.Settle();
  std::vector<std::unique_ptr<ScriptedSubscriber>> sockets;
  for (int i = 0; i < 100; ++i) {
    sockets.push_back(std::make_unique<ScriptedSubscriber>("ann", WireFormat{i % 2 == 1, false}));
    const ConnectionId connection = world.hub->AddConnection(*sockets.back());
    world.hub->Subscribe(connection, "s" + std::to_string(i),
                         "SELECT * FROM app.items WHERE room = 7", {});
    sockets.back()->messages.clear();
  }
  world.Insert(table, 1, 7, "x");
  world.Settle();
  for (const auto& socket : sockets) ASSERT_EQ(socket->messages.size(), 1u);
  EXPECT_EQ(world.metrics().counter("live_encodings").value(), 2);
  EXPECT_EQ(world.metrics().counter("live_deliveries").value(), 100);
}

TEST_F(HubTest, DistinctConstantsShareOneQueryAndAreFoundByTheirConstant) {
  LiveLimits limits;
  limits.subscriptions_per_user = 100'000;
  HubWorld world(limits);
  const catalog::TablePtr table = world.CreateTable();
  world.Settle();
  constexpr int kCount = 10'000;
  std::vector<std::unique_ptr<ScriptedSubscriber>> sockets;
  std::vector<ConnectionId> connections;
  for (int i = 0; i < kCount; ++i) {
    sockets.push_back(std::make_unique<ScriptedSubscriber>());
    connections.push_back(world.hub->AddConnection(*sockets.back()));
  }
  MemoryAccount& account = world.memory().Child("subscriptions");
  for (int i = 0; i < kCount; ++i) {
    std::string id = "subscription-" + std::to_string(100'000'000'000 + i);
    world.hub->Subscribe(connections[static_cast<size_t>(i)], id,
                         "SELECT * FROM app.items WHERE room = " + std::to_string(1'000'000 + i),
                         {});
    sockets[static_cast<size_t>(i)]->messages.clear();
  }
  EXPECT_LE(account.used_bytes() / kCount, 400);
  world.Insert(table, 1, 1'000'000 + 4711, "x");
  world.Settle();
  int messages = 0;
  for (const auto& socket : sockets) messages += static_cast<int>(socket->messages.size());
  EXPECT_EQ(messages, 1);
  EXPECT_EQ(sockets[4711]->messages.size(), 1u);
}

TEST_F(HubTest, SubscriptionsWithoutAFilterShareTheirQuery) {
  LiveLimits limits;
  limits.subscriptions_per_user = 100'000;
  limits.subscriptions_per_connection = 100'000;
  HubWorld world(limits);
  world.CreateTable();
  world.Settle();
  const ConnectionId connection = world.hub->AddConnection(socket_);
  constexpr int kCount = 1000;
  for (int i = 0; i < kCount; ++i) {
    world.hub->Subscribe(connection, "s" + std::to_string(i), kAll, {});
  }
  EXPECT_LE(world.memory().Child("subscriptions").used_bytes() / kCount, 300);
  world.hub->RemoveConnection(connection);
}

TEST_F(HubTest, LargeSnapshotsAreReadByWorkers) {
  for (int id = 1; id <= 600; ++id) world_.Insert(table_, id, id % 300 == 0 ? 7 : 1, "x");
  world_.Settle();
  Subscribe("SELECT * FROM app.items WHERE room = 7", Options());
  EXPECT_TRUE(socket_.messages.empty());
  EXPECT_EQ(world_.worker_task_count(), 1u);
  world_.RunTasks();
  EXPECT_EQ(socket_.Take()["type"], "subscription_ack");
  EXPECT_EQ(socket_.Take()["rows"].size(), 2u);
  // A subscription that goes while its read is on the way leaves nothing behind.
  Subscribe("SELECT * FROM app.items WHERE room = 7", Options(), "s2");
  world_.hub->RemoveConnection(connection_);
  world_.RunTasks();
  EXPECT_TRUE(socket_.messages.empty());
  EXPECT_EQ(world_.hub->subscription_count(), 0u);
}

TEST_F(HubTest, StreamRowsHaveNoDeletedAndDeletesNameTheRow) {
  const catalog::TablePtr stream = world_.CreateTable("events", catalog::TableType::kStream, 3600);
  world_.Settle();
  SubscribeQuietly("SELECT * FROM app.events");
  world_.Write(stream, "ann", [](auto& writer, const auto& scope, auto&) {
    const std::vector<Datum> cells = {Datum::BigInt(1), Datum::OfInt(TypeKind::kInt, 7),
                                      Datum::Text("x"), Datum::Null(TypeKind::kBigInt)};
    EXPECT_TRUE(writer.Insert(scope, cells).ok());
  });
  world_.Settle();
  const json insert = socket_.Take();
  EXPECT_EQ(insert["change_type"], "insert");
  EXPECT_FALSE(insert["rows"][0].contains("_deleted"));
  EXPECT_TRUE(insert["rows"][0].contains("_seq"));
}

TEST_F(HubTest, QuietSubscriptionsGetTheHeadBeforeTheirCursorIsTooOld) {
  world_.Insert(table_, 1, 7, "x");
  world_.Settle();
  SubscribeQuietly("SELECT * FROM app.items WHERE room = 99");
  world_.clock().AdvanceUs(int64_t{3} * 24 * 3600 * 1'000'000);
  world_.Insert(table_, 2, 7, "x");
  world_.Settle();
  const json batch = socket_.Take();
  EXPECT_EQ(batch["type"], "initial_data_batch");
  EXPECT_EQ(batch["rows"], json::array());
  EXPECT_EQ(batch["batch_control"]["status"], "ready");
  EXPECT_EQ(batch["batch_control"]["last_seq_id"], world_.group().published_seq().value);
}

}  // namespace
}  // namespace kalam::live
