// A server without its network, for tests of statements: store, group, query engine and
// AdminStatements in a temp directory.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "analytics/engine.h"
#include "objects/storage_set.h"
#include "sql/parser.h"
#include "statements/admin_statements.h"
#include "types/convert.h"

namespace kalam::statements {

/// What a statement answered: its message, its rows as JSON cells joined by '|', or its error.
struct AdminAnswer {
  Status status;
  std::string message;
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  bool ok() const { return status.ok(); }
  std::string error() const { return status.ToString(); }
};

class AdminTest : public ::testing::Test {
 protected:
  static constexpr int64_t kStartUs = 1'760'000'000'000'000;

  AdminTest() : memory_("server", nullptr), clock_(kStartUs) {
    directory_ = std::filesystem::temp_directory_path() /
                 ("admin_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    Open();
  }
  ~AdminTest() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    storage::StoreOptions options;
    options.path = directory_ / "rocksdb";
    std::filesystem::create_directories(directory_);
    store_ = storage::Store::Open(options).value();
    catalog_ = catalog::Catalog::Open(*store_, memory_.Child("catalog"), 100).value();
    replication::StandaloneOptions group_options;
    group_options.durability = storage::Durability::kOs;
    group_options.clock = &clock_;
    group_ = replication::OpenStandaloneGroup(*store_, *catalog_, group_options).value();
    analytics::EngineOptions engine_options;
    engine_options.enabled = false;
    engine_ = analytics::MakeEngine(engine_options);
    query_ = query::QueryEngine::Make(
        {*store_, *catalog_, *group_, *engine_, clock_, memory_, metrics_}, {});
    auth::AuthOptions auth_options;
    auth_options.jwt_secret = "a secret of tests that is long enough";
    auth_options.bcrypt_cost = 4;
    auth_ = auth::Authenticator::Make(
                auth_options, *catalog_, *store_,
                [this](const catalog::RecordWrites& records) {
                  auto command = std::make_shared<replication::Command>();
                  command->records = records;
                  return replication::ProposeAndWait(*group_, std::move(command)).status;
                },
                clock_)
                .value();
    StatementServices services{.store = *store_,
                               .catalog = *catalog_,
                               .group = *group_,
                               .query = *query_,
                               .auth = *auth_,
                               .clock = clock_,
                               .memory = memory_,
                               .metrics = metrics_};
    services.websocket_url = [] { return std::string("ws://127.0.0.1:8080/v1/ws"); };
    services.kill_live_query = [](std::string_view id) { return id == "ann-1-sub"; };
    services.settings = [] {
      return std::vector<ShownSetting>{{"server.port", "8080", "Port to listen on.", "server"}};
    };
    services.data_directory = directory_;
    services.log_directory = directory_;
    services.node_api_address = "127.0.0.1:8080";
    services.storages = &storages_;
    std::filesystem::create_directories(directory_ / "storage");
    admin_ = AdminStatements::Make(services, {}, transactions_).value();
    ASSERT_TRUE(admin_->Bootstrap("").ok());
  }

  void Close() {
    if (admin_) admin_->Close();
    admin_.reset();
    auth_.reset();
    query_.reset();
    if (group_) group_->Close();
    group_.reset();
    engine_.reset();
    catalog_.reset();
    store_.reset();
  }

  static catalog::Caller As(std::string user, catalog::Role role) {
    return {std::move(user), role};
  }
  static catalog::Caller Root() { return As("root", catalog::Role::kSystem); }
  static catalog::Caller Dba() { return As("dana", catalog::Role::kDba); }
  static catalog::Caller Service() { return As("sam", catalog::Role::kService); }
  static catalog::Caller User() { return As("ann", catalog::Role::kUser); }

  /// Runs one statement as the request driver would.
  AdminAnswer Run(const std::string& text, const catalog::Caller& caller) {
    AdminAnswer answer;
    const sql::StatementKind kind = sql::ClassifyStatement(text);
    answer.status = CheckStatementRole(kind, text, caller);
    if (!answer.ok()) return answer;
    switch (kind) {
      case sql::StatementKind::kSelect:
      case sql::StatementKind::kInsert:
      case sql::StatementKind::kUpdate:
      case sql::StatementKind::kDelete:
        answer.status = RunQuery(text, caller, &answer);
        return answer;
      default:
        answer.status = RunAdmin(text, caller, &answer);
        return answer;
    }
  }
  AdminAnswer Run(const std::string& text) { return Run(text, Root()); }

