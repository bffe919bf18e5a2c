// Which tables are worth a compaction because of their old tombstones, over a real store.
#include "tiering/old_tombstones.h"

#include <gtest/gtest.h>

#include "replication/group_test_bench.h"
#include "tiering/compaction.h"
#include "tiering/segment_test_bench.h"

namespace kalam::tiering {
namespace {

using segments::SegmentRecord;

SegmentRecord Segment(TableId table, uint64_t id, const std::string& min_key,
                      const std::string& max_key, int64_t row_count, int64_t tombstone_count) {
  SegmentRecord segment = TestSegment(table, id);
  segment.min_key = min_key;
  segment.max_key = max_key;
  segment.row_count = row_count;
  segment.tombstone_count = tombstone_count;
  return segment;
}

TEST(HasManyOldTombstones, AnEighthOfTheRowsIsMany) {
  const TableId table{7};
  EXPECT_TRUE(HasManyOldTombstones({Segment(table, 1, "a", "k", 800, 100)}, Seq{199}));
  EXPECT_FALSE(HasManyOldTombstones({Segment(table, 1, "a", "k", 800, 99)}, Seq{199}));
  EXPECT_FALSE(HasManyOldTombstones({Segment(table, 1, "a", "k", 800, 100)}, Seq{198}))
      << "one of them may be younger";
  EXPECT_FALSE(HasManyOldTombstones({Segment(table, 1, "a", "k", 3, 0)}, Seq{199}));
  EXPECT_TRUE(HasManyOldTombstones(
      {Segment(table, 1, "a", "k", 1000, 0), Segment(table, 2, "a", "k", 200, 150)}, Seq{299}))
      << "the rows of all count, and the tombstones of all";
}

class OldTombstonesTest : public ::testing::Test {
 protected:
  OldTombstonesTest() {
    watched_ = std::make_unique<OldTombstones>(*database_.store, *database_.catalog);
  }
  TableId MakeTable(const std::string& name) {
    catalog::TableDefinition table =
        replication::TestTable(database_.catalog->AllocateTableId(), 1);
    table.name = name;
    const catalog::RecordWrites writes = database_.catalog->PutTable(table);
    Apply(writes);
    database_.catalog->OnCommitted(writes);
    return table.id;
  }

  void Apply(const catalog::RecordWrites& writes) {
    storage::WriteBatch batch;
    for (const auto& write : writes) batch.Put(write.family, write.key, *write.value);
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  void Put(const SegmentRecord& segment) {
    segments::TableSegmentsHead head;
    head.version = segment.segment_id;
    head.next_segment_id = segment.segment_id + 1;
    Apply(
        {{storage::Family::kSegments, segments::HeadKey(segment.table), segments::EncodeHead(head)},
         {storage::Family::kSegments, segments::RecordKey(segment),
          segments::EncodeRecord(segment)}});
  }

  /// What is due when tombstones up to `droppable` may go; counts the tables that were asked about.
  std::vector<TableId> Due(Seq droppable) {
    const auto due = watched_->TakeDue([&](const catalog::TableDefinition&) -> Result<Seq> {
      ++asked_;
      return droppable;
    });
    EXPECT_TRUE(due.ok()) << due.status().ToString();
    return due.ok() ? *due : std::vector<TableId>();
  }

  replication::TestDatabase database_;
  std::unique_ptr<OldTombstones> watched_;
  int asked_ = 0;
};

using Tables = std::vector<TableId>;

TEST_F(OldTombstonesTest, ATableIsDueOnceItsTombstonesAreOldEnough) {
  const TableId full = MakeTable("full");
  const TableId sound = MakeTable("sound");
  Put(Segment(full, 1, "a", "k", 80, 20));
  Put(Segment(sound, 1, "a", "k", 80, 2));
  EXPECT_EQ(Due(Seq{150}), Tables{});
  EXPECT_EQ(asked_, 1) << "a table with few tombstones needs no date";
  EXPECT_EQ(Due(Seq{198}), Tables{});
  EXPECT_EQ(Due(Seq{199}), Tables{full});
  EXPECT_EQ(asked_, 3);
  EXPECT_EQ(Due(Seq{199}), Tables{}) << "named once";
  EXPECT_EQ(asked_, 3) << "nothing is left to look at";
}

TEST_F(OldTombstonesTest, ATableIsLookedAtAgainWhenItsSegmentsChange) {
  const TableId table = MakeTable("t");
  Put(Segment(table, 1, "a", "k", 80, 0));
  EXPECT_EQ(Due(Seq{1000}), Tables{});
  Put(Segment(table, 2, "b", "c", 20, 18));
  EXPECT_EQ(Due(Seq{1000}), Tables{}) << "nobody has told";
  watched_->Note(table);
  EXPECT_EQ(Due(Seq{1000}), Tables{table});
}

TEST_F(OldTombstonesTest, ATableThatIsGoneIsForgotten) {
  watched_->Note(TableId{99});
  EXPECT_EQ(Due(Seq{1000}), Tables{});
  EXPECT_EQ(asked_, 0);
}

TEST_F(OldTombstonesTest, ATableThatCannotBeLookedAtHoldsUpNoOther) {
  const TableId damaged = MakeTable("damaged");
  const TableId table = MakeTable("t");
  Put(Segment(damaged, 1, "a", "k", 80, 20));
  Put(Segment(table, 1, "a", "k", 80, 20));
  SegmentRecord unreadable = Segment(damaged, 2, "a", "k", 80, 20);
  Apply({{storage::Family::kSegments, segments::RecordKey(unreadable), std::string("\xff")}});
  EXPECT_EQ(Due(Seq{1000}), Tables{table});
  const auto again =
      watched_->TakeDue([](const catalog::TableDefinition&) -> Result<Seq> { return Seq{1000}; });
  EXPECT_EQ(again.status().kind(), ErrorKind::Corruption) << "and is looked at again";
}

}  // namespace
}  // namespace kalam::tiering
