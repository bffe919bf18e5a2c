// Rows in segments through the readers and writers of tables: hot only, cold only, in both places,
// with tombstones on either side; scans against a model.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tables/retention.h"
#include "tables/scan_source.h"
#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using testing::ElementsAre;
using testing::IsEmpty;

class ColdRowsTest : public TablesTest {
 protected:
  std::vector<std::string> ReadState(Seq after, size_t count_max = 4096) {
    ChangeReader changes(*database_.store, clock_, &cold_rows_);
    Seq up_to = group_->published_seq();
    std::vector<std::string> rows;
    for (;;) {
      ChangeLimit limit;
      limit.count_max = count_max;
      auto piece = changes.ReadState(ScopeNow(table_), after, up_to, limit);
      EXPECT_TRUE(piece.ok()) << piece.status().ToString();
      if (!piece.ok() || piece->empty()) return rows;
      for (const StoredChange& change : *piece) {
        bool deleted = change.op == replication::ChangeOp::kDelete;
        rows.push_back(Show(table_, change.schema_version, change.row, change.seq, deleted));
        after = change.seq;
      }
    }
  }

  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kUser));
};

TEST_F(ColdRowsTest, ARowIsFoundWhereverItLies) {
  for (int64_t id : {1, 2, 3}) Insert(table_, id, "n", id);
  Flush(table_, {1, 2}, Eviction::kDone);
  EXPECT_EQ(database_.Count(storage::Family::kRows, table_->id), 1);
  Flush(table_, {3}, Eviction::kPending);
  ReadScope scope = ScopeNow(table_);
  std::optional<StoredRow> cold = Get(scope, 1);
  EXPECT_EQ(Show(table_, cold), "1:n:1");
  EXPECT_TRUE(cold->cold);
  std::optional<StoredRow> in_both = Get(scope, 3);
  EXPECT_EQ(Show(table_, in_both), "3:n:3");
  EXPECT_FALSE(in_both->cold);
  EXPECT_EQ(Get(scope, 4), std::nullopt);
  EXPECT_EQ(Get(ScopeNow(table_, "bob"), 1), std::nullopt);
  EXPECT_THAT(Scan(scope, {}), ElementsAre("1:n:1", "2:n:2", "3:n:3"));
  ScanOptions by_seq;
  by_seq.order = ScanOrder::kBySeq;
  EXPECT_THAT(Scan(scope, by_seq), ElementsAre("1:n:1", "2:n:2", "3:n:3"));
  EXPECT_THAT(Scan(ScopeNow(table_, "bob"), {}), IsEmpty());
}

TEST_F(ColdRowsTest, TheHotVersionHidesTheColdOne) {
  for (int64_t id : {1, 2, 3}) Insert(table_, id, "old", id);
  Flush(table_, {1, 2, 3}, Eviction::kDone);
  Update(table_, 1, "new", 1);
  Delete(table_, 2);
  ReadScope scope = ScopeNow(table_);
  EXPECT_EQ(Show(table_, Get(scope, 1)), "1:new:1");
  EXPECT_EQ(Get(scope, 2), std::nullopt);
  EXPECT_EQ(Show(table_, Get(scope, 2, true)), "-2:old:2");
  ScanOptions options;
  EXPECT_THAT(Scan(scope, options), ElementsAre("1:new:1", "3:old:3"));
  options.include_deleted = true;
  EXPECT_THAT(Scan(scope, options), ElementsAre("1:new:1", "-2:old:2", "3:old:3"));
  options.order = ScanOrder::kBySeq;
  EXPECT_THAT(Scan(scope, options), ElementsAre("3:old:3", "1:new:1", "-2:old:2"));
  options.include_deleted = false;
  EXPECT_THAT(Scan(scope, options), ElementsAre("3:old:3", "1:new:1"));
}

TEST_F(ColdRowsTest, AColdTombstoneIsATombstone) {
  Insert(table_, 1, "a", 1);
  Insert(table_, 2, "b", 2);
  Delete(table_, 1);
  Flush(table_, {1, 2}, Eviction::kDone);
  ReadScope scope = ScopeNow(table_);
  EXPECT_EQ(Get(scope, 1), std::nullopt);
  EXPECT_EQ(Show(table_, Get(scope, 1, true)), "-1:a:1");
  ScanOptions options;
  EXPECT_THAT(Scan(scope, options), ElementsAre("2:b:2"));
  options.include_deleted = true;
  EXPECT_THAT(Scan(scope, options), ElementsAre("-1:a:1", "2:b:2"));
  options.order = ScanOrder::kBySeq;
  options.descending = true;
  EXPECT_THAT(Scan(scope, options), ElementsAre("-1:a:1", "2:b:2"));
  // The key is free, and what is put there is an insert.
  Insert(table_, 1, "again", 3);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:again:3", "2:b:2"));
}

