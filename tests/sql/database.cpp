// A whole database in this process, without a network.
#include "database.h"

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "analytics/engine.h"
#include "auth/auth.h"
#include "catalog/catalog.h"
#include "objects/file_storage.h"
#include "query/query_engine.h"
#include "replication/command.h"
#include "replication/group.h"
#include "segments/segment_store.h"
#include "statements/sql_request.h"
#include "storage/store.h"
#include "tiering/open_tiering.h"
#include "types/convert.h"

namespace kalam::sqltest {
namespace {

constexpr const char* kNamespace = "t";
constexpr size_t kChunkBytes = 1 << 20;

std::string CellText(const Datum& cell, const DataType& type) {
  if (cell.is_null) return "NULL";
  std::string text;
  if (type.kind == TypeKind::kBytes || type.kind == TypeKind::kEmbedding) {
    AppendCellJson(cell, type, &text);
  } else {
    text = ToText(cell);
  }
  return text.empty() ? "(empty)" : text;
}

/// Keeps rows as lines.
class LineSink : public RowSink {
 public:
  void BeginRow() override { lines.emplace_back(); }
  void Cell(const Datum& cell, const DataType& type) override {
    if (!first_) lines.back() += '|';
    first_ = false;
    lines.back() += CellText(cell, type);
  }
  void EndRow() override {
    bytes_ += lines.back().size() + 1;
    first_ = true;
  }
  size_t buffered_bytes() const override { return bytes_; }

  std::vector<std::string> lines;

 private:
  bool first_ = true;
  size_t bytes_ = 0;
};

class LocalDatabase : public Database {
 public:
  explicit LocalDatabase(const DatabaseOptions& options) : options_(options) {}
  ~LocalDatabase() override { Close(); }
  /// The first start of a new folder, or a later one.
  Status Start();

  Result<Answer> Run(const std::string& sql, const std::string& user) override;
  Status MoveRows(Tier tier) override;
  int64_t moved_row_count() const override { return moved_row_count_; }

 private:
  Status OpenColdTier();
  Status OpenStatements();
  /// Drops what Start has opened, last first.
  void Close();
  Status FlushTables(bool compact);
  Status Finish(statements::SqlRequest& request);

  const DatabaseOptions options_;
  int record_count_ = 0;
  int64_t moved_row_count_ = 0;
  MemoryAccount account_{"root", nullptr};
  Metrics metrics_;
  std::shared_ptr<objects::ObjectStorage> cold_storage_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<segments::SegmentStore> segments_;
  std::unique_ptr<tiering::Tiering> tiering_;
  std::unique_ptr<query::QueryEngine> query_;
  std::unique_ptr<auth::Authenticator> auth_;
  std::unique_ptr<statements::StatementProcessor> processor_;
};

Status LocalDatabase::Start() {
  std::filesystem::create_directories(options_.directory);
  storage::StoreOptions store_options;
  store_options.path = options_.directory + "/store";
  KALAM_ASSIGN_OR_RETURN(store_, storage::Store::Open(store_options));
  KALAM_ASSIGN_OR_RETURN(catalog_, catalog::Catalog::Open(*store_, account_, 100));
  replication::StandaloneOptions group_options;
  group_options.durability = storage::Durability::kOs;  // nobody pulls the plug here
  group_options.segments_version = [this](TableId table) -> Result<uint64_t> {
    KALAM_ASSIGN_OR_RETURN(const segments::TableSegmentsHead head,
                           segments::ReadHead(*store_, table));
    return head.version;
  };
  KALAM_ASSIGN_OR_RETURN(group_,
                         replication::OpenStandaloneGroup(*store_, *catalog_, group_options));
  if (engine_ == nullptr) {  // the engine holds no truth: it stays when the rest is opened again
    analytics::EngineOptions engine_options;
    engine_options.plugin_directory = options_.plugin_directory;
    engine_ = analytics::MakeEngine(engine_options);
  }
  KALAM_RETURN_IF_ERROR(OpenColdTier());
  return OpenStatements();
}

Status LocalDatabase::OpenColdTier() {
  objects::StorageSettings settings;
  settings.base_directory = options_.directory + "/storage";
  KALAM_ASSIGN_OR_RETURN(cold_storage_,
                         objects::OpenFileStorage(settings, objects::BaseFolder::kCreate));
  const segments::StorageLookup storage_of =
      [this](const std::string&) -> Result<std::shared_ptr<objects::ObjectStorage>> {
    return cold_storage_;
  };
  KALAM_ASSIGN_OR_RETURN(segments_, segments::OpenSegmentStore(*store_, storage_of, {}));
  tiering::TieringOptions options;
  options.temp_directory = options_.directory + "/tmp";
  KALAM_ASSIGN_OR_RETURN(tiering_, tiering::OpenTiering({*store_, *catalog_, *group_, *engine_,
                                                         *segments_, storage_of, SystemClock()},
                                                        options));
  return Status::Ok();
}

Status LocalDatabase::OpenStatements() {
  query::QueryLimits limits;
  limits.native_selects = options_.native_selects;
  query_ = query::QueryEngine::Make(
      {*store_, *catalog_, *group_, *engine_, SystemClock(), account_, metrics_, segments_.get()},
      limits);
  auth::AuthOptions auth_options;
  auth_options.jwt_secret = "a secret of the tests, long enough";
  auth_options.bcrypt_cost = 4;
  const auto write_records = [this](catalog::RecordWrites writes) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(writes);
    return replication::ProposeAndWait(*group_, std::move(command)).status;
  };
  KALAM_ASSIGN_OR_RETURN(auth_, auth::Authenticator::Make(auth_options, *catalog_, *store_,
                                                          write_records, SystemClock()));

