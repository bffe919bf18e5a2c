// What the tests of this layer share: a store, a standalone group, one table, and short ways to
// write and read it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replication/group_test_bench.h"
#include "tables/fake_cold_rows.h"
#include "tables/table_reader.h"
#include "tables/table_writer.h"
#include "types/convert.h"

namespace kalam::tables {

inline constexpr int64_t kStartUs = 1'750'000'000'000'000;

/// `id <key type> PRIMARY KEY, name TEXT, amount INT NOT NULL` and the system columns.
inline catalog::TableDefinition BenchTable(TableId id, catalog::TableType type,
                                           DataType key_type = DataType::Of(TypeKind::kBigInt)) {
  catalog::TableDefinition table;
  table.id = id;
  table.namespace_id = "app";
  table.name = "items" + std::to_string(id.value);
  table.type = type;
  table.next_column_id = 6;
  table.options.ttl_seconds = 60;
  std::vector<catalog::ColumnDefinition> columns(5);
  columns[0] = {
      .column_id = 1, .name = "id", .type = key_type, .nullable = false, .primary_key = true};
  columns[1] = {.column_id = 2, .name = "name", .type = DataType::Of(TypeKind::kText)};
  columns[2] = {
      .column_id = 3, .name = "amount", .type = DataType::Of(TypeKind::kInt), .nullable = false};
  columns[3] = {
      .column_id = 4, .name = "_seq", .type = DataType::Of(TypeKind::kBigInt), .nullable = false};
  columns[4] = {.column_id = 5,
                .name = "_deleted",
                .type = DataType::Of(TypeKind::kBoolean),
                .nullable = false};
  table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
  table.columns =
      std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
  return table;
}

/// The cells of a row of BenchTable by column index; system columns are NULL. `name` must outlive
/// them.
inline std::vector<Datum> Cells(int64_t id, std::string_view name, int64_t amount) {
  return {Datum::BigInt(id), Datum::Text(name), Datum::OfInt(TypeKind::kInt, amount), Datum::Null(),
          Datum::Null()};
}

inline std::string KeyOf(int64_t id) {
  std::string key;
  EncodeKey(Datum::BigInt(id), &key);
  return key;
}

class TablesTest : public testing::Test {
 protected:
  TablesTest() {
    replication::StandaloneOptions options;
    options.clock = &clock_;
    options.durability = storage::Durability::kOs;
    options.segments_version = [this](TableId table) {
      return cold_rows_.SegmentsVersion(table, nullptr);
    };
    auto opened = replication::OpenStandaloneGroup(*database_.store, *database_.catalog, options);
    EXPECT_TRUE(opened.ok());
    group_ = std::move(opened).value();
    reader_.emplace(*database_.store, clock_, &cold_rows_);
  }

  catalog::TablePtr MakeTable(const catalog::TableDefinition& definition) {
    auto command = std::make_shared<replication::Command>();
    command->records = database_.catalog->PutTable(definition);
    Commit(command);
    auto table = database_.catalog->FindTable(definition.id);
    EXPECT_TRUE(table.ok() && *table != nullptr);
    return *table;
  }

  ReadScope ScopeNow(const catalog::TablePtr& table, std::string_view user = "ann") {
    return {table, ScopeFor(*table, user), group_->TakeView(), nullptr};
  }

  /// Commits the command and returns the first `_seq`.
  Seq Commit(std::shared_ptr<replication::Command> command) {
    replication::CommitResult result = replication::ProposeAndWait(*group_, std::move(command));
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.seq_begin;
  }

  Seq Insert(const catalog::TablePtr& table, int64_t id, std::string_view name, int64_t amount,
             std::string_view user = "ann") {
    ReadScope scope = ScopeNow(table, user);
    TableWriter writer(*reader_);
    Status status = writer.Insert(scope, Cells(id, name, amount));
    EXPECT_TRUE(status.ok()) << status.ToString();
    return Commit(writer.Finish(scope.view.seq));
  }
  Seq Update(const catalog::TablePtr& table, int64_t id, std::string_view name, int64_t amount) {
    ReadScope scope = ScopeNow(table);
    TableWriter writer(*reader_);
    StoredRow old_row = Get(scope, id).value();
    Result<bool> changed = writer.Update(scope, old_row, Cells(id, name, amount));
    EXPECT_TRUE(changed.ok() && *changed);
    return Commit(writer.Finish(scope.view.seq));
  }
  Seq Delete(const catalog::TablePtr& table, int64_t id) {
    ReadScope scope = ScopeNow(table);
    TableWriter writer(*reader_);
    EXPECT_TRUE(writer.Delete(scope, Get(scope, id).value()).ok());
    return Commit(writer.Finish(scope.view.seq));
  }

  using Eviction = FakeColdRows::Eviction;
  /// Moves those of the rows that are hot, tombstones too, to the cold tier.
  void Flush(const catalog::TablePtr& table, const std::vector<int64_t>& ids, Eviction eviction,
             std::string_view user = "ann") {
    std::vector<std::string> keys;
    for (int64_t id : ids) keys.push_back(KeyOf(id));
    cold_rows_.Flush(*group_, table, ScopeFor(*table, user), keys, eviction);
  }

  std::optional<StoredRow> Get(const ReadScope& scope, int64_t id, bool include_deleted = false) {
    auto row = reader_->Get(scope, KeyOf(id), include_deleted);
    EXPECT_TRUE(row.ok()) << row.status().ToString();
    return row.ok() ? *row : std::nullopt;
  }

  /// "id:name:amount", with a minus in front when deleted.
  static std::string Show(const catalog::TablePtr& table, uint32_t version, std::string_view row,
                          Seq seq, bool deleted) {
    RowDecoder decoder(table);
    Status status = decoder.Decode(version, row, seq, deleted);
    EXPECT_TRUE(status.ok()) << status.ToString();
    std::string text = deleted ? "-" : "";
    for (size_t i = 0; i < 3; ++i) {
      if (i > 0) text += ":";
      text += decoder.cells()[i].is_null ? "NULL" : ToText(decoder.cells()[i]);
    }
    return text;
  }
  std::string Show(const catalog::TablePtr& table, const std::optional<StoredRow>& row) {
    return row ? Show(table, row->schema_version, row->row, row->seq, row->deleted) : "none";
  }

  /// All rows of a scan, opening it again after every `rows_per_piece` rows.
  std::vector<std::string> Scan(const ReadScope& scope, const ScanOptions& options,
                                size_t rows_per_piece = SIZE_MAX) {
    std::vector<std::string> rows;
    std::string position;
    for (;;) {
      auto scan = reader_->OpenScan(scope, options, position);
      EXPECT_TRUE(scan.ok());
      size_t count = 0;
      for (; count < rows_per_piece; ++count) {
        Result<bool> more = (*scan)->Next();
        EXPECT_TRUE(more.ok()) << more.status().ToString();
        if (!more.ok() || !*more) return rows;
        rows.push_back(Show(scope.table, (*scan)->schema_version(), (*scan)->row(), (*scan)->seq(),
                            (*scan)->deleted()));
        position = (*scan)->Position();
      }
    }
  }

  ManualClock clock_{kStartUs};
  replication::TestDatabase database_;
  FakeColdRows cold_rows_{*database_.store};
  std::unique_ptr<replication::ReplicationGroup> group_;
  std::optional<TableReader> reader_;
};

}  // namespace kalam::tables
