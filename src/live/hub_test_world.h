// A hub over a real store and group, with everything around it in the test's hand: time, threads,
// sockets.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "live/live_hub.h"
#include "replication/group.h"
#include "storage/store.h"
#include "tables/table_writer.h"
#include "types/key_codec.h"

namespace kalam::live {

/// A socket that takes messages as long as the test says so.
class ScriptedSubscriber : public Subscriber {
 public:
  explicit ScriptedSubscriber(std::string user = "ann", WireFormat format = {false, false})
      : caller_{std::move(user), catalog::Role::kDba}, format_(format) {}

  void Send(OutgoingMessage message) override {
    std::string bytes = message.head + (message.body ? *message.body : "") + message.tail;
    if (bytes.substr(0, 2) == "\x1f\x8b") bytes = *Gunzip(bytes, 64 << 20);
    messages.push_back(format_.msgpack ? nlohmann::json::from_msgpack(bytes)
                                       : nlohmann::json::parse(bytes));
    if (messages_until_full > 0 && --messages_until_full == 0) full = true;
  }
  bool writable() const override { return !full; }
  const WireFormat& format() const override { return format_; }
  const catalog::Caller& caller() const override { return caller_; }

  nlohmann::json Take() {
    if (messages.empty()) return nullptr;
    nlohmann::json message = std::move(messages.front());
    messages.pop_front();
    return message;
  }

  std::deque<nlohmann::json> messages;
  bool full = false;
  int messages_until_full = 0;  // 0: never

