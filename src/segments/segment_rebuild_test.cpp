// Index records made again out of files are those that the flush made.
#include "segments/segment_rebuild.h"

#include "segments/segments_test_bench.h"

namespace kalam::segments {
namespace {

const SegmentPlace kAnn = SegmentPlace::OfScope(ScopeOf("ann"));
const SegmentPlace kMany = SegmentPlace::Many();

class SegmentRebuildTest : public SegmentsTest {
 protected:
  static std::vector<TestRow> Rows(bool many) {
    std::vector<TestRow> rows;
    for (int64_t i = 0; i < 700; ++i) {
      const char* user = !many ? "ann" : i % 2 == 0 ? "ann" : "bob";
      rows.push_back({user, i * 3 - 900, "n" + std::to_string(i), (i * 37) % 701 + 1, i % 10 == 0});
    }
    return rows;
  }
};

TEST_F(SegmentRebuildTest, RecordsComeBackAsTheyWere) {
  for (const SegmentPlace& place : {kAnn, kMany}) {
    const SegmentRecord written = AddSegment(place, Rows(place.many), 256);
    auto groups = ReadRowGroups(*store_, written);
    ASSERT_TRUE(groups.ok());
    auto rebuilt = RebuildSegment(*storage_, written.path, table_, place);
    ASSERT_TRUE(rebuilt.ok()) << rebuilt.status().ToString();
    EXPECT_EQ(EncodeRowGroups(rebuilt->row_groups), EncodeRowGroups(*groups));
    SegmentRecord record = rebuilt->record;
    EXPECT_EQ(record.row_count, 700);
    EXPECT_EQ(record.tombstone_count, 70);
    EXPECT_EQ(record.min_seq.value, 1);
    // What only the commit knows.
    record.segment_id = written.segment_id;
    record.storage_id = written.storage_id;
    record.path = written.path;
    record.created_at_us = written.created_at_us;
    EXPECT_EQ(EncodeRecord(record), EncodeRecord(written));
    EXPECT_EQ(RecordKey(record), RecordKey(written));
  }
}

TEST_F(SegmentRebuildTest, LostRecordsAreFoundInTheFolder) {
  AddSegment(kAnn, {{"ann", 1, "one", 1}});
  AddSegment(kAnn, {{"ann", 1, "one again", 2}, {"ann", 2, "two", 3}});
  storage_->objects_["app/items/ann/manifest.json"] = "{}";
  storage_->objects_["app/items/ann/batch-x.parquet"] = "";
  storage::WriteBatch batch;
  batch.DeleteRange(storage::Family::kSegments, storage::TablePrefix(TableId{7}),
                    storage::TablePrefix(TableId{8}));
  ASSERT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  segments_->ReleaseMemory();
  EXPECT_EQ(Show("ann", 1), "none");

  auto found = FindBatches(*storage_, "app/items/ann");
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[1].batch, 1u);
  auto change = SegmentChange::Begin(*store_, table_->id);
  for (const FoundBatch& file : *found) {
    auto rebuilt = RebuildSegment(*storage_, file.path, table_, kAnn);
    ASSERT_TRUE(rebuilt.ok()) << rebuilt.status().ToString();
    ASSERT_TRUE(change->Adopt(std::move(*rebuilt), "local", "app/items/ann", file.batch, 77).ok());
  }
  Apply(change->Take());
  EXPECT_EQ(Show("ann", 1), "one again@2");
  EXPECT_EQ(Show("ann", 2), "two@3");
  EXPECT_EQ(AddSegment(kAnn, {{"ann", 9, "nine", 9}}).path, "app/items/ann/batch-2.parquet");
}

TEST_F(SegmentRebuildTest, WhatIsNotASegmentOfThePlaceIsRefused) {
  const SegmentRecord written = AddSegment(kAnn, Rows(false), 256);
  const auto fails = [&](const SegmentPlace& place) {
    auto rebuilt = RebuildSegment(*storage_, written.path, table_, place);
    EXPECT_TRUE(rebuilt.status().Is(ErrorKind::Corruption)) << rebuilt.status().ToString();
    EXPECT_NE(rebuilt.status().message().find(written.path), std::string::npos);
  };
  fails(kMany);  // it has no _userid
  std::string& bytes = storage_->objects_[written.path];
  const std::string sound = bytes;
  bytes.resize(bytes.size() / 2);
  fails(kAnn);
  bytes = "";
  fails(kAnn);
  std::vector<TestRow> unsorted{{"ann", 2, "b", 1}, {"ann", 1, "a", 2}};
  bytes = FileOf(unsorted, false, 100);
  fails(kAnn);
  bytes = sound;
  EXPECT_TRUE(RebuildSegment(*storage_, written.path, table_, kAnn).ok());
}

TEST_F(SegmentRebuildTest, ASoundFileThatIsNotTheExpectedOneIsRefused) {
  const SegmentRecord written = AddSegment(kAnn, Rows(false), 256);
  EXPECT_TRUE(RebuildSegment(*storage_, written.path, table_, kAnn, std::string(16, 'x'))
                  .status()
                  .Is(ErrorKind::Corruption));
  EXPECT_TRUE(RebuildSegment(*storage_, written.path, table_, kAnn, written.checksum).ok());
}

}  // namespace
}  // namespace kalam::segments