  statements::StatementServices services{*store_, *catalog_,     *group_,  *query_,
                                         *auth_,  SystemClock(), account_, metrics_};
  services.data_directory = options_.directory;
  services.tiering = tiering_.get();
  statements::StatementLimits statement_limits;
  statement_limits.flush_check_interval_seconds = 0;  // MoveRows alone moves rows
  KALAM_ASSIGN_OR_RETURN(
      processor_, statements::StatementProcessor::Make(std::move(services), statement_limits));
  return processor_->Bootstrap("");
}

void LocalDatabase::Close() {
  if (processor_) processor_->Close();
  if (group_) group_->Close();
  if (auth_) auth_->Close();
  processor_.reset();
  auth_.reset();
  query_.reset();
  tiering_.reset();
  segments_.reset();
  group_.reset();
  catalog_.reset();
  store_.reset();
}

Status LocalDatabase::FlushTables(bool compact) {
  KALAM_ASSIGN_OR_RETURN(const auto tables, catalog_->ListTables(kNamespace));
  for (const catalog::TablePtr& table : tables) {
    if (table->type == catalog::TableType::kStream) continue;
    KALAM_ASSIGN_OR_RETURN(const tiering::FlushOutcome flushed, tiering_->Flush(table->id, {}));
    moved_row_count_ += flushed.row_count;
    if (!compact) continue;
    KALAM_RETURN_IF_ERROR(tiering_->Compact(table->id, group_->published_seq(), {}).status());
  }
  return Status::Ok();
}

Status LocalDatabase::MoveRows(Tier tier) {
  const bool is_even = ++record_count_ % 2 == 0;
  if (tier == Tier::kHot) return Status::Ok();
  if (!is_even && (tier == Tier::kMixed || tier == Tier::kRestarted)) return Status::Ok();
  const int64_t before = moved_row_count_;
  KALAM_RETURN_IF_ERROR(FlushTables(tier == Tier::kCompacted));
  if (tier != Tier::kRestarted || moved_row_count_ == before) return Status::Ok();
  Close();
  return Start();
}

/// Drives the request to its end on this thread.
Status LocalDatabase::Finish(statements::SqlRequest& request) {
  std::mutex mutex;
  std::condition_variable woken;
  bool wake = false;
  while (true) {
    const auto step = request.Advance(true, [&] {
      const std::lock_guard lock(mutex);
      wake = true;
      woken.notify_one();
    });
    if (step == statements::SqlRequest::Step::kFinished) break;
    if (step == statements::SqlRequest::Step::kWaiting) {
      std::unique_lock lock(mutex);
      woken.wait(lock, [&] { return wake; });
      wake = false;
    }
  }
  if (request.error() == nullptr) return Status::Ok();
  return Status(ErrorKind::BatchParse,
                request.error()->message);  // a kind without a prefix of its own
}

Result<Answer> LocalDatabase::Run(const std::string& sql, const std::string& user) {
  statements::RequestInput input;
  input.sql = sql;
  input.namespace_id = kNamespace;
  input.caller = {user, user == "root" ? catalog::Role::kDba : catalog::Role::kUser};
  input.client_address = "127.0.0.1";
  const auto request = processor_->Start(std::move(input));
  KALAM_RETURN_IF_ERROR(Finish(*request));
  Answer answer;
  for (statements::StatementResult& result : request->results()) {
    if (result.rows == nullptr) continue;
    LineSink sink;
    while (true) {
      KALAM_ASSIGN_OR_RETURN(const bool more,
                             result.rows->Next(sink, sink.buffered_bytes() + kChunkBytes));
      if (!more) break;
    }
    answer.rows = std::move(sink.lines);
    answer.types.clear();
    for (const ResultColumn& column : result.rows->schema())
      answer.types.push_back(SqlName(column.type));
  }
  request->Finish(static_cast<int64_t>(answer.rows.size()));
  return answer;
}

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options) {
  auto database = std::make_unique<LocalDatabase>(options);
  KALAM_RETURN_IF_ERROR(database->Start());
  KALAM_RETURN_IF_ERROR(
      database->Run("CREATE NAMESPACE " + std::string(kNamespace), "root").status());
  return std::unique_ptr<Database>(std::move(database));
}

}  // namespace kalam::sqltest