TEST_F(ColdRowsTest, AViewKeepsWhatItSawWhileRowsMove) {
  for (int64_t id : {1, 2}) Insert(table_, id, "a", id);
  ReadScope before = ScopeNow(table_);
  Flush(table_, {1, 2}, Eviction::kPending);
  ReadScope between = ScopeNow(table_);
  Flush(table_, {1, 2}, Eviction::kDone);
  ReadScope after = ScopeNow(table_);
  Update(table_, 1, "b", 1);
  ScanOptions by_seq;
  by_seq.order = ScanOrder::kBySeq;
  for (const ReadScope& scope : {before, between, after}) {
    EXPECT_EQ(Show(table_, Get(scope, 1)), "1:a:1");
    EXPECT_THAT(Scan(scope, {}), ElementsAre("1:a:1", "2:a:2"));
    EXPECT_THAT(Scan(scope, by_seq), ElementsAre("1:a:1", "2:a:2"));
  }
  EXPECT_FALSE(Get(between, 1)->cold);
  EXPECT_TRUE(Get(after, 1)->cold);
}

TEST_F(ColdRowsTest, SeqBeforeLastCountsColdRows) {
  std::vector<Seq> seqs;
  for (int64_t id = 1; id <= 6; ++id) seqs.push_back(Insert(table_, id, "n", id));
  Flush(table_, {1, 2, 3, 5}, Eviction::kDone);
  Delete(table_, 3);
  ReadScope scope = ScopeNow(table_);
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 2), Seq{seqs[4].value - 1});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 4), Seq{seqs[1].value - 1});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 5), Seq{seqs[0].value - 1});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 6), Seq{0});
}

TEST_F(ColdRowsTest, AResumeFromStateTellsOfColdRowsAndTombstones) {
  Seq first = Insert(table_, 1, "a", 1);
  for (int64_t id : {2, 3, 4, 5}) Insert(table_, id, "b", id);
  Delete(table_, 2);
  Update(table_, 3, "c", 3);
  Flush(table_, {1, 2, 3, 4}, Eviction::kDone);
  Update(table_, 4, "d", 4);
  EXPECT_THAT(ReadState(first), ElementsAre("5:b:5", "-2:b:2", "3:c:3", "4:d:4"));
  EXPECT_THAT(ReadState(first, 1), ElementsAre("5:b:5", "-2:b:2", "3:c:3", "4:d:4"));
  EXPECT_THAT(ReadState({0}), ElementsAre("1:a:1", "5:b:5", "-2:b:2", "3:c:3", "4:d:4"));
}

TEST_F(ColdRowsTest, ATakenKeyIsTakenInASegmentToo) {
  Insert(table_, 1, "a", 1);
  Flush(table_, {1}, Eviction::kDone);
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  EXPECT_EQ(writer.Insert(scope, Cells(1, "b", 2)).message(),
            "Primary key violation: value '1' already exists in column 'id'");
  EXPECT_EQ(Show(table_, *writer.FindConflicting(scope, Cells(1, "b", 2))), "1:a:1");
  EXPECT_EQ(*writer.FindConflicting(scope, Cells(2, "b", 2)), std::nullopt);
  EXPECT_TRUE(writer.Insert(ScopeNow(table_, "bob"), Cells(1, "b", 2)).ok());
}

TEST_F(ColdRowsTest, ChangesOfColdRowsNameTheirVersion) {
  Seq first = Insert(table_, 1, "a", 1);
  Seq second = Insert(table_, 2, "b", 2);
  Flush(table_, {1, 2}, Eviction::kDone);
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  ASSERT_TRUE(*writer.Update(scope, *Get(scope, 1), Cells(1, "c", 1)));
  ASSERT_TRUE(writer.Delete(scope, *Get(scope, 2)).ok());
  ASSERT_TRUE(writer.Insert(scope, Cells(3, "d", 3)).ok());
  auto command = writer.Finish(scope.view.seq);
  ASSERT_EQ(command->rows.size(), 3u);
  EXPECT_EQ(command->rows[0].read_seq, first);
  EXPECT_TRUE(command->rows[0].read_was_cold);
  EXPECT_EQ(command->rows[1].read_seq, second);
  EXPECT_TRUE(command->rows[1].read_was_cold);
  EXPECT_FALSE(command->rows[1].old_cells.empty());
  EXPECT_FALSE(command->rows[2].read_was_cold);
  for (const replication::RowMutation& row : command->rows) EXPECT_EQ(row.segments_version, 1u);
  Commit(command);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:c:1", "3:d:3"));
  EXPECT_EQ(database_.Count(storage::Family::kOrder, table_->id), 3);
  // A deleted row does not come back, whichever way it moves.
  Flush(table_, {2}, Eviction::kDone);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:c:1", "3:d:3"));
  EXPECT_EQ(Get(ScopeNow(table_), 2), std::nullopt);
}