  /// Runs and expects success; returns the message.
  std::string Do(const std::string& text, const catalog::Caller& caller) {
    AdminAnswer answer = Run(text, caller);
    EXPECT_TRUE(answer.ok()) << text << "\n" << answer.error();
    return answer.message;
  }
  std::string Do(const std::string& text) { return Do(text, Root()); }
  /// Runs and expects an error; returns its text.
  std::string Fail(const std::string& text, const catalog::Caller& caller) {
    AdminAnswer answer = Run(text, caller);
    EXPECT_FALSE(answer.ok()) << text << "\n" << answer.message;
    return answer.error();
  }
  std::string Fail(const std::string& text) { return Fail(text, Root()); }
  /// The rows of a query.
  std::vector<std::string> Rows(const std::string& text, const catalog::Caller& caller) {
    AdminAnswer answer = Run(text, caller);
    EXPECT_TRUE(answer.ok()) << text << "\n" << answer.error();
    return answer.rows;
  }
  std::vector<std::string> Rows(const std::string& text) { return Rows(text, Root()); }
  /// The only cell of the only row.
  std::string Cell(const std::string& text) {
    const std::vector<std::string> rows = Rows(text);
    EXPECT_EQ(rows.size(), 1u) << text;
    return rows.empty() ? std::string() : rows.front();
  }

  std::filesystem::path directory_;
  MemoryAccount memory_;
  ManualClock clock_;
  Metrics metrics_;
  TransactionRegistry transactions_;
  objects::StorageSet storages_{
      [this](std::string_view id) -> Result<std::optional<objects::StorageSettings>> {
        KALAM_ASSIGN_OR_RETURN(const auto record, catalog_->FindStorage(id));
        if (!record) return std::optional<objects::StorageSettings>();
        return std::optional<objects::StorageSettings>(
            {.storage_id = record->storage_id,
             .type = record->storage_type,
             .base_directory = record->base_directory,
             .config_json = record->config_json,
             .credentials_json = record->credentials_json});
      },
      {.retry_for_ms = 0},
      nullptr};
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<query::QueryEngine> query_;
  std::unique_ptr<auth::Authenticator> auth_;
  std::unique_ptr<AdminStatements> admin_;
  std::string namespace_ = "default";

 private:
  static Status Drain(RowStream& stream, AdminAnswer* answer) {
    for (const ResultColumn& column : stream.schema()) answer->columns.push_back(column.name);
    RowBuffer buffer(stream.schema());
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(const bool more, stream.Next(buffer, 1 << 20));
      if (!more) break;
    }
    for (const std::vector<Value>& row : buffer.rows()) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        if (i > 0) line.push_back('|');
        AppendCellJson(row[i].datum(), buffer.schema()[i].type, &line);
      }
      answer->rows.push_back(std::move(line));
    }
    return Status::Ok();
  }

  Status RunQuery(const std::string& text, const catalog::Caller& caller, AdminAnswer* answer) {
    query::StatementContext context;
    context.caller = caller;
    context.default_namespace = namespace_;
    context.now_us = clock_.NowUs();
    context.on_worker = true;
    KALAM_ASSIGN_OR_RETURN(const query::BoundPlan plan, query_->Prepare(text, {}, context));
    if (query::KindOf(*plan.plan) == query::PlanKind::kSelect) {
      KALAM_ASSIGN_OR_RETURN(auto stream, query_->OpenSelect(plan, context));
      return Drain(*stream, answer);
    }
    KALAM_ASSIGN_OR_RETURN(query::DmlEvaluation evaluation, query_->EvaluateDml(plan, context));
    answer->message = std::to_string(evaluation.row_count);
    if (!evaluation.command) return Status::Ok();
    return replication::ProposeAndWait(*group_, evaluation.command).status;
  }

  Status RunAdmin(const std::string& text, const catalog::Caller& caller, AdminAnswer* answer) {
    KALAM_ASSIGN_OR_RETURN(const sql::Statement statement, sql::ParseStatement(text));
    StatementRun run;
    run.actor = run.effective = caller;
    run.namespace_id = namespace_;
    run.client_address = "10.0.0.7";
    run.now_us = clock_.NowUs();
    KALAM_ASSIGN_OR_RETURN(StatementResult result, admin_->Execute(run, statement, text));
    namespace_ = run.namespace_id;
    answer->message = result.message.value_or("");
    return result.rows ? Drain(*result.rows, answer) : Status::Ok();
  }
};

}  // namespace kalam::statements
