// Constraints, changed cells, and how several touches of one key become one step.
#include "tables/table_writer.h"

#include <gmock/gmock.h>

#include "tables/tables_test_bench.h"
#include "types/row_codec.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using replication::ChangeOp;
using replication::RowMutation;
using testing::ElementsAre;

class TableWriterTest : public TablesTest {
 protected:
  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kUser));

  /// "insert id:name:amount (old cells)".
  std::string Show(const RowMutation& row) {
    const char* ops[] = {"", "insert ", "update ", "delete "};
    std::string text = ops[static_cast<int>(row.op)] +
                       TablesTest::Show(table_, row.schema_version, row.row, {}, false);
    auto old_cells = DecodeSparseRow(table_->layout(), row.old_cells);
    EXPECT_TRUE(old_cells.ok());
    for (const SparseCell& cell : *old_cells) {
      text += " " + std::to_string(cell.position) + "=" +
              (cell.value.is_null ? "NULL" : ToText(cell.value));
    }
    return text;
  }
  std::vector<std::string> Show(const std::shared_ptr<replication::Command>& command) {
    std::vector<std::string> rows;
    if (command == nullptr) return rows;
    for (const RowMutation& row : command->rows) rows.push_back(Show(row));
    return rows;
  }
};

TEST_F(TableWriterTest, DuplicateKeysAreNamed) {
  Insert(table_, 1, "a", 1);
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  Status status = writer.Insert(scope, Cells(1, "b", 2));
  EXPECT_TRUE(status.Is(ErrorKind::AlreadyExists));
  EXPECT_EQ(status.message(), "Primary key violation: value '1' already exists in column 'id'");
  ASSERT_TRUE(writer.Insert(scope, Cells(2, "b", 2)).ok());
  EXPECT_EQ(writer.Insert(scope, Cells(2, "c", 2)).message(),
            "Primary key violation: value '2' appears multiple times in the insert batch for "
            "column 'id'");
  writer.BeginStatement();
  EXPECT_EQ(writer.Insert(scope, Cells(2, "c", 2)).message(),
            "Primary key violation: value '2' already exists in column 'id'");
}

TEST_F(TableWriterTest, KeysOfDifferentUsersDoNotMeet) {
  Insert(table_, 1, "a", 1, "ann");
  Insert(table_, 1, "b", 2, "bob");
  EXPECT_EQ(TablesTest::Show(table_, Get(ScopeNow(table_, "ann"), 1)), "1:a:1");
  EXPECT_EQ(TablesTest::Show(table_, Get(ScopeNow(table_, "bob"), 1)), "1:b:2");
  EXPECT_THAT(Scan(ScopeNow(table_, "ann"), {}), ElementsAre("1:a:1"));
}

TEST_F(TableWriterTest, NullsInNotNullColumnsAreRefused) {
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  ASSERT_TRUE(writer.Insert(scope, Cells(1, "a", 1)).ok());
  std::vector<Datum> cells = Cells(2, "b", 2);
  cells[2] = Datum::Null(TypeKind::kInt);
  Status status = writer.Insert(scope, cells);
  EXPECT_TRUE(status.Is(ErrorKind::ConstraintViolation));
  EXPECT_EQ(status.message(),
            "NOT NULL constraint violation: column 'amount' cannot be NULL (row 1)");
  cells = Cells(3, "c", 3);
  cells[0] = Datum::Null(TypeKind::kBigInt);
  EXPECT_TRUE(writer.Insert(scope, cells).Is(ErrorKind::ConstraintViolation));
  cells = Cells(4, "d", 4);
  cells[1] = Datum::Null(TypeKind::kText);
  EXPECT_TRUE(writer.Insert(scope, cells).ok());
  EXPECT_EQ(writer.row_count(), 2u);
}

TEST_F(TableWriterTest, AnUpdateCarriesTheCellsThatChanged) {
  Insert(table_, 1, "a", 1);
  ReadScope scope = ScopeNow(table_);
  StoredRow old_row = *Get(scope, 1);
  TableWriter writer(*reader_);
  Result<bool> same = writer.Update(scope, old_row, Cells(1, "a", 1));
  ASSERT_TRUE(same.ok());
  EXPECT_FALSE(*same);
  EXPECT_EQ(writer.row_count(), 0u);
  ASSERT_TRUE(*writer.Update(scope, old_row, Cells(1, "a", 2)));
  auto command = writer.Finish(scope.view.seq);
  EXPECT_THAT(Show(command), ElementsAre("update 1:a:2 2=1"));
  EXPECT_EQ(command->rows[0].read_seq, old_row.seq);
  EXPECT_EQ(command->view_seq, scope.view.seq);
  EXPECT_EQ(writer.Finish(scope.view.seq), nullptr);
}