TEST_F(ColdRowsTest, AKeyThatWasWrittenAndMovedSinceTheViewIsAConflict) {
  Insert(table_, 1, "a", 1);
  Flush(table_, {1}, Eviction::kDone);
  ReadScope scope = ScopeNow(table_);
  TableWriter updating(*reader_);
  ASSERT_TRUE(*updating.Update(scope, *Get(scope, 1), Cells(1, "lost?", 1)));
  TableWriter inserting(*reader_);
  ASSERT_TRUE(inserting.Insert(scope, Cells(2, "twice?", 1)).ok());
  Update(table_, 1, "b", 1);
  Insert(table_, 2, "first", 1);
  Flush(table_, {1, 2}, Eviction::kDone);
  EXPECT_TRUE(replication::ProposeAndWait(*group_, updating.Finish(scope.view.seq))
                  .status.Is(ErrorKind::Conflict));
  EXPECT_TRUE(replication::ProposeAndWait(*group_, inserting.Finish(scope.view.seq))
                  .status.Is(ErrorKind::Conflict));
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:b:1", "2:first:1"));
}

TEST_F(ColdRowsTest, ATransactionChangesColdRows) {
  for (int64_t id : {1, 2, 3}) Insert(table_, id, "a", id);
  Flush(table_, {1, 2, 3}, Eviction::kDone);
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
  scope.transaction = &transaction;
  ASSERT_TRUE(*transaction.writer().Update(scope, *Get(scope, 1), Cells(1, "b", 1)));
  ASSERT_TRUE(*transaction.writer().Update(scope, *Get(scope, 1), Cells(1, "c", 1)));
  ASSERT_TRUE(transaction.writer().Delete(scope, *Get(scope, 2)).ok());
  transaction.writer().BeginStatement();
  ASSERT_TRUE(transaction.writer().Insert(scope, Cells(2, "back", 9)).ok());
  EXPECT_THAT(Scan(scope, {}), ElementsAre("1:c:1", "2:back:9", "3:a:3"));
  auto command = transaction.Finish();
  ASSERT_EQ(command->rows.size(), 2u);
  for (const replication::RowMutation& row : command->rows) {
    EXPECT_EQ(row.op, replication::ChangeOp::kUpdate);
    EXPECT_TRUE(row.read_was_cold);
  }
  Commit(command);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:c:1", "2:back:9", "3:a:3"));
}

TEST_F(ColdRowsTest, RowsOfOlderSchemasAreChangedInTheNewOne) {
  Insert(table_, 1, "a", 1);
  Insert(table_, 2, "b", 2);
  Flush(table_, {1, 2}, Eviction::kDone);
  catalog::TableDefinition altered = *table_;
  auto columns = *altered.columns;
  columns.insert(columns.begin() + 3,
                 {.column_id = 6, .name = "note", .type = DataType::Of(TypeKind::kText)});
  auto layouts = *altered.layouts;
  layouts.push_back(catalog::LayoutOf(columns));
  altered.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
  altered.layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
  altered.schema_version = 2;
  altered.next_column_id = 7;
  table_ = MakeTable(altered);
  ReadScope scope = ScopeNow(table_);
  EXPECT_THAT(Scan(scope, {}), ElementsAre("1:a:1", "2:b:2"));
  TableWriter writer(*reader_);
  std::vector<Datum> cells = Cells(1, "a", 1);
  cells.insert(cells.begin() + 3, Datum::Text("noted"));
  ASSERT_TRUE(*writer.Update(scope, *Get(scope, 1), cells));
  ASSERT_TRUE(writer.Delete(scope, *Get(scope, 2)).ok());
  Commit(writer.Finish(scope.view.seq));
  std::optional<StoredRow> updated = Get(ScopeNow(table_), 1);
  ASSERT_TRUE(updated.has_value());
  EXPECT_EQ(updated->schema_version, 2u);
  EXPECT_FALSE(updated->cold);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), ElementsAre("1:a:1"));
}

