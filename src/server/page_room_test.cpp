// Room is measured in pages, and a heap is trimmed before somebody is refused, but not all the
// time.
#include "server/page_room.h"

#include <gtest/gtest.h>

namespace kalam::server {
namespace {

constexpr int64_t kBudgetBytes = 1000;

class PageRoomTest : public ::testing::Test {
 protected:
  int64_t held_bytes_ = 0, free_bytes_ = 0, now_us_ = 1'000'000;
  int trims_ = 0;
  PageRoom room_{kBudgetBytes,
                 {.anonymous_bytes = [this] { return held_bytes_ + free_bytes_; },
                  .trim =
                      [this] {
                        ++trims_;
                        free_bytes_ = 0;
                      },
                  .steady_us = [this] { return now_us_; }}};
};

TEST_F(PageRoomTest, TakesWhatFits) {
  held_bytes_ = 400;
  EXPECT_TRUE(room_.Has(600));
  EXPECT_EQ(trims_, 0);
  EXPECT_FALSE(room_.Has(601));
}

TEST_F(PageRoomTest, FreePagesOfTheHeapAreGivenBackFirst) {
  held_bytes_ = 400;
  free_bytes_ = 300;
  EXPECT_TRUE(room_.Has(500));
  EXPECT_EQ(trims_, 1);
}

TEST_F(PageRoomTest, DoesNotTrimForEveryoneWhoIsRefused) {
  held_bytes_ = 900;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(room_.Has(200));
  EXPECT_EQ(trims_, 1);
  now_us_ += 10'000;
  EXPECT_FALSE(room_.Has(200));
  EXPECT_EQ(trims_, 2);
}

}  // namespace
}  // namespace kalam::server
