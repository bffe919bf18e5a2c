// A whole database in this process, without a network.
#include "database.h"

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "analytics/engine.h"
#include "auth/auth.h"
#include "catalog/catalog.h"
#include "query/query_engine.h"
#include "replication/command.h"
#include "replication/group.h"
#include "statements/sql_request.h"
#include "storage/store.h"
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
  Status Start(const DatabaseOptions& options);
  ~LocalDatabase() override {
    if (processor_) processor_->Close();
    if (group_) group_->Close();
    if (auth_) auth_->Close();
  }

  Result<Answer> Run(const std::string& sql, const std::string& user) override;

 private:
  Status Finish(statements::SqlRequest& request);

  MemoryAccount account_{"root", nullptr};
  Metrics metrics_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<query::QueryEngine> query_;
  std::unique_ptr<auth::Authenticator> auth_;
  std::unique_ptr<statements::StatementProcessor> processor_;
};

Status LocalDatabase::Start(const DatabaseOptions& options) {
  std::filesystem::create_directories(options.directory);
  storage::StoreOptions store_options;
  store_options.path = options.directory + "/store";
  KALAM_ASSIGN_OR_RETURN(store_, storage::Store::Open(store_options));
  KALAM_ASSIGN_OR_RETURN(catalog_, catalog::Catalog::Open(*store_, account_, 100));
  replication::StandaloneOptions group_options;
  group_options.durability = storage::Durability::kOs;  // nobody pulls the plug here
  KALAM_ASSIGN_OR_RETURN(group_,
                         replication::OpenStandaloneGroup(*store_, *catalog_, group_options));

  analytics::EngineOptions engine_options;
  engine_options.plugin_directory = options.plugin_directory;
  engine_ = analytics::MakeEngine(engine_options);
  query::QueryLimits limits;
  limits.native_selects = options.native_selects;
  query_ = query::QueryEngine::Make(
      {*store_, *catalog_, *group_, *engine_, SystemClock(), account_, metrics_}, limits);

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
  services.data_directory = options.directory;
  KALAM_ASSIGN_OR_RETURN(processor_, statements::StatementProcessor::Make(std::move(services), {}));
  KALAM_RETURN_IF_ERROR(processor_->Bootstrap(""));
  return Run("CREATE NAMESPACE t", "root").status();
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
  auto database = std::make_unique<LocalDatabase>();
  KALAM_RETURN_IF_ERROR(database->Start(options));
  return std::unique_ptr<Database>(std::move(database));
}

}  // namespace kalam::sqltest