TEST_F(ColdRowsTest, ATombstoneStaysWhileASegmentHasItsKey) {
  for (int64_t id : {1, 2}) Insert(table_, id, "a", id);
  Flush(table_, {1}, Eviction::kDone);
  Delete(table_, 1);
  Seq deleted = Delete(table_, 2);
  auto purge = PrepareTombstonePurge(*reader_, group_->TakeView(), table_, deleted, 10, {});
  ASSERT_TRUE(purge.ok());
  EXPECT_EQ(purge->tombstone_count, 1);
  Commit(purge->command);
  EXPECT_EQ(database_.Count(storage::Family::kRows, table_->id), 1);
  EXPECT_THAT(Scan(ScopeNow(table_), {}), IsEmpty());
}

TEST_F(ColdRowsTest, TheEngineReadsHotAndColdRowsOfEveryPart) {
  for (int64_t id = 1; id <= 20; ++id) Insert(table_, id, "n", id);
  Flush(table_, {1, 2, 3, 10, 11, 19}, Eviction::kDone);
  Delete(table_, 2);
  auto source = MakeTableSource(*reader_, ScopeNow(table_), false);
  std::vector<int64_t> ids;
  for (size_t part = 0; part < source->part_count(); ++part) {
    const uint32_t column = 0;
    auto opened = source->OpenPart(part, {&column, 1}, {});
    ASSERT_TRUE(opened.ok());
    for (;;) {
      Result<bool> more = (*opened)->Next();
      ASSERT_TRUE(more.ok());
      if (!*more) break;
      ids.push_back((*opened)->cells()[0].i);
    }
  }
  std::sort(ids.begin(), ids.end());
  std::vector<int64_t> expected;
  for (int64_t id = 1; id <= 20; ++id) {
    if (id != 2) expected.push_back(id);
  }
  EXPECT_EQ(ids, expected);
}

/// What a table must hold: text and order of the newest version of each key.
struct ModelRow {
  std::string text;
  int64_t order = 0;
  bool deleted = false;
};

TEST_F(ColdRowsTest, ScansMatchAModelWhileRowsMove) {
  std::mt19937_64 random(17);
  std::map<int64_t, ModelRow> model;
  int64_t order = 0;
  for (int round = 0; round < 40; ++round) {
    for (int step = 0; step < 12; ++step) {
      const int64_t id = static_cast<int64_t>(random() % 30);
      const int64_t amount = round * 100 + step;
      const bool live = model.contains(id) && !model[id].deleted;
      ASSERT_EQ(Get(ScopeNow(table_), id).has_value(), live) << id;
      std::string text = std::to_string(id) + ":n:" + std::to_string(amount);
      if (!live) {
        Insert(table_, id, "n", amount);
        model[id] = {text, order++, false};
      } else if (random() % 3 != 0) {
        Update(table_, id, "n", amount);
        model[id] = {text, order++, false};
      } else {
        Delete(table_, id);
        model[id] = {"-" + model[id].text, order++, true};
      }
    }
    std::vector<int64_t> moving;
    for (const auto& [id, row] : model) {
      if (random() % 2 == 0) moving.push_back(id);
    }
    Flush(table_, moving, random() % 3 == 0 ? Eviction::kPending : Eviction::kDone);
    const ReadScope scope = ScopeNow(table_);
    for (bool include_deleted : {false, true}) {
      for (bool descending : {false, true}) {
        for (ScanOrder scan_order : {ScanOrder::kByKey, ScanOrder::kBySeq}) {
          ScanOptions options;
          options.order = scan_order;
          options.descending = descending;
          options.include_deleted = include_deleted;
          std::vector<ModelRow> rows;
          for (const auto& [id, row] : model) {
            bool in_bounds = scan_order == ScanOrder::kBySeq || (id >= 5 && id < 25);
            if (in_bounds && (include_deleted || !row.deleted)) rows.push_back(row);
          }
          if (scan_order == ScanOrder::kBySeq) {
            std::sort(rows.begin(), rows.end(),
                      [](const ModelRow& a, const ModelRow& b) { return a.order < b.order; });
          } else {
            options.key_lower = KeyOf(5);
            options.key_upper = KeyOf(25);
          }
          if (descending) std::reverse(rows.begin(), rows.end());
          std::vector<std::string> expected;
          for (const ModelRow& row : rows) expected.push_back(row.text);
          ASSERT_EQ(Scan(scope, options), expected);
          ASSERT_EQ(Scan(scope, options, 1), expected) << "resumed after every row";
          ASSERT_EQ(Scan(scope, options, 4), expected) << "resumed after every fourth row";
        }
      }
    }
  }
  EXPECT_EQ(database_.Count(storage::Family::kRows, table_->id),
            database_.Count(storage::Family::kOrder, table_->id));
}

}  // namespace
}  // namespace kalam::tables
