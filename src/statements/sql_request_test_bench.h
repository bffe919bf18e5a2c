// A server core in a temp directory, driven through SqlRequest as the network layers do.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "analytics/engine.h"
#include "statements/sql_request.h"
#include "types/convert.h"

namespace kalam::statements {

/// One entry of an answer as text: a message, or `row;row` with cells joined by `|`.
struct Answer {
  std::vector<std::string> results;
  std::vector<std::string> as_users;
  std::string error;  // message; empty on success
  std::string code;
  std::string details;
  int http_status = 200;
  int position = -1;
  bool used_worker = false;
};

class SqlRequestTest : public ::testing::Test {
 protected:
  SqlRequestTest() : memory_("server", nullptr) {
    directory_ = std::filesystem::temp_directory_path() /
                 ("sql_request_test_" + std::to_string(getpid()) + "_" +
                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~SqlRequestTest() override {
    if (processor_) processor_->Close();
    processor_.reset();
    if (auth_) auth_->Close();
    auth_.reset();
    query_.reset();
    if (group_) group_->Close();
    group_.reset();
    catalog_.reset();
    store_.reset();  // nothing works in the folder any more
    std::filesystem::remove_all(directory_);
  }
  void SetUp() override { Open({}); }
  /// What the server proposes to; a test may stand between.
  virtual std::unique_ptr<replication::ReplicationGroup> MakeGroup(
      std::unique_ptr<replication::ReplicationGroup> group) {
    return group;
  }

  void Open(const StatementLimits& limits) {
    storage::StoreOptions options;
    options.path = directory_ / "rocksdb";
    store_ = storage::Store::Open(options).value();
    catalog_ = catalog::Catalog::Open(*store_, memory_.Child("catalog"), 100).value();
    replication::StandaloneOptions group_options;
    group_options.durability = storage::Durability::kOs;
    group_ = MakeGroup(replication::OpenStandaloneGroup(*store_, *catalog_, group_options).value());
    analytics::EngineOptions engine_options;
    engine_options.enabled = false;
    engine_ = analytics::MakeEngine(engine_options);
    query_ = query::QueryEngine::Make(
        {*store_, *catalog_, *group_, *engine_, SystemClock(), memory_, metrics_}, {});
    auth::AuthOptions auth_options;
    auth_options.jwt_secret = "a secret of tests that is long enough";
    auth_options.bcrypt_cost = 4;
    auto write = [this](catalog::RecordWrites records) {
      auto command = std::make_shared<replication::Command>();
      command->records = std::move(records);
      return replication::ProposeAndWait(*group_, std::move(command)).status;
    };
    auth_ =
        auth::Authenticator::Make(auth_options, *catalog_, *store_, write, SystemClock()).value();
    StatementServices services{.store = *store_,
                               .catalog = *catalog_,
                               .group = *group_,
                               .query = *query_,
                               .auth = *auth_,
                               .clock = SystemClock(),
                               .memory = memory_,
                               .metrics = metrics_};
    services.data_directory = directory_;
    services.log_directory = directory_;
    processor_ = StatementProcessor::Make(std::move(services), limits).value();
    ASSERT_TRUE(processor_->Bootstrap("").ok());
  }

  static catalog::Caller Dba() { return {"root", catalog::Role::kDba}; }
  static catalog::Caller User(std::string id) { return {std::move(id), catalog::Role::kUser}; }

  /// Advances a request to its end: on this thread as an I/O thread until it asks for a worker.
  static void Drive(SqlRequest& request, bool* used_worker) {
    std::mutex mutex;
    std::condition_variable woken;
    bool wake = false;
    for (;;) {
      const SqlRequest::Step step = request.Advance(*used_worker, [&] {
        const std::lock_guard lock(mutex);
        wake = true;
        woken.notify_one();
      });
      if (step == SqlRequest::Step::kFinished) return;
      if (step == SqlRequest::Step::kNeedsWorker) {
        ASSERT_FALSE(*used_worker);
        *used_worker = true;
        continue;
      }
      std::unique_lock lock(mutex);
      woken.wait(lock, [&] { return wake; });
      wake = false;
    }
  }

  static std::string RowsOf(RowStream& rows) {
    RowBuffer buffer(rows.schema());
    for (bool more = true; more;) {
      Result<bool> next = rows.Next(buffer, buffer.buffered_bytes() + 4096);
      if (!next.ok()) return "error: " + next.status().ToString();
      more = *next;
    }
    std::string text;
    for (const std::vector<Value>& row : buffer.rows()) {
      if (!text.empty()) text += ";";
      std::string line;
      for (const Value& cell : row) {
        if (!line.empty()) line += "|";
        line += cell.is_null() ? "NULL" : ToText(cell.datum());
      }
      text += line;
    }
    return text;
  }

  Answer Send(RequestInput input) {
    std::unique_ptr<SqlRequest> request = processor_->Start(std::move(input));
    Answer answer;
    Drive(*request, &answer.used_worker);
    if (const RequestError* error = request->error()) {
      answer.error = error->message;
      answer.code = error->code;
      answer.details = error->details;
      answer.http_status = error->http_status;
      answer.position = error->status.position();
    }
    for (StatementResult& result : request->results()) {
      answer.results.push_back(result.rows ? RowsOf(*result.rows) : result.message.value_or(""));
      answer.as_users.push_back(result.as_user);
    }
    request->Finish(0);
    return answer;
  }
  Answer Send(const std::string& sql, const catalog::Caller& caller,
              std::vector<Value> parameters = {}) {
    RequestInput input;
    input.sql = sql;
    input.caller = caller;
    input.parameters = std::move(parameters);
    input.namespace_id = "app";
    input.client_address = "127.0.0.1";
    return Send(std::move(input));
  }
  /// The results, or the error.
  std::vector<std::string> Run(const std::string& sql, const catalog::Caller& caller) {
    Answer answer = Send(sql, caller);
    if (!answer.error.empty()) return {"error: " + answer.error};
    return answer.results;
  }
  void Prepare() {
    Answer answer = Send(
        "CREATE NAMESPACE app; CREATE USER TABLE notes (id BIGINT PRIMARY KEY, body TEXT, n INT);"
        "CREATE SHARED TABLE board (id BIGINT PRIMARY KEY, body TEXT) WITH (ACCESS_LEVEL = "
        "'PUBLIC')",
        Dba());
    ASSERT_EQ(answer.error, "");
  }

  std::filesystem::path directory_;
  MemoryAccount memory_;
  Metrics metrics_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<analytics::Engine> engine_;
  std::unique_ptr<query::QueryEngine> query_;
  std::unique_ptr<auth::Authenticator> auth_;
  std::unique_ptr<StatementProcessor> processor_;
};

}  // namespace kalam::statements
