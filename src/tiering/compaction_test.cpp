// Which segments a compaction merges.
#include "tiering/compaction.h"

#include <gtest/gtest.h>

namespace kalam::tiering {
namespace {

segments::SegmentRecord Segment(uint64_t id, std::string min_key, std::string max_key,
                                int64_t row_count, int64_t tombstone_count = 0) {
  segments::SegmentRecord segment;
  segment.segment_id = id;
  segment.min_key = std::move(min_key);
  segment.max_key = std::move(max_key);
  segment.row_count = row_count;
  segment.tombstone_count = tombstone_count;
  segment.min_seq = Seq{static_cast<int64_t>(id) * 100};
  segment.max_seq = Seq{static_cast<int64_t>(id) * 100 + 99};
  return segment;
}

std::vector<std::vector<uint64_t>> Ids(
    const std::vector<std::vector<segments::SegmentRecord>>& merges) {
  std::vector<std::vector<uint64_t>> ids;
  for (const auto& merge : merges) {
    ids.emplace_back();
    for (const auto& segment : merge) ids.back().push_back(segment.segment_id);
  }
  return ids;
}

using Expected = std::vector<std::vector<uint64_t>>;
constexpr int64_t kFull = segments::kSegmentRowsMax;

TEST(ChooseMerges, NeighboursAreJoinedUpToAFullSegment) {
  EXPECT_EQ(Ids(ChooseMerges(
                {Segment(3, "m", "p", 10), Segment(1, "a", "c", 10), Segment(2, "d", "k", kFull)},
                {}, Seq{})),
            Expected{})
      << "each pair is too large together";
  EXPECT_EQ(Ids(ChooseMerges({Segment(3, "m", "p", 10), Segment(1, "a", "c", 10)}, {}, Seq{})),
            (Expected{{1, 3}}));
}

TEST(ChooseMerges, OverlappingSegmentsAreMergedHoweverLarge) {
  EXPECT_EQ(Ids(ChooseMerges({Segment(1, "a", "k", kFull), Segment(2, "j", "z", kFull),
                              Segment(3, "zz", "zzz", kFull)},
                             {}, Seq{})),
            (Expected{{1, 2}}));
}

TEST(ChooseMerges, OldTombstonesAloneAreAReason) {
  EXPECT_EQ(Ids(ChooseMerges({Segment(1, "a", "k", kFull, 5)}, {}, Seq{100})), (Expected{{1}}));
  EXPECT_EQ(Ids(ChooseMerges({Segment(1, "a", "k", kFull, 5)}, {}, Seq{99})), Expected{})
      << "all of them are younger";
}

TEST(ChooseMerges, AMergeIsBoundedAndTakesTheOldestFirst) {
  std::vector<segments::SegmentRecord> many;
  for (uint64_t id = 25; id > 0; --id) many.push_back(Segment(id, "a", "z", kFull));
  const auto merges = Ids(ChooseMerges(many, {}, Seq{}));
  ASSERT_EQ(merges.size(), 2u) << "one that is left over waits";
  EXPECT_EQ(merges[0].size(), 12u);
  EXPECT_EQ(merges[0].front(), 1u);
  EXPECT_EQ(merges[1].front(), 13u);
}

TEST(ChooseMerges, TheAutomaticChoiceWaitsForEnoughSmallOnes) {
  const CompactionChoice choice{.scope = CompactionScope::kSmallSegments, .small_segments_max = 3};
  EXPECT_EQ(Ids(ChooseMerges(
                {Segment(1, "a", "z", 5), Segment(2, "a", "z", kFull), Segment(3, "a", "z", 5)},
                choice, Seq{})),
            Expected{});
  EXPECT_EQ(Ids(ChooseMerges({Segment(1, "a", "z", 5), Segment(2, "a", "z", kFull),
                              Segment(3, "a", "z", 5), Segment(4, "a", "z", 5)},
                             choice, Seq{})),
            (Expected{{1, 3, 4}}));
}

constexpr CompactionChoice kTombstones{.scope = CompactionScope::kOldTombstones};

TEST(ChooseMerges, ManyOldTombstonesTakeWhatOverlapsThemAlong) {
  const std::vector<segments::SegmentRecord> segments = {
      Segment(1, "a", "k", 100), Segment(2, "j", "p", 100, 30), Segment(3, "q", "z", 100)};
  EXPECT_EQ(Ids(ChooseMerges(segments, kTombstones, Seq{299})), (Expected{{1, 2}}))
      << "the third is sound, and not taken because it is small";
  EXPECT_EQ(Ids(ChooseMerges(segments, kTombstones, Seq{298})), Expected{});
}

TEST(ChooseMerges, FewTombstonesAreLeft) {
  EXPECT_EQ(Ids(ChooseMerges({Segment(1, "a", "k", 1000), Segment(2, "a", "k", 100, 100)},
                             kTombstones, Seq{1000})),
            Expected{})
      << "a tenth of the group";
}

TEST(ChooseMerges, WhereTooManyOverlapTombstonesGoWithWhatTheyMayHide) {
  std::vector<segments::SegmentRecord> segments;
  for (uint64_t id = 1; id <= 20; ++id) {
    // Neighbours overlap, so that all are one group.
    segments.push_back(Segment(id, std::string(1, static_cast<char>('a' + id)),
                               std::string(1, static_cast<char>('a' + id + 1)), 100));
  }
  segments[9].tombstone_count = 60;
  EXPECT_EQ(Ids(ChooseMerges(segments, kTombstones, Seq{10'000})), (Expected{{9, 10}}))
      << "the next one is younger than all of the tombstones";
}

}  // namespace
}  // namespace kalam::tiering
