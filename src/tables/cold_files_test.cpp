// What a table's scope offers an engine that reads Parquet by itself: which files, which hot keys,
// and when it offers nothing.
#include "tables/cold_files.h"

#include <gtest/gtest.h>

#include "tables/tables_test_bench.h"
#include "types/convert.h"

namespace kalam::tables {
namespace {

using segments::RawSegment;

/// One key a row, from the segment's first to its last, in runs of ten rows.
class CountingKeys final : public segments::SegmentKeys {
 public:
  CountingKeys(int64_t first, int64_t row_count) : first_(first), row_count_(row_count) {}
  Result<Run> RunOf(int64_t row) const override {
    Run run;
    run.index = static_cast<size_t>(row / 10);
    run.row_begin = row / 10 * 10;
    run.row_end = std::min(run.row_begin + 10, row_count_);
    run.has_scope = true;
    run.key_lower = KeyOf(first_ + run.row_begin);
    run.key_upper = KeyOf(first_ + run.row_end);
    return run;
  }
  Result<std::vector<uint32_t>> Find(const Run& run,
                                     std::span<const std::string> encoded_pks) const override {
    std::vector<uint32_t> rows;
    for (int64_t row = run.row_begin; row < run.row_end; ++row) {
      if (std::binary_search(encoded_pks.begin(), encoded_pks.end(), KeyOf(first_ + row)))
        rows.push_back(static_cast<uint32_t>(row - run.row_begin));
    }
    return rows;
  }

 private:
  const int64_t first_, row_count_;
};

/// Segments that a test lists; nothing but their keys can be read of them.
class ListedSegments final : public segments::ColdRows {
 public:
  bool MayHaveSegments(TableId) const override { return true; }
  Result<uint64_t> SegmentsVersion(TableId, const storage::SnapshotPtr&) override {
    return uint64_t{1};
  }
  Result<std::optional<segments::ColdRow>> Get(const catalog::TablePtr&, const storage::Scope&,
                                               std::string_view, const storage::SnapshotPtr&,
                                               std::span<const uint32_t>) override {
    return std::optional<segments::ColdRow>();
  }
  Result<std::unique_ptr<segments::ColdScan>> OpenKeyScan(const catalog::TablePtr&,
                                                          const storage::Scope&,
                                                          const segments::ColdKeyRange&,
                                                          const storage::SnapshotPtr&) override {
    return Status(ErrorKind::StorageIo, "not here");
  }
  Result<std::unique_ptr<segments::ColdScan>> OpenSeqScan(const catalog::TablePtr&,
                                                          const storage::Scope&,
                                                          const segments::ColdSeqRange&,
                                                          const storage::SnapshotPtr&) override {
    return Status(ErrorKind::StorageIo, "not here");
  }
  Result<std::vector<RawSegment>> RawSegments(const catalog::TablePtr&, const storage::Scope&,
                                              const storage::SnapshotPtr&) override {
    return listed;
  }
  Result<std::unique_ptr<segments::SegmentKeys>> OpenKeys(const catalog::TablePtr&,
                                                          const storage::Scope&,
                                                          const segments::SegmentRecord& record,
                                                          const storage::SnapshotPtr&) override {
    const auto first = static_cast<int64_t>(record.segment_id) * 1000;
    return std::unique_ptr<segments::SegmentKeys>(
        std::make_unique<CountingKeys>(first, record.row_count));
  }

  std::vector<RawSegment> listed;
};

class ColdFilesTest : public TablesTest {
 protected:
  ColdFilesTest() { cold_reader_.emplace(*database_.store, clock_, &listed_); }

  RawSegment Segment(const catalog::TablePtr& table, std::string_view user, int64_t first,
                     int64_t last, uint64_t id, uint32_t schema_version = 1) {
    RawSegment segment;
    segment.record.table = table->id;
    segment.record.segment_id = id;
    segment.record.path = "app/t/batch-" + std::to_string(id) + ".parquet";
    segment.record.min_pk = KeyOf(first);
    segment.record.max_pk = KeyOf(last);
    segment.record.min_key = segments::SegmentKey(ScopeFor(*table, user), KeyOf(first));
    segment.record.max_key = segments::SegmentKey(ScopeFor(*table, user), KeyOf(last));
    segment.record.row_count = last - first + 1;
    segment.record.schema_version = schema_version;
    return segment;
  }

