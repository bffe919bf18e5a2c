// Random writes, stalled sockets, disconnects, resumes and restarts against a model of what every
// subscriber must see.
//
// Strategy: a seeded scheduler picks one of: a statement of 1 to 4 row changes, the delivery of
// some commits, a task of the core or of a worker, a socket filling up or draining, a new or ended
// connection, a restart of the hub. Invariants: each subscriber gets exactly the changes that its
// filter makes of the commits after its snapshot (or its cursor), each once, by `_seq`; snapshot
// plus changes are the rows of the table that match. At the end everybody is level.
#include <gtest/gtest.h>

#include <set>

#include "live/hub_test_world.h"

namespace kalam::live {
namespace {

using nlohmann::json;

struct ModelRow {
  std::optional<int> room;
  std::string body;
  bool operator==(const ModelRow&) const = default;
};

struct ModelChange {
  int64_t seq = 0;
  std::string user;
  int64_t id = 0;
  std::optional<ModelRow> before, after;
};

/// A subscription's text and the same filter in C++.
struct Watch {
  std::string where;
  std::function<bool(const ModelRow&)> matches;
};

std::vector<Watch> Watches() {
  std::vector<Watch> watches;
  watches.push_back({"", [](const ModelRow&) { return true; }});
  for (int room = 0; room < 3; ++room) {
    watches.push_back({" WHERE room = " + std::to_string(room),
                       [room](const ModelRow& row) { return row.room == room; }});
    watches.push_back(
        {" WHERE room = " + std::to_string(room) + " AND body LIKE 'a%'",
         [room](const ModelRow& row) { return row.room == room && row.body[0] == 'a'; }});
  }
  watches.push_back(
      {" WHERE room > 0", [](const ModelRow& row) { return row.room && *row.room > 0; }});
  watches.push_back({" WHERE room IS NULL OR body = 'b'",
                     [](const ModelRow& row) { return !row.room || row.body == "b"; }});
  return watches;
}

/// A client: follows the protocol, keeps rows, and checks what it is told.
class Client {
 public:
  Client(HubWorld& world, const Watch& watch, std::string table, std::string user, std::string name,
         bool msgpack)
      : world_(world),
        watch_(watch),
        table_(std::move(table)),
        user_(std::move(user)),
        name_(std::move(name)),
        format_{msgpack, true} {}

  void Connect(SubscribeOptions options) {
    socket_ = std::make_unique<ScriptedSubscriber>(user_, format_);
    connection_ = world_.hub->AddConnection(*socket_);
    loaded_ = false;
    batch_seq_ = 0;
    if (seen_ > 0) {
      options = {};
      options.present = true;
      options.from_seq = seen_;
      resuming_ = true;
      // The newest row of a snapshot may be older than the head at which it was taken.
      if (changes_.empty()) since_ = std::min(since_, seen_);
    } else {
      rows_.clear();
      changes_.clear();
      since_ = world_.delivered_seq().value;
      resuming_ = false;
    }
    world_.hub->Subscribe(connection_, name_, "SELECT * FROM " + table_ + watch_.where, options);
  }
  void Disconnect() {
    if (socket_ == nullptr) return;
    Read();
    world_.hub->RemoveConnection(connection_);
    socket_.reset();
    if (!loaded_ && !resuming_) {
      // The snapshot was cut off: begin again.
      Forget();
    }
  }
  /// Begins from nothing at the next connect.
  void Forget() {
    seen_ = 0;
    since_ = INT64_MAX;
    rows_.clear();
    changes_.clear();
  }
  bool connected() const { return socket_ != nullptr; }
  bool loaded() const { return loaded_; }
  ScriptedSubscriber& socket() { return *socket_; }
  ConnectionId connection() const { return connection_; }
  const Watch& watch() const { return watch_; }
  const std::string& user() const { return user_; }
  const std::string& table() const { return table_; }
  const std::map<int64_t, ModelRow>& rows() const { return rows_; }
  const std::vector<std::pair<int64_t, std::string>>& changes() const { return changes_; }
  /// Every change after this one has to come.
  int64_t since() const { return since_; }

  void Read() {
    while (connected() && !socket_->messages.empty()) Handle(socket_->Take());
  }

 private:
  static ModelRow RowOf(const json& row) {
    ModelRow out;
    if (!row["room"].is_null()) out.room = row["room"].get<int>();
    out.body = row["body"].get<std::string>();
    return out;
  }
  static int64_t SeqOf(const json& row) { return std::stoll(row["_seq"].get<std::string>()); }

