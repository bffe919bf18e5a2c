// Opening and closing of the layers, and the threads of work between them: commits to hubs,
// revocations to sockets.
#include "server/database.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "analytics/engine.h"
#include "auth/auth.h"
#include "backup/backup.h"
#include "base/id_generators.h"
#include "base/log.h"
#include "base/turn_clock.h"
#include "catalog/catalog.h"
#include "files/file_store.h"
#include "live/live_hub.h"
#include "query/query_engine.h"
#include "replication/group.h"
#include "segments/segment_store.h"
#include "server/build_features.h"
#include "server/commit_mailbox.h"
#include "server/data_directory.h"
#include "server/fail_point.h"
#include "server/folder_contents.h"
#include "server/layer_options.h"
#include "server/limits.h"
#include "server/live_rows.h"
#include "server/memory_report.h"
#include "server/memory_watch.h"
#include "server/server.h"
#include "server/storages.h"
#include "statements/sql_request.h"
#include "storage/store.h"
#include "tables/lost_history.h"
#include "tables/retention.h"
#include "tiering/open_tiering.h"
#include "vectors/vector_indexes.h"

namespace kalam::server {
namespace {

// Definitions kept in memory; names are always kept.
constexpr size_t kDefinitionsMax = 4096;
// How long a statement waits for the cores to answer about their live queries.
constexpr auto kCoresAnswerTimeout = std::chrono::seconds(2);

// Runs `question` on every core and waits for all of them, a little. Never on a core's thread.
void AskCores(const std::vector<Core*>& cores, const std::function<void(Core&)>& question) {
  struct Round {
    std::mutex mutex;
    std::condition_variable answered;
    size_t missing = 0;
  };
  auto round = std::make_shared<Round>();
  round->missing = cores.size();
  for (Core* core : cores) {
    core->loop().Post([core, question, round] {
      question(*core);
      const std::lock_guard lock(round->mutex);
      --round->missing;
      round->answered.notify_all();
    });
  }
  std::unique_lock lock(round->mutex);
  round->answered.wait_for(lock, kCoresAnswerTimeout, [&round] { return round->missing == 0; });
}

class OpenDatabase : public Database {
 public:
  OpenDatabase(const Settings& settings, const MemoryPlan& plan, MemoryAccount& memory,
               ServerContext& server, const std::vector<Core*>& cores)
      : settings_(settings),
        plan_(plan),
        memory_(memory),
        server_(server),
        cores_(cores),
        retention_(server.clock),
        ids_(server.clock, 0, 1) {}
  ~OpenDatabase() override { Close(); }

  Status OpenAll(std::vector<std::string>* warnings);
  void Tick() override;
  bool NeedsMemoryRound() override { return memory_watch_->NeedsRound(); }
  void RunMemoryRound() override { memory_watch_->Round(); }
  int64_t activity() const override { return memory_watch_->activity(); }
  int64_t block_page_bytes() const override { return store_->block_page_bytes(); }
  void Rest() override { memory_watch_->Rest(); }
  void Close() override;

  auth::Authenticator& authenticator() { return *authenticator_; }
  catalog::Catalog& catalog() { return *catalog_; }
  Status Write(catalog::RecordWrites writes);
  Status OpenData(std::vector<std::string>* warnings);

 private:
  Status OpenColdTier();
  Status OpenVectorIndexes();
  Status OpenStatements();
  void OpenHubs();
  void Connect();
  void WatchMemory();
  bool KillLiveQuery(std::string_view live_id);
  std::shared_ptr<const RowBuffer> ReadLive(const ResultSchema& schema);
  void EndIfDirectoryIsGone() const;
  void TakeMail(Core& core, CommitMailbox& mailbox);

  const Settings settings_;
  const MemoryPlan plan_;
  MemoryAccount& memory_;
  ServerContext& server_;
  const std::vector<Core*> cores_;
  const FailPoint fail_point_ = FailPointOfTest();
  bool was_restored_ = false;
  tables::LostHistory lost_;  // if it was
  bool closed_ = false;
  tables::ChangeRetention retention_;
  SnowflakeGenerator ids_;

