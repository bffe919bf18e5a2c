// What records of segments tell of a scope: rows, places to cut, and what a read has to look into.
#include "tables/cold_extent.h"

#include <gmock/gmock.h>

#include "segments/segment_record.h"
#include "tables/scan_source.h"
#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using segments::SegmentPlace;
using segments::SegmentRecord;
using testing::ElementsAre;

class ColdExtentTest : public TablesTest {
 protected:
  static std::string SegmentKeyOf(std::string_view user, int64_t id) {
    return segments::SegmentKey(storage::Scope::OfUser(user), KeyOf(id));
  }

  /// Writes the records of a segment whose groups have these first keys and rows.
  void AddSegment(const SegmentPlace& place, uint64_t id,
                  std::vector<std::pair<std::string, int64_t>> groups, std::string max_key,
                  Seq min_seq, Seq max_seq) {
    cold_rows_.NoteSegments();
    SegmentRecord record;
    record.table = table_->id;
    record.segment_id = id;
    record.place = place;
    record.storage_id = "local";
    record.path = "app/items/batch-1.parquet";
    record.min_key = groups.front().first;
    record.max_key = std::move(max_key);
    record.min_seq = min_seq;
    record.max_seq = max_seq;
    record.schema_version = 1;
    record.size_bytes = 100;
    record.footer_bytes = 10;
    record.checksum = std::string(16, 'x');
    std::vector<segments::RowGroup> row_groups;
    for (auto& [first_key, rows] : groups) {
      row_groups.push_back({std::move(first_key), rows, min_seq, max_seq, {}});
      record.row_count += rows;
    }
    auto command = std::make_shared<replication::Command>();
    command->records = {
        {storage::Family::kSegments, segments::RecordKey(record), segments::EncodeRecord(record)},
        {storage::Family::kSegments, segments::RowGroupsKey(table_->id, id),
         segments::EncodeRowGroups(row_groups)}};
    Commit(command);
  }
  static SegmentPlace Ann() { return SegmentPlace::OfScope(storage::Scope::OfUser("ann")); }

  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kUser));
  using TableType = catalog::TableType;
};

TEST_F(ColdExtentTest, WithoutSegmentsThereIsNothing) {
  auto extent = MeasureCold(*reader_, ScopeNow(table_), 10);
  ASSERT_TRUE(extent.ok());
  EXPECT_EQ(extent->segment_count, 0);
  EXPECT_EQ(extent->row_count, 0);
  EXPECT_TRUE(extent->cuts.empty());
}

TEST_F(ColdExtentTest, RowsOfOwnSegmentsCountAndCut) {
  AddSegment(Ann(), 1,
             {{SegmentKeyOf("ann", 1), 100},
              {SegmentKeyOf("ann", 101), 100},
              {SegmentKeyOf("ann", 201), 50}},
             SegmentKeyOf("ann", 250), {1}, {250});
  AddSegment(Ann(), 2, {{SegmentKeyOf("ann", 50), 80}}, SegmentKeyOf("ann", 150), {300}, {400});
  AddSegment(SegmentPlace::OfScope(storage::Scope::OfUser("bob")), 3,
             {{SegmentKeyOf("bob", 1), 1000}}, SegmentKeyOf("bob", 1000), {1}, {1000});
  auto extent = MeasureCold(*reader_, ScopeNow(table_), 150);
  ASSERT_TRUE(extent.ok()) << extent.status().ToString();
  EXPECT_EQ(extent->segment_count, 2);
  EXPECT_EQ(extent->row_count, 330);
  EXPECT_EQ(extent->shared_segment_count, 0);
  EXPECT_EQ(*CountOwnColdRows(*reader_, ScopeNow(table_)), 330);
  EXPECT_EQ(*CountOwnColdRows(*reader_, ScopeNow(table_, "cid")), 0);
  // Runs by first key: 1 (100), 50 (80), 101 (100), 201 (50).
  EXPECT_THAT(extent->cuts, ElementsAre(KeyOf(101)));
}