  void Handle(const json& message) {
    ASSERT_EQ(message["subscription_id"], name_);
    if (message["type"] == "subscription_ack") {
      ASSERT_FALSE(loaded_);
    } else if (message["type"] == "initial_data_batch") {
      ASSERT_FALSE(loaded_) << "a batch after the last one";
      for (const json& row : message["rows"]) {
        ASSERT_FALSE(resuming_);
        ASSERT_GT(SeqOf(row), batch_seq_);
        batch_seq_ = SeqOf(row);
        ASSERT_TRUE(rows_.emplace(std::stoll(row["id"].get<std::string>()), RowOf(row)).second)
            << "row sent twice";
      }
      if (message["batch_control"]["has_more"].get<bool>()) {
        world_.hub->NextBatch(connection_, name_, std::nullopt);
      } else {
        loaded_ = true;
        seen_ = std::max(seen_, batch_seq_);
        batch_seq_ = 0;
      }
    } else {
      ASSERT_EQ(message["type"], "change") << message;
      ASSERT_TRUE(loaded_) << "a change before the last batch";
      const std::string kind = message["change_type"];
      const json& row = kind == "delete" ? message["old_values"][0] : message["rows"][0];
      const int64_t id = std::stoll(row["id"].get<std::string>());
      ASSERT_GT(SeqOf(row), seen_) << "repeated or out of order";
      seen_ = SeqOf(row);
      changes_.emplace_back(seen_, kind);
      if (kind == "delete") {
        rows_.erase(id);
      } else {
        rows_[id] = RowOf(row);
      }
    }
  }