  std::shared_ptr<ColdFiles> Open(const catalog::TablePtr& table, std::vector<ScanHint> hints = {},
                                  bool include_deleted = false) {
    const auto source = MakeTableSource(*cold_reader_, ScopeNow(table, "ann"), include_deleted);
    auto files = source->OpenColdFiles(hints);
    EXPECT_TRUE(files.ok());
    return files.ok() ? *files : nullptr;
  }

  ListedSegments listed_;
  std::optional<TableReader> cold_reader_;
};

TEST_F(ColdFilesTest, OffersFilesWithinTheHints) {
  const catalog::TablePtr table = MakeTable(BenchTable(TableId{9}, catalog::TableType::kUser));
  EXPECT_EQ(Open(table), nullptr);
  listed_.listed = {Segment(table, "ann", 1, 100, 1), Segment(table, "ann", 101, 200, 2)};
  auto files = Open(table);
  ASSERT_NE(files, nullptr);
  ASSERT_EQ(files->files().size(), 2U);
  EXPECT_EQ(files->files()[1].name, std::to_string(table->id.value) + "/2/app/t/batch-2.parquet");
  EXPECT_EQ(files->user_id(), "ann");
  EXPECT_EQ(files->field_ids()[files->key_column()], 1);
  EXPECT_EQ(files->field_ids()[files->seq_column()], segments::kSeqFieldId);
  EXPECT_EQ(files->field_ids()[files->deleted_column()], segments::kDeletedFieldId);

  ScanHint hint;
  hint.column = files->key_column();
  hint.op = ScanHint::Op::kGreater;
  hint.value = Value::BigInt(100);
  files = Open(table, {hint});
  ASSERT_NE(files, nullptr);
  ASSERT_EQ(files->files().size(), 1U);
  EXPECT_EQ(files->files()[0].row_count, 100);
  EXPECT_EQ(files->file_count_total(), 2U);
  EXPECT_EQ(Open(table, {}, true), nullptr);
}

TEST_F(ColdFilesTest, HotRowsAndTombstonesHideTheRowsOfTheirKeys) {
  const catalog::TablePtr table = MakeTable(BenchTable(TableId{9}, catalog::TableType::kUser));
  listed_.listed = {Segment(table, "ann", 1000, 1024, 1), Segment(table, "ann", 2000, 2024, 2)};
  const auto hidden = [&](const std::shared_ptr<ColdFiles>& files, size_t file, int64_t row) {
    const auto found = files->FindHiddenRows(file, row);
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    if (!found.ok()) return std::string();
    std::string text =
        std::to_string(found->row_begin) + ".." + std::to_string(found->row_end) + ":";
    for (const uint32_t each : found->rows) text += " " + std::to_string(each);
    return text;
  };
  Insert(table, 999, "before", 1);
  Insert(table, 1000, "first of all", 1);
  Insert(table, 1009, "last of its run", 1);
  Insert(table, 1010, "first of its run", 1);
  Insert(table, 1024, "last of all", 1);
  Insert(table, 1025, "behind", 1);
  Insert(table, 2003, "gone", 1);
  Delete(table, 2003);
  Insert(table, 2004, "not ann's", 1, "bob");
  const auto files = Open(table);
  ASSERT_NE(files, nullptr);
  EXPECT_TRUE(*files->MayBeHidden(0));
  EXPECT_TRUE(*files->MayBeHidden(1));
  EXPECT_EQ(hidden(files, 0, 5), "0..10: 0 9");
  EXPECT_EQ(hidden(files, 0, 10), "10..20: 0");
  EXPECT_EQ(hidden(files, 0, 24), "20..25: 4");
  EXPECT_EQ(hidden(files, 1, 0), "0..10: 3");
  EXPECT_EQ(hidden(files, 1, 19), "10..20:");
  // What comes after the source's view hides nothing.
  Insert(table, 2012, "later", 1);
  EXPECT_EQ(hidden(files, 1, 19), "10..20:");
  EXPECT_EQ(hidden(Open(table), 1, 19), "10..20: 2");
  const uint32_t wanted[] = {files->key_column()};
  auto part = files->OpenHotPart(0, wanted, {});
  ASSERT_TRUE(part.ok());
  EXPECT_TRUE(*(*part)->Next());
  EXPECT_EQ((*part)->cells()[0].i, 999);
}

TEST_F(ColdFilesTest, FilesBetweenHotRowsAreNotHidden) {
  const catalog::TablePtr table = MakeTable(BenchTable(TableId{9}, catalog::TableType::kUser));
  listed_.listed = {Segment(table, "ann", 100, 200, 1), Segment(table, "ann", 300, 400, 2)};
  Insert(table, 99, "before", 1);
  Insert(table, 201, "between", 1);
  Insert(table, 150, "not ann's", 1, "bob");
  auto files = Open(table);
  ASSERT_NE(files, nullptr);
  EXPECT_FALSE(*files->MayBeHidden(0));
  EXPECT_FALSE(*files->MayBeHidden(1));
  Insert(table, 200, "the last one", 1);
  Insert(table, 300, "the first one", 1);
  Delete(table, 300);
  EXPECT_FALSE(*files->MayBeHidden(0)) << "comes after its view";
  files = Open(table);
  EXPECT_TRUE(*files->MayBeHidden(0));
  EXPECT_TRUE(*files->MayBeHidden(1));
}

TEST_F(ColdFilesTest, StagedWritesHideTheRowsOfTheirKeys) {
  const catalog::TablePtr table = MakeTable(BenchTable(TableId{9}, catalog::TableType::kUser));
  listed_.listed = {Segment(table, "ann", 1000, 1024, 1)};
  Insert(table, 1002, "hot", 1);
  ReadScope scope = ScopeNow(table, "ann");
  Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
  scope.transaction = &transaction;
  ASSERT_TRUE(transaction.writer().Insert(scope, Cells(1005, "staged", 1)).ok());
  const auto source = MakeTableSource(*cold_reader_, scope, false);
  const auto files = source->OpenColdFiles({});
  ASSERT_TRUE(files.ok() && *files != nullptr);
  const auto hidden = (*files)->FindHiddenRows(0, 0);
  ASSERT_TRUE(hidden.ok());
  EXPECT_EQ(hidden->rows, (std::vector<uint32_t>{2, 5}));
}

TEST_F(ColdFilesTest, FilesOfOlderSchemasAreOfferedWhenTheyReadAlike) {
  catalog::TableDefinition definition = BenchTable(TableId{9}, catalog::TableType::kUser);
  const auto alter = [&definition, this](const DataType& amount) {
    std::vector<catalog::ColumnDefinition> columns = *definition.columns;
    columns[2].type = amount;
    if (columns.size() == 5) {
      columns.push_back({.column_id = 6,
                         .name = "level",
                         .type = DataType::Of(TypeKind::kDouble),
                         .nullable = false});
    }
    std::vector<RowLayout> layouts = *definition.layouts;
    layouts.push_back(catalog::LayoutOf(columns));
    definition.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
    definition.layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
    definition.next_column_id = 7;
    ++definition.schema_version;
    return MakeTable(definition);
  };
  catalog::TablePtr table = alter(DataType::Of(TypeKind::kBigInt));
  listed_.listed = {Segment(table, "ann", 1, 100, 1, 1), Segment(table, "ann", 101, 200, 2, 2)};
  const auto files = Open(table);
  ASSERT_NE(files, nullptr);
  EXPECT_TRUE(files->absent_values()[1].is_null());
  EXPECT_EQ(files->absent_values()[5].datum().d, 0.0);
  EXPECT_FALSE(files->absent_values()[5].is_null());

  // The engine writes numbers as text in another way.
  table = alter(DataType::Of(TypeKind::kText));
  EXPECT_EQ(Open(table), nullptr);
  listed_.listed = {Segment(table, "ann", 101, 200, 2, 3)};
  EXPECT_NE(Open(table), nullptr);
  listed_.listed = {Segment(table, "ann", 101, 200, 2, 4)};  // of a version not known here
  EXPECT_EQ(Open(table), nullptr);
}

}  // namespace
}  // namespace kalam::tables
