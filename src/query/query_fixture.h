// For the tests of this layer: a database in a temporary folder with tables made directly, and an
// engine that only records.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "base/id_generators.h"
#include "query/query_engine.h"
#include "replication/group.h"
#include "tables/table_writer.h"
#include "types/convert.h"

namespace kalam::query {

/// Stands for the analytical engine: remembers what it was asked and answers with fixed rows.
class RecordingEngine final : public analytics::Engine {
 public:
  Status CheckAvailable() const override { return Status::Ok(); }
  Result<std::unique_ptr<RowStream>> Execute(analytics::EngineQuery query) override {
    last_sql = query.sql;
    source_count = query.sources.size();
    if (answer == nullptr) return Status(ErrorKind::NotAvailable, "no engine here");
    return OpenStream(answer);
  }
  Result<std::string> Explain(analytics::EngineQuery) override {
    return std::string("engine's own plan");
  }
  Result<analytics::ParquetFileSummary> WriteParquet(const analytics::ParquetFile&) override {
    return Status(ErrorKind::NotAvailable, "no engine here");
  }
  bool loaded() const override { return false; }
  void CloseIfIdle(int64_t) override {}
  void CloseIfUnused() override {}
  void Close() override {}

  std::string last_sql;
  size_t source_count = 0;
  std::shared_ptr<const RowBuffer> answer;
};

/// Rows as lines, cells joined by '|'.
class LineSink final : public RowSink {
 public:
  void BeginRow() override { lines.emplace_back(); }
  void Cell(const Datum& cell, const DataType& type) override {
    if (!lines.back().empty()) lines.back() += '|';
    lines.back() += cell.is_null ? "NULL" : ToText(cell);
    if (!cell.is_null && cell.kind != type.kind) lines.back() += "(kind!)";
    bytes_ += lines.back().size();
  }
  void EndRow() override {}
  size_t buffered_bytes() const override { return bytes_; }

  std::vector<std::string> lines;

