// References to files follow the rows that hold them, in the rows' own commands.
#include "tables/file_records.h"

#include <map>

#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

// Names are FileRefs here: the column `name` is of type FILE.
class FileRecordsTest : public TablesTest {
 protected:
  FileRecordsTest() {
    catalog::TableDefinition table = BenchTable(TableId{7}, catalog::TableType::kUser);
    std::vector<catalog::ColumnDefinition> columns = *table.columns;
    columns[1].type = DataType::Of(TypeKind::kFile);
    table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
    table_ = MakeTable(table);
  }

  static std::string Reference(int64_t id) { return "{\"id\":\"" + std::to_string(id) + "\"}"; }

  static std::vector<Datum> RowOf(int64_t id, std::string_view file, int64_t amount) {
    std::vector<Datum> cells = Cells(id, file, amount);
    cells[1] = Datum::Bytes(TypeKind::kFile, file);
    return cells;
  }
  void InsertFile(int64_t id, std::string_view file, int64_t amount) {
    const ReadScope scope = ScopeNow(table_);
    TableWriter writer(*reader_);
    ASSERT_TRUE(writer.Insert(scope, RowOf(id, file, amount)).ok());
    Commit(writer.Finish(scope.view.seq));
  }
  void UpdateFile(int64_t id, std::string_view file, int64_t amount) {
    const ReadScope scope = ScopeNow(table_);
    TableWriter writer(*reader_);
    const StoredRow old_row = Get(scope, id).value();
    const Result<bool> changed = writer.Update(scope, old_row, RowOf(id, file, amount));
    ASSERT_TRUE(changed.ok() && *changed);
    Commit(writer.Finish(scope.view.seq));
  }

  size_t Count(std::string_view prefix) {
    const std::string lower(prefix);
    std::string upper = lower;
    upper.back() = static_cast<char>(upper.back() + 1);
    auto scan = database_.store->NewIterator(storage::Family::kSystem, {lower, upper}, nullptr);
    size_t count = 0;
    for (scan->SeekToFirst(); scan->Valid(); scan->Next()) ++count;
    return count;
  }
  bool HasReference(int64_t file_id, int64_t row_id, std::string_view user = "ann") {
    const std::string scope = storage::ScopePrefix(table_->id, storage::Scope::OfUser(user));
    return database_.store
        ->Get(storage::Family::kSystem, FileReferenceKey(scope, file_id, 2, KeyOf(row_id)))
        ->has_value();
  }

  catalog::TablePtr table_;
};

TEST_F(FileRecordsTest, InsertRefersAndEndsThePendingUpload) {
  auto command = std::make_shared<replication::Command>();
  command->records.push_back({storage::Family::kSystem, FilePendingKey(5), "x"});
  Commit(command);
  EXPECT_EQ(Count(kFilePendingPrefix), 1u);
  InsertFile(1, Reference(5), 1);
  EXPECT_TRUE(HasReference(5, 1));
  EXPECT_EQ(Count(kFilePendingPrefix), 0u);
  EXPECT_EQ(Count(kFileReleasedPrefix), 0u);
}

TEST_F(FileRecordsTest, UpdateOfAnotherColumnChangesNothing) {
  InsertFile(1, Reference(5), 1);
  UpdateFile(1, Reference(5), 2);
  EXPECT_TRUE(HasReference(5, 1));
  EXPECT_EQ(Count(kFileReleasedPrefix), 0u);
}

TEST_F(FileRecordsTest, ReplacingReleasesTheOldFile) {
  InsertFile(1, Reference(5), 1);
  UpdateFile(1, Reference(6), 1);
  EXPECT_FALSE(HasReference(5, 1));
  EXPECT_TRUE(HasReference(6, 1));
  EXPECT_EQ(Count(kFileReleasedPrefix), 1u);
}

TEST_F(FileRecordsTest, DeletingReleasesAndOtherRowsKeep) {
  InsertFile(1, Reference(5), 1);
  InsertFile(2, Reference(5), 1);
  Delete(table_, 1);
  EXPECT_FALSE(HasReference(5, 1));
  EXPECT_TRUE(HasReference(5, 2));
  EXPECT_EQ(Count(kFileReleasedPrefix), 1u);
}

TEST_F(FileRecordsTest, UsersDoNotShareReferences) {
  InsertFile(1, Reference(5), 1);
  EXPECT_TRUE(HasReference(5, 1, "ann"));
  EXPECT_FALSE(HasReference(5, 1, "bob"));
}

TEST_F(FileRecordsTest, TextThatIsNoFileRefRefersToNothing) {
  InsertFile(1, "just text", 1);
  EXPECT_EQ(Count(kFileReferencePrefix), 0u);
}

}  // namespace
}  // namespace kalam::tables