  // In the order in which they are opened; each uses only those above it.
  TurnClock turn_clock_;
  std::unique_ptr<storage::Store> store_;
  std::optional<DataDirectory> directory_;  // of the store
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<objects::StorageSet> storages_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<files::FileStore> files_;
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<segments::SegmentStore> segments_;
  std::unique_ptr<tiering::Tiering> tiering_;
  std::unique_ptr<query::QueryEngine> query_;
  std::unique_ptr<vectors::VectorIndexes> vector_indexes_;
  live::SubscriptionCounts subscription_counts_;
  std::vector<std::unique_ptr<live::LiveHub>> hubs_;       // by core
  std::vector<std::unique_ptr<CommitMailbox>> mailboxes_;  // by core
  std::unique_ptr<statements::StatementProcessor> statements_;
  std::unique_ptr<MemoryWatch> memory_watch_;
};

// What needs no core: enough to look at users and to change them.
Status OpenDatabase::OpenData(std::vector<std::string>* warnings) {
  KALAM_ASSIGN_OR_RETURN(const backup::Activation activation,
                         backup::ActivateRestore(settings_.text("storage.data_path"), fail_point_));
  was_restored_ = activation.restored;
  if (!activation.message.empty()) warnings->push_back(activation.message);
  storage::StoreOptions options = StoreOptionsFrom(settings_, plan_, &memory_);
  options.drop_change = [this](std::string_view key, std::string_view value) {
    return retention_.ShouldDrop(key, value);
  };
  KALAM_ASSIGN_OR_RETURN(store_, storage::Store::Open(options));
  KALAM_ASSIGN_OR_RETURN(directory_, DataDirectory::Find(options.path));
  KALAM_ASSIGN_OR_RETURN(
      catalog_, catalog::Catalog::Open(*store_, memory_.Child("schema_registry"), kDefinitionsMax));
  KALAM_RETURN_IF_ERROR(retention_.Load(*store_));
  replication::StandaloneOptions group_options;
  group_options.durability = DurabilityOf(settings_);
  group_options.clock = &server_.clock;
  group_options.metrics = &server_.metrics;
  group_options.account = &memory_;
  group_options.pending_bytes_max = plan_.commit_pending_bytes;
  group_options.segments_version = [this](TableId table) -> Result<uint64_t> {
    KALAM_ASSIGN_OR_RETURN(const segments::TableSegmentsHead head,
                           segments::ReadHead(*store_, table));
    return head.version;
  };
  KALAM_ASSIGN_OR_RETURN(group_,
                         replication::OpenStandaloneGroup(*store_, *catalog_, group_options));
  lost_ = {.after = group_->published_seq(), .before = tables::FirstSeqOf(server_.clock.NowUs())};
  KALAM_ASSIGN_OR_RETURN(std::string secret, SecretFor(settings_));
  KALAM_RETURN_IF_ERROR(CheckStartupSafety(settings_, secret, warnings));
  KALAM_ASSIGN_OR_RETURN(
      authenticator_, auth::Authenticator::Make(
                          AuthOptionsFrom(settings_, std::move(secret)), *catalog_, *store_,
                          [this](catalog::RecordWrites writes) { return Write(std::move(writes)); },
                          server_.clock));
  return Status::Ok();
}

Status OpenDatabase::OpenAll(std::vector<std::string>* warnings) {
  KALAM_RETURN_IF_ERROR(OpenData(warnings));
  KALAM_ASSIGN_OR_RETURN(storages_, OpenStorages(settings_, *catalog_, server_.metrics));
  KALAM_ASSIGN_OR_RETURN(
      files_, files::FileStore::Open(
                  {.store = *store_,
                   .catalog = *catalog_,
                   .group = *group_,
                   .clock = server_.clock,
                   .metrics = server_.metrics,
                   .find_storage = [this](std::string_view id) { return storages_->Find(id); }},
                  FileLimitsFrom(settings_)));
  analytics::EngineOptions engine_options = EngineOptionsFrom(
      settings_, plan_, ids_, &memory_.Child("analytical_engine"), &server_.metrics);
  engine_options.admit = [this] {
    return server_.memory_guard != nullptr ? server_.memory_guard->AdmitStatement() : Status::Ok();
  };
  engine_ = analytics::MakeEngine(engine_options);
  // Known from the start, so that whoever watches sees zeros and not nothing.
  for (const char* name :
       {"analytics_opened_total", "analytics_statements_total", "analytics_failures_total",
        "analytics_lost_total", "analytics_idle_closed_total", "analytics_shed_total"}) {
    server_.metrics.counter(name);
  }
  KALAM_RETURN_IF_ERROR(OpenColdTier());
  query_ = query::QueryEngine::Make({.store = *store_,
                                     .catalog = *catalog_,
                                     .group = *group_,
                                     .engine = *engine_,
                                     .clock = server_.clock,
                                     .memory = memory_,
                                     .metrics = server_.metrics,
                                     .cold_rows = segments_.get()},
                                    QueryLimitsFrom(settings_));
  KALAM_RETURN_IF_ERROR(OpenVectorIndexes());
  KALAM_RETURN_IF_ERROR(OpenStatements());
  OpenHubs();
  Connect();
  WatchMemory();
  return Status::Ok();
}

Status OpenDatabase::OpenColdTier() {
  const segments::StorageLookup storage_of = [this](const std::string& storage_id) {
    return storages_->Find(storage_id);
  };
  const tiering::FindContents contents_of = [this](const auto& table, const auto& place) {
    return ContentsOf(*files_, vector_indexes_.get(), table, place);
  };
  KALAM_ASSIGN_OR_RETURN(segments_,
                         segments::OpenSegmentStore(
                             *store_, storage_of,
                             {.account = &memory_.Child("segments"), .metrics = &server_.metrics}));
  tiering::TieringOptions tiering_options = TieringOptionsFrom(settings_, fail_point_);
  tiering_options.account = &memory_.Child("hot_row_counts");
  KALAM_ASSIGN_OR_RETURN(tiering_, tiering::OpenTiering({.store = *store_,
                                                         .catalog = *catalog_,
                                                         .group = *group_,
                                                         .engine = *engine_,
                                                         .segments = *segments_,
                                                         .storage_of = storage_of,
                                                         .clock = server_.clock,
                                                         .contents_of = contents_of,
                                                         .engine_bytes = plan_.engine_bytes},
                                                        tiering_options));
  return Status::Ok();
}

Status OpenDatabase::OpenVectorIndexes() {
  vectors::IndexLimits limits;
  limits.memory_bytes_max = plan_.vector_bytes;
  limits.scratch_folder = settings_.text("storage.data_path") + "/tmp";
  KALAM_ASSIGN_OR_RETURN(
      vector_indexes_,
      vectors::VectorIndexes::Open(
          {.store = *store_,
           .catalog = *catalog_,
           .group = *group_,
           .reader = query_->reader(),
           .clock = server_.clock,
           .memory = memory_,
           .metrics = server_.metrics,
           .find_storage = [this](std::string_view id) { return storages_->Find(id); },
           .run_on_worker =
               [this](std::function<void()> work) {
                 server_.workers.SubmitAlways(std::move(work));
               }},
          limits));
  query_->SetVectorIndexes(vector_indexes_.get());
  return Status::Ok();
}

void OpenDatabase::WatchMemory() {
  // Their owners keep to these by themselves; here they are for the reports.
  const std::pair<const char*, int64_t> bounds[] = {
      {"block_cache", plan_.block_cache_bytes},
      {"memtables", plan_.write_buffer_bytes},
      {"commit_pending", plan_.commit_pending_bytes},
      {"plan_cache", plan_.plan_cache_bytes},
      {"subscriptions", plan_.large_subscriptions_bytes},
      {"change_tail", static_cast<int64_t>(plan_.change_tail_bytes)},
      {"analytical_engine", plan_.engine_bytes},
      {"vector_indexes", plan_.vector_bytes}};
  for (const auto& [name, bytes] : bounds) memory_.Child(name).set_limit_bytes(bytes);
  memory_watch_ = std::make_unique<MemoryWatch>(MemoryWatch::Parts{
      plan_, memory_, *store_, *catalog_, *query_, *engine_, cores_, server_.clock, server_.metrics,
      [this](size_t count_max, int64_t row_count_min) {
        return statements_->FlushLargest(count_max, row_count_min);
      },
      [this] { vector_indexes_->ForgetUnused(); }, [this] { segments_->ReleaseMemory(); }});
  server_.memory_guard = &memory_watch_->guard();
  server_.memory_json = [this] { return MemoryJson(memory_watch_->ReportSources()); };
  server_.prometheus_text = [this] {
    return PrometheusText(statements_->Stats(), memory_watch_->ReportSources());
  };
}

Status OpenDatabase::OpenStatements() {
  statements::StatementServices services{
      .store = *store_,
      .catalog = *catalog_,
      .group = *group_,
      .query = *query_,
      .auth = *authenticator_,
      .clock = server_.clock,
      .memory = memory_,
      .metrics = server_.metrics,
      .websocket_url = [this] { return WebSocketUrl(settings_, server_); },
      .kill_live_query = [this](std::string_view live_id) { return KillLiveQuery(live_id); },
      .read_live = [this](const ResultSchema& schema) { return ReadLive(schema); },
      .settings =
          [this] {
            std::vector<statements::ShownSetting> shown;
            for (SettingRow& row : AllSettingRows(settings_)) {
              shown.push_back({std::move(row.name), std::move(row.value),
                               std::move(row.description), std::move(row.category)});
            }
            return shown;
          },
      .data_directory = settings_.text("storage.data_path"),
      .log_directory = LogDirectory(settings_),
      .shared_tables_template = settings_.text("storage.shared_tables_template"),
      .user_tables_template = settings_.text("storage.user_tables_template"),
      .node_api_address = server_.api_address,
      .change_retention = &retention_,
      .storages = storages_.get(),
      .files = files_.get(),
      .tiering = tiering_.get(),
      .vector_indexes = vector_indexes_.get(),
      .allowed_directories = settings_.list("storage.allowed_directories"),
      .memory_facts = [this] { return MemoryFacts(memory_watch_->ReportSources()); },
      .engine = engine_.get(),
      .segments = segments_.get(),
      .turn_clock = &turn_clock_,
      .fail_point = fail_point_,
      .was_restored = was_restored_};
  KALAM_ASSIGN_OR_RETURN(
      statements_, statements::StatementProcessor::Make(std::move(services),
                                                        StatementLimitsFrom(settings_, plan_)));
  // A password for root, given for unattended starts; the first start uses it.
  std::string hash;
  const auto root = catalog_->FindUser("root");
  const bool has_password = root.ok() && root->has_value() && !(*root)->password_hash.empty();
  if (const std::string& password = settings_.text("auth.root_password");
      !password.empty() && !has_password) {
    KALAM_ASSIGN_OR_RETURN(hash, authenticator_->HashPasswordNow(password));
  }
  KALAM_RETURN_IF_ERROR(statements_->Bootstrap(hash));
  if (was_restored_) {
    KALAM_ASSIGN_OR_RETURN(catalog::RecordWrites lost,
                           tables::NoteLostHistory(*store_, TableId{}, lost_));
    KALAM_RETURN_IF_ERROR(Write(std::move(lost)));
  }
  return was_restored_ ? backup::FinishActivation(settings_.text("storage.data_path"))
                       : Status::Ok();
}

void OpenDatabase::OpenHubs() {
  if constexpr (kWithWebSocket) {
    live::LiveLimits limits;
    limits.subscriptions_per_user = static_cast<uint32_t>(
        std::min<int64_t>(settings_.number("rate_limit.max_subscriptions_per_user"), UINT32_MAX));
    limits.tail_bytes_max = plan_.change_tail_bytes / std::max<size_t>(cores_.size(), 1);
    limits.snapshot_batch_bytes_max = plan_.snapshot_batch_bytes;
    limits.cursor_refresh_us = settings_.number("changes.retention_hours") * 3600 * 1'000'000 / 4;
    for (Core* core : cores_) {
      hubs_.push_back(live::LiveHub::Make(
          {.store = *store_,
           .catalog = *catalog_,
           .group = *group_,
           .clock = server_.clock,
           .memory = memory_,
           .metrics = server_.metrics,
           // What a subscription has missed is many messages for one socket.
           .post =
               [core](std::function<void()> work) { core->loop().PostGathering(std::move(work)); },
           .post_worker =
               [this](std::function<void()> work) {
                 server_.workers.SubmitAlways(std::move(work));
               },
           .admit =
               [this] {
                 return server_.memory_guard != nullptr ? server_.memory_guard->AdmitConnection()
                                                        : Status::Ok();
               },
           .counts = &subscription_counts_,
           .cold_rows = segments_.get(),
           .unsent = &server_.connection_memory.write},
          limits));
      core->context().hub = hubs_.back().get();
    }
  }
}

void OpenDatabase::Connect() {
  for (Core* core : cores_) {
    if (core->context().hub == nullptr) continue;
    const size_t index = mailboxes_.size();
    mailboxes_.push_back(std::make_unique<CommitMailbox>(
        [this, core, index] {
          core->loop().Post([this, core, index] { TakeMail(*core, *mailboxes_[index]); });
        },
        CommitMailbox::Bounds{kCommitMailboxMax, kCommitMailboxBytesMax},
        server_.connection_memory.queue));
    core->context().set_following = [this, core, index](bool following) {
      mailboxes_[index]->SetListening(following);
      if (following) TakeMail(*core, *mailboxes_[index]);
    };
    core->context().take_commits = [this, core, index] { TakeMail(*core, *mailboxes_[index]); };
  }
  group_->AddObserver([this](const std::shared_ptr<const replication::CommittedBatch>& batch) {
    for (const std::unique_ptr<CommitMailbox>& mailbox : mailboxes_) mailbox->Put(batch);
  });
  authenticator_->SetRevocationListener(
      [this](const std::string& user_id, const std::string& session_id) {
        for (Core* core : cores_) {
          core->loop().Post([core, user_id, session_id] {
            core->ForEach([&](Protocol& protocol) { protocol.OnRevoked(user_id, session_id); });
          });
        }
      });
  server_.authenticator = authenticator_.get();
  server_.catalog = catalog_.get();
  server_.data_directory = settings_.text("storage.data_path");
  server_.files = files_.get();
  server_.statements = statements_.get();
  server_.write_records = [this](catalog::RecordWrites writes) { return Write(std::move(writes)); };
}

void OpenDatabase::TakeMail(Core& core, CommitMailbox& mailbox) {
  bool overrun = false;
  const std::vector<CommitMailbox::Batch> batches = mailbox.Take(&overrun);
  // A change that comes alone goes out at once; of several, each socket gets its own in one call.
  std::optional<EventLoop::Gathering> gathering;
  if (overrun || batches.size() > 1 || (!batches.empty() && batches[0]->changes.size() > 1))
    gathering.emplace(core.loop());
  if (overrun) core.context().hub->OnCommitsMissed();
  for (const CommitMailbox::Batch& batch : batches) core.context().hub->OnCommitted(batch);
}

Status OpenDatabase::Write(catalog::RecordWrites writes) {
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(writes);
  return replication::ProposeAndWait(*group_, std::move(command)).status;
}

bool OpenDatabase::KillLiveQuery(std::string_view live_id) {
  if (hubs_.empty()) return false;
  auto killed = std::make_shared<std::atomic<bool>>(false);
  AskCores(cores_, [killed, id = std::string(live_id)](Core& core) {
    if (core.context().hub->Kill(id)) killed->store(true);
  });
  return killed->load();
}

std::shared_ptr<const RowBuffer> OpenDatabase::ReadLive(const ResultSchema& schema) {
  struct Gathered {
    std::mutex mutex;
    std::vector<live::LiveRecord> records;
  };
  if (hubs_.empty()) return std::make_shared<RowBuffer>(schema);
  auto gathered = std::make_shared<Gathered>();
  AskCores(cores_, [gathered](Core& core) {
    std::vector<live::LiveRecord> records = core.context().hub->List();
    const std::lock_guard lock(gathered->mutex);
    std::move(records.begin(), records.end(), std::back_inserter(gathered->records));
  });
  auto rows = std::make_shared<RowBuffer>(schema);
  const std::lock_guard lock(gathered->mutex);
  for (const live::LiveRecord& record : gathered->records) rows->Append(LiveRow(record, schema));
  return rows;
}

// What another server writes there now must not be touched, as destructors would.
void OpenDatabase::EndIfDirectoryIsGone() const {
  const Status there = directory_->Check();
  if (there.ok()) return;
  const auto code = static_cast<int>(ExitCode::kDataDirectory);
  Log(LogLevel::kError, "server",
      "the data directory is gone; stopping at once. Stop a server before its data is moved",
      {{"error", there.ToString()}, {"exit_code", code}});
  CloseLog();
  _exit(code);
}

void OpenDatabase::Tick() {
  EndIfDirectoryIsGone();
  statements_->Tick();
  files_->Tick();
  vector_indexes_->Tick();
  engine_->CloseIfIdle(server_.clock.SteadyUs());
}

void OpenDatabase::Close() {
  if (std::exchange(closed_, true)) return;
  // Nobody waits any longer for a storage that does not answer.
  if (storages_ != nullptr) storages_->Stop();
  if (statements_ != nullptr) statements_->Close();
  if (files_ != nullptr) files_->Close();
  if (vector_indexes_ != nullptr) vector_indexes_->Close();
  for (const std::unique_ptr<live::LiveHub>& hub : hubs_) hub->Close();
  if (authenticator_ != nullptr) authenticator_->Close();
  if (engine_ != nullptr) engine_->Close();
  // Everything appended is settled; then nothing reads or writes the store any more.
  if (group_ != nullptr) group_->Close();
}

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(const Settings& settings, const MemoryPlan& plan,
                                                 MemoryAccount& memory, ServerContext& server,
                                                 const std::vector<Core*>& cores,
                                                 std::vector<std::string>* warnings) {
  auto database = std::make_unique<OpenDatabase>(settings, plan, memory, server, cores);
  KALAM_RETURN_IF_ERROR(database->OpenAll(warnings));
  return std::unique_ptr<Database>(std::move(database));
}

Status ResetRootPassword(const Settings& settings, const std::string& password) {
  const std::string problem =
      auth::PasswordProblem(password, settings.flag("auth.enforce_password_complexity"));
  if (!problem.empty()) return Status(ErrorKind::InvalidInput, problem);
  Metrics metrics;
  MemoryAccount memory("server", nullptr);
  RateLimiter rates({});
  WorkerPool workers(1, 1, metrics);
  ServerContext server(SystemClock(), metrics, memory, {}, CorsPolicy(settings), {}, rates,
                       workers);
  KALAM_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanMemory(settings, ReadMachineMemory()));
  OpenDatabase database(settings, plan, memory, server, {});
  std::vector<std::string> warnings;
  KALAM_RETURN_IF_ERROR(database.OpenData(&warnings));
  KALAM_ASSIGN_OR_RETURN(auto root, database.catalog().FindUser("root"));
  if (!root)
    return Status(ErrorKind::NotFound,
                  "this data directory has no user root yet; start the server once");
  KALAM_ASSIGN_OR_RETURN(root->password_hash, database.authenticator().HashPasswordNow(password));
  const int64_t now_us = SystemClock().NowUs();
  root->failed_login_attempts = 0;
  root->locked_until_us.reset();
  root->updated_at_us = now_us;
  root->tokens_valid_from_us = now_us;
  return database.Write(database.catalog().PutUser(*root));
}

}  // namespace kalam::server