  HubWorld& world_;
  const Watch& watch_;
  const std::string table_;
  const std::string user_;
  const std::string name_;
  const WireFormat format_;
  std::unique_ptr<ScriptedSubscriber> socket_;
  ConnectionId connection_ = 0;
  bool loaded_ = false;
  bool resuming_ = false;
  int64_t batch_seq_ = 0;
  int64_t seen_ = 0;  // the resume cursor
  int64_t since_ = INT64_MAX;
  std::map<int64_t, ModelRow> rows_;
  std::vector<std::pair<int64_t, std::string>> changes_;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), world_(Limits(seed)), watches_(Watches()) {
    tables_.push_back(world_.CreateTable("items", catalog::TableType::kShared));
    tables_.push_back(world_.CreateTable("notes", catalog::TableType::kUser));
    world_.Settle();
    for (size_t i = 0; i < 12; ++i) {
      clients_.push_back(std::make_unique<Client>(
          world_, watches_[Pick(watches_.size())], Pick(2) == 0 ? "app.items" : "app.notes",
          Pick(2) == 0 ? "ann" : "bob", "client-" + std::to_string(i), Pick(2) == 0));
    }
  }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); ++step) Step();
    Finish();
  }

 private:
  static LiveLimits Limits(uint64_t seed) {
    LiveLimits limits;
    limits.subscriptions_per_user = 1000;
    // Small, so that the change log is read as well as the tail.
    limits.tail_bytes_max = seed % 3 == 0 ? 1 : 2000;
    limits.catch_up_chunk_bytes = 256;
    limits.snapshot_batch_bytes_max = seed % 2 == 0 ? 200 : 1 << 20;
    return limits;
  }

  size_t Pick(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }

  void Step() {
    Client& client = *clients_[Pick(clients_.size())];
    switch (Pick(12)) {
      case 0:
      case 1:
      case 2:
        Statement();
        break;
      case 3:
        world_.DeliverCommits(1 + Pick(3));
        break;
      case 4:
        world_.RunCoreTask();
        break;
      case 5:
        world_.RunWorkerTask();
        break;
      case 6:
        client.Read();
        break;
      case 7:
        if (client.connected()) client.socket().full = true;
        break;
      case 8:
        if (client.connected()) {
          client.Read();
          client.socket().messages_until_full = static_cast<int>(Pick(4));
          client.socket().full = false;
          world_.hub->OnWritable(client.connection());
        }
        break;
      case 9:
        if (client.connected() && Pick(3) == 0) {
          client.Disconnect();
          if (Pick(3) == 0) {
            CheckChanges(client, /*complete=*/false);
            client.Forget();
          }
        } else if (!client.connected()) {
          Connect(client);
        }
        break;
      case 10:
        if (Pick(40) == 0) Restart();
        break;
      default:
        world_.clock().AdvanceUs(static_cast<int64_t>(Pick(2000)));
    }
  }

  void Connect(Client& client) {
    SubscribeOptions options;
    options.present = true;
    options.batch_size = 1 + Pick(4);
    client.Connect(options);
  }

  void Restart() {
    for (const auto& client : clients_) client->Disconnect();
    world_.Start();
  }

  void Statement() {
    const size_t which = Pick(2);
    const catalog::TablePtr& table = tables_[which];
    const std::string user = which == 0 ? "" : Pick(2) == 0 ? "ann" : "bob";
    auto& rows = rows_[{which, user}];
    std::vector<ModelChange> staged;
    std::set<int64_t> touched;
    const Seq begin = world_.Write(table, user, [&](auto& writer, const auto& scope, auto& reader) {
      for (size_t count = 1 + Pick(4); count > 0; --count) {
        const auto id = static_cast<int64_t>(Pick(12));
        if (!touched.insert(id).second) continue;
        ModelChange change;
        change.user = user;
        change.id = id;
        if (rows.count(id) != 0) change.before = rows[id];
        if (!change.before || Pick(3) != 0) {
          change.after =
              ModelRow{Pick(5) == 0 ? std::nullopt : std::optional<int>(static_cast<int>(Pick(4))),
                       std::string(1, static_cast<char>('a' + Pick(3)))};
        }
        if (change.before == change.after) continue;
        const auto row = reader.Get(scope, HubWorld::Key(id), false);
        ASSERT_TRUE(row.ok());
        ASSERT_EQ(row->has_value(), change.before.has_value());
        if (!change.before) {
          ASSERT_TRUE(
              writer.Insert(scope, HubWorld::Cells(id, change.after->room, change.after->body))
                  .ok());
        } else if (change.after) {
          ASSERT_TRUE(
              writer
                  .Update(scope, **row, HubWorld::Cells(id, change.after->room, change.after->body))
                  .ok());
        } else {
          ASSERT_TRUE(writer.Delete(scope, **row).ok());
        }
        staged.push_back(change);
      }
    });
    for (size_t i = 0; i < staged.size(); ++i) {
      staged[i].seq = begin.value + static_cast<int64_t>(i);
      if (staged[i].after) {
        rows[staged[i].id] = *staged[i].after;
      } else {
        rows.erase(staged[i].id);
      }
      history_[which].push_back(staged[i]);
    }
  }

  void Finish() {
    for (int round = 0; round < 60; ++round) {
      for (const auto& client : clients_) {
        if (!client->connected()) Connect(*client);
        client->Read();
        client->socket().messages_until_full = 0;
        client->socket().full = false;
        world_.hub->OnWritable(client->connection());
      }
      world_.Settle();
      for (const auto& client : clients_) client->Read();
    }
    for (const auto& client : clients_) Check(*client);
  }

  void Check(const Client& client) {
    ASSERT_TRUE(client.loaded());
    const size_t which = client.table() == "app.items" ? 0 : 1;
    const std::string user = which == 0 ? "" : client.user();
    std::map<int64_t, ModelRow> expected_rows;
    for (const auto& [id, row] : rows_[{which, user}]) {
      if (client.watch().matches(row)) expected_rows.emplace(id, row);
    }
    EXPECT_EQ(client.rows(), expected_rows) << client.watch().where;
    CheckChanges(client, /*complete=*/true);
  }

  /// Every change since the snapshot has come, in order; what has not come yet may only be missing
  /// at the end.
  void CheckChanges(const Client& client, bool complete) {
    const size_t which = client.table() == "app.items" ? 0 : 1;
    const std::string user = which == 0 ? "" : client.user();
    std::vector<std::pair<int64_t, std::string>> expected;
    for (const ModelChange& change : history_[which]) {
      if (change.user != user || change.seq <= client.since()) continue;
      const bool before = change.before && client.watch().matches(*change.before);
      const bool after = change.after && client.watch().matches(*change.after);
      if (before && after) expected.emplace_back(change.seq, "update");
      if (!before && after) expected.emplace_back(change.seq, "insert");
      if (before && !after) expected.emplace_back(change.seq, "delete");
    }
    if (!complete && expected.size() > client.changes().size())
      expected.resize(client.changes().size());
    ASSERT_EQ(client.changes(), expected) << client.watch().where;
  }

  std::mt19937_64 random_;
  HubWorld world_;
  const std::vector<Watch> watches_;
  std::vector<catalog::TablePtr> tables_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<std::pair<size_t, std::string>, std::map<int64_t, ModelRow>> rows_;
  std::vector<ModelChange> history_[2];
};

class HubPropertyTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(HubPropertyTest, EverySubscriberSeesExactlyItsChanges) {
  SCOPED_TRACE("replay: live_test --gtest_filter=*EverySubscriberSeesExactlyItsChanges/" +
               std::to_string(GetParam()));
  Simulation(GetParam()).Run(3000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, HubPropertyTest, ::testing::Range<uint64_t>(0, 20));

}  // namespace
}  // namespace kalam::live