TEST_F(ColdExtentTest, OfASharedSegmentOnlyWholeGroupsAreCertain) {
  std::vector<std::pair<std::string, int64_t>> groups = {{SegmentKeyOf("ann", 1), 100},
                                                         {SegmentKeyOf("ann", 101), 100},
                                                         {SegmentKeyOf("bob", 1), 100}};
  std::sort(groups.begin(), groups.end());
  AddSegment(SegmentPlace::Many(), 1, groups, groups.back().first + "z", {1}, {300});
  auto extent = MeasureCold(*reader_, ScopeNow(table_));
  ASSERT_TRUE(extent.ok());
  EXPECT_EQ(extent->segment_count, 1);
  EXPECT_EQ(extent->shared_segment_count, 1);
  // The last group of ann's may reach into bob's rows, or is followed by nothing.
  EXPECT_EQ(extent->row_count, 100);
}

TEST_F(ColdExtentTest, ReadsLeaveSegmentsOutByKeyAndSeq) {
  AddSegment(Ann(), 1, {{SegmentKeyOf("ann", 1), 100}}, SegmentKeyOf("ann", 100), {1}, {100});
  AddSegment(Ann(), 2, {{SegmentKeyOf("ann", 200), 100}}, SegmentKeyOf("ann", 300), {101}, {200});
  const ReadScope scope = ScopeNow(table_);
  const auto considered = [&](const ScanOptions& read) {
    auto pruning = PruneCold(*reader_, scope, {&read, 1});
    EXPECT_TRUE(pruning.ok());
    EXPECT_EQ(pruning->segment_count, 2);
    return pruning->considered_count;
  };
  ScanOptions read;
  EXPECT_EQ(considered(read), 2);
  read.key_lower = KeyOf(100);
  read.key_upper = KeyOf(100) + '\0';
  EXPECT_EQ(considered(read), 1);
  read.key_lower = KeyOf(101);
  read.key_upper = KeyOf(200);
  EXPECT_EQ(considered(read), 0);
  ScanOptions by_seq;
  by_seq.seq_after = {100};
  EXPECT_EQ(considered(by_seq), 1);
  by_seq.seq_up_to = {100};
  EXPECT_EQ(considered(by_seq), 0);
}

TEST_F(ColdExtentTest, WhatElseIsKnownOfRowGroupsLeavesThemOut) {
  AddSegment(Ann(), 1, {{SegmentKeyOf("ann", 1), 100}, {SegmentKeyOf("ann", 101), 100}},
             SegmentKeyOf("ann", 200), {1}, {200});
  ScanOptions read;
  const ReadScope scope = ScopeNow(table_);
  const auto only_second = [](const segments::SegmentRecord&, size_t group) -> Result<bool> {
    return group == 1;
  };
  auto pruning = PruneCold(*reader_, scope, {&read, 1}, only_second);
  ASSERT_TRUE(pruning.ok());
  EXPECT_EQ(pruning->ToString(), "considered=1, pruned=0; row groups: considered=1, pruned=1");
  // Those that the range leaves out are not asked about.
  read.key_upper = KeyOf(50);
  size_t asked = 0;
  pruning = PruneCold(*reader_, scope, {&read, 1},
                      [&asked](const segments::SegmentRecord&, size_t) -> Result<bool> {
                        ++asked;
                        return true;
                      });
  ASSERT_TRUE(pruning.ok());
  EXPECT_EQ(asked, 1U);
}

TEST_F(ColdExtentTest, TheEngineReadsColdRowsInParts) {
  for (int64_t id = 1; id <= 4; ++id) Insert(table_, id, "n", id);
  AddSegment(Ann(), 1,
             {{SegmentKeyOf("ann", 1), 65536},
              {SegmentKeyOf("ann", 3), 65536},
              {SegmentKeyOf("ann", 4), 65536}},
             SegmentKeyOf("ann", 9), {1}, {9});
  auto source = MakeTableSource(*reader_, ScopeNow(table_), false);
  EXPECT_EQ(source->estimated_rows(), 4 + 3 * 65536);
  ASSERT_EQ(source->part_count(), 3u);
  std::vector<int64_t> ids;
  for (size_t part = 0; part < source->part_count(); ++part) {
    const uint32_t column = 0;
    auto opened = source->OpenPart(part, {&column, 1}, {});
    ASSERT_TRUE(opened.ok());
    while (*(*opened)->Next()) ids.push_back((*opened)->cells()[0].i);
    ids.push_back(0);
  }
  EXPECT_THAT(ids, ElementsAre(1, 2, 0, 3, 0, 4, 0));
}

}  // namespace
}  // namespace kalam::tables
