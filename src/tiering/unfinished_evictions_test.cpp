// Which tables are found to have hot copies left over, over a real store.
#include "tiering/unfinished_evictions.h"

#include <gtest/gtest.h>

#include "replication/group_test_bench.h"
#include "tiering/segment_test_bench.h"

namespace kalam::tiering {
namespace {

using Tables = std::vector<TableId>;

class UnfinishedEvictionsTest : public ::testing::Test {
 protected:
  void Put(TableId table, uint64_t id, bool evicting) {
    segments::SegmentRecord segment = TestSegment(table, id);
    segment.evicting = evicting;
    Write(segments::RecordKey(segment), segments::EncodeRecord(segment));
  }
  void Write(const std::string& key, const std::string& value) {
    storage::WriteBatch batch;
    batch.Put(storage::Family::kSegments, key, value);
    ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  Tables Taken() {
    const auto taken = unfinished_.Take();
    EXPECT_TRUE(taken.ok()) << taken.status().ToString();
    return taken.ok() ? *taken : Tables();
  }

  replication::TestDatabase database_;
  UnfinishedEvictions unfinished_{*database_.store};
};

TEST_F(UnfinishedEvictionsTest, TheFirstLookFindsWhatAnEarlierProcessHasLeft) {
  Put(TableId{3}, 1, false);
  Put(TableId{7}, 1, false);
  Put(TableId{7}, 2, true);
  EXPECT_EQ(Taken(), Tables{TableId{7}});
  EXPECT_EQ(Taken(), Tables{}) << "named once";
}

TEST_F(UnfinishedEvictionsTest, LaterOnesLookAtTablesThatWereWorkedOn) {
  EXPECT_EQ(Taken(), Tables{});
  Put(TableId{3}, 1, true);
  EXPECT_EQ(Taken(), Tables{}) << "the flush of it is under way";
  unfinished_.Note(TableId{3});
  unfinished_.Note(TableId{9});
  EXPECT_EQ(Taken(), Tables{TableId{3}});
  Put(TableId{3}, 1, false);
  unfinished_.Note(TableId{3});
  EXPECT_EQ(Taken(), Tables{});
}

TEST_F(UnfinishedEvictionsTest, SegmentsThatNeverCameToBeAreFoundToo) {
  Put(TableId{3}, 1, false);
  Write(segments::PreparedKey(TableId{5}, 2),
        segments::EncodePrepared({TableId{5}, 2, "local", "app/t/batch-0.parquet", 1}));
  EXPECT_EQ(Taken(), Tables{TableId{5}});
}

TEST_F(UnfinishedEvictionsTest, ATableThatCannotBeLookedAtHoldsUpNoOther) {
  Put(TableId{3}, 1, true);
  Put(TableId{4}, 1, true);
  segments::SegmentRecord unreadable;
  unreadable.table = TableId{3};
  unreadable.segment_id = 2;
  unreadable.place = segments::SegmentPlace::Many();
  Write(segments::RecordKey(unreadable), "\xff");
  EXPECT_EQ(Taken(), Tables{TableId{4}});
  EXPECT_EQ(unfinished_.Take().status().kind(), ErrorKind::Corruption) << "and is looked at again";
}

}  // namespace
}  // namespace kalam::tiering