// A row of 15 bytes lives inside its string object, and moves with it.
TEST_F(TableWriterTest, ADeleteOfAShortRowCarriesAllItsCells) {
  Insert(table_, 1, "", 7);
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  const StoredRow old_row = *Get(scope, 1);
  ASSERT_LE(old_row.row.size(), 15u);
  ASSERT_TRUE(writer.Delete(scope, old_row).ok());
  EXPECT_THAT(Show(writer.Finish(scope.view.seq)), ElementsAre("delete 1::7 0=1 1= 2=7"));
}

TEST_F(TableWriterTest, RowsKeepTheOrderOfTheirFirstTouch) {
  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  for (int64_t id : {5, 3, 9}) ASSERT_TRUE(writer.Insert(scope, Cells(id, "n", id)).ok());
  EXPECT_THAT(Show(writer.Finish(scope.view.seq)),
              ElementsAre("insert 5:n:5", "insert 3:n:3", "insert 9:n:9"));
}

TEST_F(TableWriterTest, TouchesOfAKeyCollapse) {
  for (int64_t id = 1; id <= 5; ++id) Insert(table_, id, "old", id);
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
  TableWriter& writer = transaction.writer();
  auto row = [&](int64_t id) {
    ReadScope overlaid = scope;
    overlaid.transaction = &transaction;
    return *Get(overlaid, id);
  };
  // Insert and delete: nothing.
  ASSERT_TRUE(writer.Insert(scope, Cells(10, "new", 1)).ok());
  ASSERT_TRUE(writer.Delete(scope, row(10)).ok());
  // Insert and update: an insert.
  ASSERT_TRUE(writer.Insert(scope, Cells(11, "new", 1)).ok());
  ASSERT_TRUE(*writer.Update(scope, row(11), Cells(11, "newer", 1)));
  // Update and update: one step from the first version.
  ASSERT_TRUE(*writer.Update(scope, row(1), Cells(1, "mid", 1)));
  ASSERT_TRUE(*writer.Update(scope, row(1), Cells(1, "mid", 7)));
  // Update and back: nothing.
  ASSERT_TRUE(*writer.Update(scope, row(2), Cells(2, "mid", 2)));
  ASSERT_TRUE(*writer.Update(scope, row(2), Cells(2, "old", 2)));
  // Update and delete: a delete of what was there.
  ASSERT_TRUE(*writer.Update(scope, row(3), Cells(3, "mid", 3)));
  ASSERT_TRUE(writer.Delete(scope, row(3)).ok());
  // Delete and insert: an update; the same row again: nothing.
  ASSERT_TRUE(writer.Delete(scope, row(4)).ok());
  ASSERT_TRUE(writer.Insert(scope, Cells(4, "back", 4)).ok());
  ASSERT_TRUE(writer.Delete(scope, row(5)).ok());
  ASSERT_TRUE(writer.Insert(scope, Cells(5, "old", 5)).ok());

  Seq seq_of_1 = Get(scope, 1)->seq;
  auto command = transaction.Finish();
  EXPECT_THAT(Show(command), ElementsAre("insert 11:newer:1", "update 1:mid:7 1=old 2=1",
                                         "delete 3:old:3 0=3 1=old 2=3", "update 4:back:4 1=old"));
  EXPECT_EQ(command->rows[1].read_seq, seq_of_1);
  EXPECT_EQ(writer.row_count(), 0u);
  EXPECT_EQ(writer.byte_size(), 0u);
  Commit(command);
  EXPECT_THAT(Scan(ScopeNow(table_), {}),
              ElementsAre("1:mid:7", "2:old:2", "4:back:4", "5:old:5", "11:newer:1"));
}

TEST_F(TableWriterTest, ATombstoneIsFreeAndIsWhatTheInsertRead) {
  Insert(table_, 1, "a", 1);
  Seq deleted = Delete(table_, 1);
  ReadScope scope = ScopeNow(table_);
  EXPECT_EQ(TablesTest::Show(table_, Get(scope, 1)), "none");
  EXPECT_EQ(TablesTest::Show(table_, Get(scope, 1, true)), "-1:a:1");
  TableWriter writer(*reader_);
  auto conflicting = writer.FindConflicting(scope, Cells(1, "b", 2));
  ASSERT_TRUE(conflicting.ok());
  EXPECT_FALSE(conflicting->has_value());
  ASSERT_TRUE(writer.Insert(scope, Cells(1, "b", 2)).ok());
  conflicting = writer.FindConflicting(scope, Cells(1, "c", 3));
  EXPECT_EQ(TablesTest::Show(table_, *conflicting), "1:b:2");
  auto command = writer.Finish(scope.view.seq);
  EXPECT_EQ(command->rows[0].read_seq, deleted);
  EXPECT_TRUE(command->rows[0].read_was_tombstone);
  Commit(command);
  EXPECT_EQ(database_.Count(storage::Family::kOrder, {1}), 1);
}