 private:
  size_t bytes_ = 0;
};

class QueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 ("kalam_query_test_" + std::to_string(::getpid()) + "_" + RandomHex(8));
    std::filesystem::create_directories(directory_);
    storage::StoreOptions store_options;
    store_options.path = directory_ / "store";
    store_ = std::move(storage::Store::Open(store_options)).value();
    catalog_ = std::move(catalog::Catalog::Open(*store_, account_, 100)).value();
    replication::StandaloneOptions group_options;
    group_options.durability = storage::Durability::kOs;
    group_ = std::move(replication::OpenStandaloneGroup(*store_, *catalog_, group_options)).value();
    MakeEngine({});
    Propose(catalog_->PutNamespace({"app", "", 0}));
    const auto integer = [](const char* name, bool key) {
      return catalog::ColumnDefinition{.name = name,
                                       .type = DataType::Of(TypeKind::kBigInt),
                                       .nullable = !key,
                                       .primary_key = key};
    };
    catalog::ColumnDefinition name{.name = "name", .type = DataType::Of(TypeKind::kText)};
    catalog::ColumnDefinition score{.name = "score", .type = DataType::Of(TypeKind::kInt)};
    catalog::ColumnDefinition price{.name = "price", .type = DataType::Decimal(10, 2)};
    catalog::ColumnDefinition created{.name = "created",
                                      .type = DataType::Of(TypeKind::kTimestamp)};
    created.default_value.kind = catalog::ColumnDefault::Kind::kNow;
    catalog::ColumnDefinition required{
        .name = "required", .type = DataType::Of(TypeKind::kInt), .nullable = false};
    notes_ = AddTable("notes", catalog::TableType::kUser,
                      {integer("id", true), name, score, price, created, required});
    AddTable("shared", catalog::TableType::kShared, {integer("id", true), name, score});
    AddTable("events", catalog::TableType::kStream, {integer("id", true), name});
  }

  void TearDown() override {
    engine_.reset();
    group_->Close();
    group_.reset();
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void MakeEngine(const QueryLimits& limits, segments::ColdRows* cold_rows = nullptr) {
    engine_ = QueryEngine::Make(
        {*store_, *catalog_, *group_, analytics_, clock_, account_, metrics_, cold_rows}, limits);
  }

  void Propose(catalog::RecordWrites records) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    ASSERT_TRUE(replication::ProposeAndWait(*group_, std::move(command)).status.ok());
  }

  catalog::TablePtr AddTable(std::string name, catalog::TableType type,
                             std::vector<catalog::ColumnDefinition> columns) {
    catalog::TableDefinition table;
    table.id = catalog_->AllocateTableId();
    table.namespace_id = "app";
    table.name = std::move(name);
    table.type = type;
    table.options.access_level = catalog::AccessLevel::kPublic;
    table.options.ttl_seconds = type == catalog::TableType::kStream ? 60 : 0;
    columns.push_back({.name = "_seq", .type = DataType::Of(TypeKind::kBigInt), .nullable = false});
    columns.push_back(
        {.name = "_deleted", .type = DataType::Of(TypeKind::kBoolean), .nullable = false});
    for (auto& column : columns) column.column_id = table.next_column_id++;
    table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table.columns =
        std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
    Propose(catalog_->PutTable(table));
    return catalog_->FindTable("app", table.name).value();
  }

  StatementContext Context(std::string user = "ann", catalog::Role role = catalog::Role::kUser) {
    StatementContext context;
    context.caller = {std::move(user), role};
    context.default_namespace = "app";
    context.now_us = clock_.NowUs();
    context.transaction = transaction_.get();
    return context;
  }

  /// Runs one statement: the rows of a SELECT or RETURNING, "N" for DML, "error: ..." for a
  /// failure.
  std::vector<std::string> Run(std::string_view text, std::vector<Value> parameters = {}) {
    return RunAs(Context(), text, std::move(parameters));
  }

  std::vector<std::string> RunAs(const StatementContext& context, std::string_view text,
                                 std::vector<Value> parameters = {}) {
    Result<BoundPlan> bound = engine_->Prepare(text, parameters, context);
    if (!bound.ok()) return {"error: " + bound.status().ToString()};
    if (KindOf(*bound->plan) == PlanKind::kSelect) {
      Result<std::unique_ptr<RowStream>> stream = engine_->OpenSelect(*bound, context);
      if (!stream.ok()) return {"error: " + stream.status().ToString()};
      return Drain(**stream, SIZE_MAX);
    }
    Result<DmlEvaluation> evaluation = engine_->EvaluateDml(*bound, context);
    if (!evaluation.ok()) return {"error: " + evaluation.status().ToString()};
    if (evaluation->command != nullptr) {
      const auto committed = replication::ProposeAndWait(*group_, evaluation->command);
      if (!committed.status.ok()) return {"error: " + committed.status.ToString()};
    }
    if (evaluation->returning != nullptr)
      return Drain(*OpenStream(evaluation->returning), SIZE_MAX);
    return {std::to_string(evaluation->row_count)};
  }

  std::vector<std::string> Drain(RowStream& stream, size_t chunk_bytes) {
    std::vector<std::string> lines;
    bool more = true;
    while (more) {
      LineSink sink;
      Result<bool> next = stream.Next(sink, chunk_bytes);
      lines.insert(lines.end(), sink.lines.begin(), sink.lines.end());
      if (!next.ok()) return {"error: " + next.status().ToString()};
      more = *next;
    }
    last_notice_ = stream.notice();
    return lines;
  }

  std::string Explain(std::string_view text) {
    auto rows = engine_->Explain(text, {}, Context(), false, false);
    if (!rows.ok()) return rows.status().ToString();
    std::string all;
    for (const auto& row : (*rows)->rows()) all += std::string(row[1].datum().text()) + "\n";
    return all;
  }

  std::filesystem::path directory_;
  MemoryAccount account_{"root", nullptr};
  Metrics metrics_;
  ManualClock clock_{1'750'000'000'000'000};
  RecordingEngine analytics_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::unique_ptr<QueryEngine> engine_;
  std::unique_ptr<tables::Transaction> transaction_;
  catalog::TablePtr notes_;
  std::string last_notice_;
};

using Lines = std::vector<std::string>;

}  // namespace kalam::query
