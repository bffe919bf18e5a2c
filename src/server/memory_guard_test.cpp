// Tests of the order of shedding.
#include "server/memory_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kalam::server {
namespace {

/// A process whose memory the test sets; each action frees what the test says.
class MemoryGuardTest : public ::testing::Test {
 protected:
  MemoryGuardTest()
      : guard_({.budget_bytes = 1000, .warning_bytes = 700, .critical_bytes = 900},
               {.read = [this] { return reading_; },
                .close_engine = [this] { Note("close_engine", engine_frees_); },
                .shrink_caches =
                    [this](bool small) {
                      Note(small ? "shrink_caches" : "restore_caches", small ? caches_free_ : 0);
                    },
                .release_tails =
                    [this](bool released) {
                      Note(released ? "release_tails" : "restore_tails",
                           released ? tails_free_ : 0);
                    },
                .trim = [] {}},
               metrics_) {}
  void Note(const char* what, int64_t freed) {
    done_.emplace_back(what);
    reading_.accounted_bytes -= freed;
  }
  std::vector<std::string> Round() {
    done_.clear();
    guard_.Round();
    return done_;
  }

  MemoryReading reading_;
  int64_t engine_frees_ = 0, caches_free_ = 0, tails_free_ = 0;
  std::vector<std::string> done_;
  Metrics metrics_;
  MemoryGuard guard_;
};

using Steps = std::vector<std::string>;

TEST_F(MemoryGuardTest, NothingHappensBelowTheWarningLevel) {
  reading_.accounted_bytes = 699;
  EXPECT_EQ(Round(), Steps());
  EXPECT_EQ(guard_.level(), MemoryLevel::kNormal);
}

TEST_F(MemoryGuardTest, TheEngineGoesFirstAndIsEnoughWhenItIs) {
  reading_.accounted_bytes = 750;
  engine_frees_ = 200;
  EXPECT_EQ(Round(), Steps({"close_engine"}));
  EXPECT_EQ(guard_.level(), MemoryLevel::kNormal);
  EXPECT_EQ(metrics_.counter("memory_shed_close_engine").value(), 1);
  EXPECT_EQ(metrics_.counter("memory_shed_shrink_caches").value(), 0);
}

TEST_F(MemoryGuardTest, ThenCachesThenTailsButWarningRefusesNothing) {
  reading_.accounted_bytes = 800;
  EXPECT_EQ(Round(), Steps({"close_engine", "shrink_caches", "release_tails"}));
  EXPECT_EQ(guard_.level(), MemoryLevel::kWarning);
  EXPECT_EQ(Round(), Steps({"close_engine", "shrink_caches", "release_tails"}));
  EXPECT_TRUE(guard_.AdmitStatement().ok());
  EXPECT_TRUE(guard_.AdmitConnection().ok());
}

TEST_F(MemoryGuardTest, CriticalRefusesStatementsThenConnections) {
  reading_.accounted_bytes = 950;
  Round();
  EXPECT_EQ(guard_.level(), MemoryLevel::kCritical);
  EXPECT_TRUE(guard_.AdmitStatement().Is(ErrorKind::MemoryPressure));
  EXPECT_TRUE(guard_.AdmitConnection().ok());
  Round();
  EXPECT_TRUE(guard_.AdmitConnection().Is(ErrorKind::MemoryPressure));
  EXPECT_EQ(metrics_.counter("memory_statements_refused").value(), 1);
  EXPECT_EQ(metrics_.counter("memory_connections_refused").value(), 1);
  EXPECT_EQ(metrics_.counter("memory_shed_refuse_statements").value(), 1);
  EXPECT_EQ(metrics_.counter("memory_shed_refuse_connections").value(), 1);
}

TEST_F(MemoryGuardTest, PagesCountLikeAccounts) {
  reading_.anonymous_bytes = 950;
  Round();
  EXPECT_EQ(guard_.level(), MemoryLevel::kCritical);
  EXPECT_FALSE(guard_.AdmitStatement().ok());
}

TEST_F(MemoryGuardTest, ALevelIsLeftOnlyWithSomeRoom) {
  reading_.accounted_bytes = 910;
  Round();
  reading_.accounted_bytes = 880;  // below critical, but not by 5 % of the budget
  Round();
  EXPECT_EQ(guard_.level(), MemoryLevel::kCritical);
  reading_.accounted_bytes = 840;
  Round();
  EXPECT_EQ(guard_.level(), MemoryLevel::kWarning);
  EXPECT_TRUE(guard_.AdmitStatement().ok());
  EXPECT_TRUE(guard_.AdmitConnection().ok());
}

TEST_F(MemoryGuardTest, CachesGrowAgainAfterSomeCalmRounds) {
  reading_.accounted_bytes = 800;
  caches_free_ = 300;
  EXPECT_EQ(Round(), Steps({"close_engine", "shrink_caches"}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Round(), Steps());
  EXPECT_EQ(Round(), Steps({"restore_caches"}));
  EXPECT_EQ(Round(), Steps());
  EXPECT_FALSE(guard_.sheds(ShedStep::kShrinkCaches));
}

}  // namespace
}  // namespace kalam::server