 private:
  const catalog::Caller caller_;
  const WireFormat format_;
};

/// The world around one hub. Commits wait in a mailbox, tasks of the core and of the workers in
/// queues.
class HubWorld {
 public:
  explicit HubWorld(LiveLimits limits = {}) : memory_("test", nullptr) {
    std::string pattern = (std::filesystem::temp_directory_path() / "kalam_live_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    storage::StoreOptions store_options;
    store_options.path = directory_;
    store_ = std::move(storage::Store::Open(store_options)).value();
    catalog_ = std::move(catalog::Catalog::Open(*store_, memory_, 64)).value();
    replication::StandaloneOptions options;
    options.durability = storage::Durability::kOs;
    options.clock = &clock_;
    options.metrics = &metrics_;
    options.account = &memory_;
    group_ = std::move(replication::OpenStandaloneGroup(*store_, *catalog_, options)).value();
    observer_ =
        group_->AddObserver([this](std::shared_ptr<const replication::CommittedBatch> batch) {
          const std::lock_guard lock(mailbox_mutex_);
          mailbox_.push_back(std::move(batch));
        });
    limits_ = limits;
    Start();
  }

  ~HubWorld() {
    hub.reset();
    RunTasks();
    group_->RemoveObserver(observer_);
    group_->Close();
    group_.reset();
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  /// A new hub, as after a restart of the server.
  void Start() {
    hub.reset();
    RunTasks();
    {
      const std::lock_guard lock(mailbox_mutex_);
      mailbox_.clear();
    }
    LiveHub::Dependencies dependencies{*store_,  *catalog_, *group_, clock_, memory_,
                                       metrics_, {},        {},      {},     &counts_};
    dependencies.post = [this](std::function<void()> task) {
      core_tasks_.push_back(std::move(task));
    };
    dependencies.post_worker = [this](std::function<void()> task) {
      worker_tasks_.push_back(std::move(task));
    };
    dependencies.unsent = &unsent_;
    hub = LiveHub::Make(std::move(dependencies), limits_);
    delivered_seq_ = group_->published_seq();
  }

  /// app.items (id BIGINT PRIMARY KEY, room INT, body TEXT), or another name and type.
  catalog::TablePtr CreateTable(const std::string& name = "items",
                                catalog::TableType type = catalog::TableType::kShared,
                                uint64_t ttl_seconds = 0) {
    auto columns = std::make_shared<std::vector<catalog::ColumnDefinition>>();
    const auto add = [&columns](const char* column_name, TypeKind kind, bool key) {
      catalog::ColumnDefinition column;
      column.column_id = static_cast<uint32_t>(columns->size() + 1);
      column.name = column_name;
      column.type = DataType::Of(kind);
      column.nullable = !key;
      column.primary_key = key;
      columns->push_back(column);
    };
    add("id", TypeKind::kBigInt, true);
    add("room", TypeKind::kInt, false);
    add("body", TypeKind::kText, false);
    add("_seq", TypeKind::kBigInt, false);
    if (type != catalog::TableType::kStream) add("_deleted", TypeKind::kBoolean, false);
    auto table = std::make_shared<catalog::TableDefinition>();
    table->id = catalog_->AllocateTableId();
    table->namespace_id = "app";
    table->name = name;
    table->type = type;
    table->next_column_id = static_cast<uint32_t>(columns->size() + 1);
    table->columns = columns;
    table->layouts = std::make_shared<const std::vector<RowLayout>>(
        std::vector<RowLayout>{catalog::LayoutOf(*columns)});
    table->options.access_level = catalog::AccessLevel::kPublic;
    table->options.ttl_seconds = ttl_seconds;
    catalog::RecordWrites writes = catalog_->PutTable(*table);
    if (!catalog_->NamespaceExists("app")) {
      const auto more = catalog_->PutNamespace({"app", "", 0});
      writes.insert(writes.begin(), more.begin(), more.end());
    }
    Propose(std::move(writes), {});
    return catalog_->FindTable("app", name).value();
  }

  void Propose(catalog::RecordWrites records, std::vector<TableId> dropped) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    command->dropped_tables = std::move(dropped);
    const auto result = replication::ProposeAndWait(*group_, command);
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }

  /// A statement on one scope: what `write` adds becomes one command. Returns the first `_seq`, 0
  /// when nothing changed.
  Seq Write(const catalog::TablePtr& table, const std::string& user,
            const std::function<void(tables::TableWriter&, const tables::ReadScope&,
                                     tables::TableReader&)>& write) {
    tables::TableReader reader(*store_, clock_);
    tables::TableWriter writer(reader);
    const tables::ReadScope scope{table, tables::ScopeFor(*table, user), group_->TakeView(),
                                  nullptr};
    write(writer, scope, reader);
    const auto command = writer.Finish(scope.view.seq);
    if (command == nullptr) return Seq{};
    const auto result = replication::ProposeAndWait(*group_, command);
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.seq_begin;
  }

  static std::vector<Datum> Cells(int64_t id, std::optional<int> room, std::string_view body) {
    return {Datum::BigInt(id),
            room ? Datum::OfInt(TypeKind::kInt, *room) : Datum::Null(TypeKind::kInt),
            Datum::Text(body), Datum::Null(TypeKind::kBigInt), Datum::Null(TypeKind::kBoolean)};
  }

  Seq Insert(const catalog::TablePtr& table, int64_t id, std::optional<int> room,
             std::string_view body, const std::string& user = "ann") {
    return Write(table, user, [&](auto& writer, const auto& scope, auto&) {
      const Status status = writer.Insert(scope, Cells(id, room, body));
      EXPECT_TRUE(status.ok()) << status.ToString();
    });
  }
  Seq Update(const catalog::TablePtr& table, int64_t id, std::optional<int> room,
             std::string_view body, const std::string& user = "ann") {
    return Write(table, user, [&](auto& writer, const auto& scope, auto& reader) {
      const auto row = reader.Get(scope, Key(id), false);
      ASSERT_TRUE(row.ok() && row->has_value());
      EXPECT_TRUE(writer.Update(scope, **row, Cells(id, room, body)).ok());
    });
  }
  Seq Delete(const catalog::TablePtr& table, int64_t id, const std::string& user = "ann") {
    return Write(table, user, [&](auto& writer, const auto& scope, auto& reader) {
      const auto row = reader.Get(scope, Key(id), false);
      ASSERT_TRUE(row.ok() && row->has_value());
      EXPECT_TRUE(writer.Delete(scope, **row).ok());
    });
  }
  static std::string Key(int64_t id) {
    std::string key;
    EncodeKey(Datum::BigInt(id), &key);
    return key;
  }

  /// Gives the hub up to `count` of the commits that wait.
  size_t DeliverCommits(size_t count = SIZE_MAX) {
    size_t delivered = 0;
    while (delivered < count) {
      std::shared_ptr<const replication::CommittedBatch> batch;
      {
        const std::lock_guard lock(mailbox_mutex_);
        if (mailbox_.empty()) break;
        batch = std::move(mailbox_.front());
        mailbox_.pop_front();
      }
      delivered_seq_ = batch->published_seq;
      hub->OnCommitted(std::move(batch));
      ++delivered;
    }
    return delivered;
  }
  /// Throws away the commits that wait, as a full mailbox does, but for the newest; the hub is
  /// told.
  void LoseCommits() {
    {
      const std::lock_guard lock(mailbox_mutex_);
      while (mailbox_.size() > 1) mailbox_.pop_front();
    }
    hub->OnCommitsMissed();
  }
  /// The head of the hub's core.
  Seq delivered_seq() const { return delivered_seq_; }
  bool RunCoreTask() { return RunFirst(&core_tasks_); }
  bool RunWorkerTask() { return RunFirst(&worker_tasks_); }
  size_t worker_task_count() const { return worker_tasks_.size(); }
  void RunTasks() {
    while (RunCoreTask() || RunWorkerTask()) {
    }
  }
  /// Everything that can happen happens.
  void Settle() {
    DeliverCommits();
    RunTasks();
  }

  storage::Store& store() { return *store_; }
  catalog::Catalog& catalog() { return *catalog_; }
  replication::ReplicationGroup& group() { return *group_; }
  Metrics& metrics() { return metrics_; }
  MemoryAccount& memory() { return memory_; }
  /// What sockets have not taken, as the server charges it; without a limit at first.
  MemoryAccount& unsent() { return unsent_; }
  ManualClock& clock() { return clock_; }
  SubscriptionCounts& counts() { return counts_; }

  std::unique_ptr<LiveHub> hub;

 private:
  static bool RunFirst(std::deque<std::function<void()>>* tasks) {
    if (tasks->empty()) return false;
    const std::function<void()> task = std::move(tasks->front());
    tasks->pop_front();
    task();
    return true;
  }

  std::string directory_;
  ManualClock clock_{1'767'225'600'000'000};
  MemoryAccount memory_;
  MemoryAccount unsent_{"write", nullptr};
  Metrics metrics_;
  SubscriptionCounts counts_;
  LiveLimits limits_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  int observer_ = 0;
  Seq delivered_seq_;
  std::mutex mailbox_mutex_;
  std::deque<std::shared_ptr<const replication::CommittedBatch>> mailbox_;
  std::deque<std::function<void()>> core_tasks_;
  std::deque<std::function<void()>> worker_tasks_;
};

/// Every row of the table of HubTest.
inline const std::string kAll = "SELECT * FROM app.items";

inline SubscribeOptions Options(std::optional<int64_t> from = std::nullopt) {
  SubscribeOptions options;
  options.present = true;
  options.from_seq = from;
  return options;
}

class HubTest : public ::testing::Test {
 protected:
  HubTest() {
    table_ = world_.CreateTable();
    world_.Settle();
    connection_ = world_.hub->AddConnection(socket_);
  }

  void Subscribe(const std::string& sql, const SubscribeOptions& options = {},
                 const std::string& id = "s1") {
    world_.hub->Subscribe(connection_, id, sql, options);
  }
  /// Takes the ack (and a first batch) out of the way.
  void SubscribeQuietly(const std::string& sql, const std::string& id = "s1") {
    Subscribe(sql, {}, id);
    ASSERT_EQ(socket_.Take()["type"], "subscription_ack");
    ASSERT_TRUE(socket_.messages.empty());
  }

  HubWorld world_;
  catalog::TablePtr table_;
  ScriptedSubscriber socket_;
  ConnectionId connection_ = 0;
};

}  // namespace kalam::live