TEST_F(TableWriterTest, AWriteOnAnOldViewConflicts) {
  Insert(table_, 1, "a", 1);
  ReadScope old_scope = ScopeNow(table_);
  Update(table_, 1, "b", 2);
  TableWriter writer(*reader_);
  ASSERT_TRUE(*writer.Update(old_scope, *Get(old_scope, 1), Cells(1, "c", 3)));
  auto result = replication::ProposeAndWait(*group_, writer.Finish(old_scope.view.seq));
  EXPECT_TRUE(result.status.Is(ErrorKind::Conflict));
}

TEST_F(TableWriterTest, AnAlteredTableRewritesOldRows) {
  Insert(table_, 1, "a", 1);
  Insert(table_, 2, "b", 2);
  catalog::TableDefinition altered = *table_;
  std::vector<catalog::ColumnDefinition> columns = *table_->columns;
  columns.push_back({.column_id = 6, .name = "note", .type = DataType::Of(TypeKind::kText)});
  std::vector<RowLayout> layouts = *table_->layouts;
  layouts.push_back(catalog::LayoutOf(columns));
  altered.schema_version = 2;
  altered.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
  altered.layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
  table_ = MakeTable(altered);

  ReadScope scope = ScopeNow(table_);
  TableWriter writer(*reader_);
  std::vector<Datum> cells = Cells(1, "a", 1);
  cells.push_back(Datum::Text("hello"));
  ASSERT_TRUE(*writer.Update(scope, *Get(scope, 1), cells));
  ASSERT_TRUE(writer.Delete(scope, *Get(scope, 2)).ok());
  auto command = writer.Finish(scope.view.seq);
  EXPECT_THAT(Show(command), ElementsAre("update 1:a:1 3=NULL", "delete 2:b:2 0=2 1=b 2=2 3=NULL"));
  EXPECT_EQ(command->rows[1].schema_version, 2u);
  Commit(command);
}

TEST_F(TableWriterTest, StreamRowsExpireAndNeedNoUniqueKey) {
  catalog::TablePtr stream = MakeTable(BenchTable({2}, TableType::kStream));
  Insert(stream, 1, "first", 1);
  clock_.AdvanceUs(30'000'000);
  Insert(stream, 1, "second", 2);
  ReadScope scope = ScopeNow(stream);
  EXPECT_THAT(Scan(scope, {}), ElementsAre("1:first:1", "1:second:2"));
  EXPECT_EQ(TablesTest::Show(stream, Get(scope, 1)), "1:second:2");
  TableWriter writer(*reader_);
  EXPECT_EQ(writer.Update(scope, *Get(scope, 1), Cells(1, "x", 1)).status().message(),
            "UPDATE not supported for STREAM tables");
  clock_.AdvanceUs(30'000'000);  // the first one's 60 s are over
  EXPECT_THAT(Scan(ScopeNow(stream), {}), ElementsAre("1:second:2"));
  ASSERT_TRUE(writer.Delete(scope, *Get(scope, 1)).ok());
  ASSERT_TRUE(writer.Delete(scope, *Get(scope, 1)).ok());
  EXPECT_EQ(writer.row_count(), 1u);
  Commit(writer.Finish(scope.view.seq));
  EXPECT_TRUE(Scan(ScopeNow(stream), {}).empty());
}

TEST_F(TableWriterTest, TransactionsAreBoundToAGroup) {
  catalog::TablePtr shared = MakeTable(BenchTable({3}, TableType::kShared));
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t1", scope.view, *reader_, 1 << 20, 0);
  EXPECT_TRUE(transaction.Touch(*table_, scope.scope).ok());
  EXPECT_TRUE(transaction.Touch(*table_, scope.scope).ok());
  Status status = transaction.Touch(*shared, storage::Scope::Shared());
  EXPECT_TRUE(status.Is(ErrorKind::InvalidOperation));
  EXPECT_THAT(status.message(),
              testing::MatchesRegex("explicit transaction 't1' is already bound to data raft group "
                                    "'user_[0-9]+' and cannot access table 'app.items3' in group "
                                    "'shared_0'"));
}

TEST_F(TableWriterTest, TransactionsHaveLimits) {
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t1", scope.view, *reader_, 1000, kStartUs + 5);
  EXPECT_TRUE(transaction.CheckLimits(kStartUs).ok());
  EXPECT_EQ(transaction.CheckLimits(kStartUs + 6).message(),
            "transaction 't1' cannot continue because it timed out and was aborted");
  std::string name(1000, 'x');
  ASSERT_TRUE(transaction.writer().Insert(scope, Cells(1, name, 1)).ok());
  EXPECT_EQ(transaction.CheckLimits(kStartUs).message(),
            "transaction 't1' exceeded buffer limit of 1000 bytes and was aborted");
  EXPECT_EQ(transaction.write_count(), 1);
  EXPECT_EQ(transaction.touched_table_count(), 1);
}

}  // namespace
}  // namespace kalam::tables
